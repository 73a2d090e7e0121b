"""The benchmark of volumes: cases as documented, every figure of what was decoded."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import velcodec
from benchmarks.volumes.__main__ import main
from benchmarks.volumes.cases import Case, extruded, from_folder, generated
from benchmarks.volumes.codecs import CannotKeepError, Codec, ShuffledZstd
from benchmarks.volumes.measure import at_psnr, bounded, exact, measure
from benchmarks.volumes.memory import large_volume, one_brick, run
from benchmarks.volumes.tables import tables
from velcodec import synth
from velcodec.metrics import psnr


@pytest.fixture(scope="module")
def volume():
    return synth.volumes("gradient", 1, 1, (16, 16, 16))[0]


def test_a_bound_is_kept_and_measured(volume):
    found = bounded(ShuffledZstd(), volume, 10.0)
    assert np.abs(found.decoded - volume).max() <= 10.0
    figure = measure(ShuffledZstd(), Case("one", "generated", (volume,)), "10 m/s")
    assert figure.bits_per_sample == 8.0 * len(found.stream) / volume.size
    assert 5.0 < figure.max_error <= 10.0


def test_a_psnr_is_reached_with_few_bytes(volume):
    found = at_psnr(ShuffledZstd(), volume, 35.0)
    assert 35.0 <= psnr(volume, found.decoded) < 40.0


def test_a_codec_that_leaves_its_bound_has_no_figure(volume):
    class Wrong(ShuffledZstd):
        def decode(self, stream, shape):
            return super().decode(stream, shape) + 100.0

    for keep in (lambda codec: bounded(codec, volume, 10.0), lambda codec: exact(codec, volume)):
        with pytest.raises(CannotKeepError):
            keep(Wrong())


def test_lossless_is_every_bit(volume):
    assert exact(ShuffledZstd(), volume).decoded.tobytes() == volume.tobytes()


def test_extruded_models_move_by_whole_samples():
    section = synth.draw("curvefault_a", 1, 0, 1).render(40, 30)[0].numpy()
    found = extruded(section, 20)
    assert found.shape == (40, 20, 30)
    assert np.array_equal(found[:, 10], section)
    assert np.isin(found, section).all()
    assert np.array_equal(found[2:, 20 - 1, 5:], section[:-2, :-5])


def test_volumes_are_made_of_a_folder(tmp_path):
    models = synth.draw("flatfault_a", 1, 0, 6).render(70, 70)[:, None].numpy()
    np.save(tmp_path / "flatfault_a.npy", models)
    np.save(tmp_path / "cube.npy", synth.volumes("flat", 2, 1, (40, 36, 32)))
    np.save(tmp_path / "curvevel_a.npy", models)
    cube, faulted = from_folder(tmp_path, 34)
    assert (cube.name, [v.shape for v in cube.volumes]) == ("cube", [(34, 34, 32)])
    assert [v.shape for v in faulted.volumes] == [(70, 70, 70)] * 4


def test_every_family_is_a_case():
    assert [case.name for case in generated(1, 1, 8)] == list(synth.VOLUME_FAMILIES)


def test_the_command_writes_every_figure(tmp_path, monkeypatch):
    monkeypatch.delenv("VELCODEC_REAL_DATA", raising=False)
    out = tmp_path / "out.json"
    command = ["--side", "12", "--case", "flat", "--codec", "zstd", "--promise", "5 m/s"]
    result = CliRunner().invoke(main, [*command, "--json", str(out)])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["codec"] == "zstd 19, shuffled"
    assert f"| {row['codec']} | {row['bits_per_sample']:.3g} |" in result.output


def test_ours_stand_beside_the_best_peer(volume):
    class Ours(ShuffledZstd):
        name = "velcodec"

    case = Case("one", "generated", (volume,))
    codecs: list[Codec] = [Ours(), ShuffledZstd()]
    assert "| one | 1.00 (zstd 19, shuffled) |" in tables(
        [measure(codec, case, "10 m/s") for codec in codecs]
    )


def test_a_large_volume_has_the_size_asked_for_and_one_brick_of_it_is_read(tmp_path):
    planes = list(large_volume(1.05, "flat"))
    assert np.stack(planes).shape == (64, 64, 64)
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(np.stack(planes), volume=True, lossless=True))
    seconds, read = one_brick(path, (64, 64, 64), tries=1)
    assert seconds > 0
    assert 0 < read < path.stat().st_size + 100


def test_the_memory_of_a_command_is_that_of_its_process():
    found = run("-c", "x = b'a' * 100_000_000; import time; time.sleep(0.3)")
    assert 100 < found.private_mb < found.resident_mb < 200
