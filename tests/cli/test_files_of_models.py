"""Archives decompress to files of every format, and compare with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import figures, layered
from click.testing import Result

import velcodec
from velcodec.formats.errors import VerificationError
from velcodec.formats.files import Form, open_models, open_sink

Run = Callable[..., Result]


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.h5", "m.nc", "m.zarr", "m.rsf", "m.bin"])
def test_decompress_takes_the_format_from_the_suffix(
    run: Run, exact: np.ndarray, name: str
) -> None:
    assert run("decompress", "exact.vlat", name).stdout.startswith(f"{name}: 7 x 1 x 9 x 14")
    hints = {"shape": (7, 1, 9, 14), "dtype": "<f4"} if name == "m.bin" else {}
    (part,) = open_models(name, **hints).parts  # type: ignore[arg-type]
    assert np.array_equal(part.read(0, 7), exact)


def test_decompress_takes_the_format_from_the_option(run: Run, exact: np.ndarray) -> None:
    options = ("--format", "hdf5", "--array", "vp")
    assert run("decompress", "exact.vlat", "models.velocity", *options).exit_code == 0
    (part,) = open_models("models.velocity", format="hdf5", array="vp").parts
    assert np.array_equal(part.read(0, 7), exact)
    assert part.form.ground.dx_m == 20.0
    assert run("decompress", "exact.vlat", "--format", "hdf5").stdout.startswith("exact.h5: ")
    unknown = run("decompress", "exact.vlat", "x", "--format", "tiff")
    assert unknown.exit_code == 2
    assert "npy, npz, hdf5, netcdf, zarr, segy, rsf, raw" in unknown.stderr


@pytest.mark.parametrize("name", ["in.npy", "in.nc", "in.sgy"])
def test_depth_that_points_up_is_stated_once_and_remembered(
    run: Run, compress: Run, name: str
) -> None:
    models = layered(1, 9, 14)[0]
    form = Form(1, 9, 14, "xz" if name == "in.sgy" else "zx")
    with open_sink(name, form) as sink:
        sink.add(models[None, ::-1])
    assert compress(name, "up.vlat", "--lossless", "--z-positive", "up").exit_code == 0
    with velcodec.open("up.vlat") as archive:
        assert np.array_equal(archive[0].T if name == "in.sgy" else archive[0], models)
    for target in ("back.npy", "back.h5"):
        assert run("decompress", "up.vlat", target).exit_code == 0
        found = figures(run("verify", "up.vlat", "--against", target, "--json"))
        assert found["max_error_m_s"] == 0.0
    rows = np.load("back.npy")
    assert np.array_equal(rows.T if name == "in.sgy" else rows, models[::-1])
    way = ("--z-positive", "up")
    found = figures(run("verify", "up.vlat", "--against", name, *way, "--json"))
    assert found["max_error_m_s"] == 0.0
    wrong = run("verify", "up.vlat", "--against", name, "--z-positive", "down", "--json")
    assert wrong.exit_code == VerificationError.exit_code
    assert json.loads(wrong.stdout)["max_error_m_s"] > 0.0


def test_evaluate_takes_the_direction_of_depth(run: Run) -> None:
    np.save("in.npy", layered(1, 9, 14))
    how = ("--lossless", "--decoder", "tiny", "--device", "cpu", "--json", "--z-positive", "up")
    found = figures(run("evaluate", "in.npy", *how))["files"]
    assert [one["max_error_m_s"] for one in found] == [0.0]


def test_decompress_writes_openfwis_layout(run: Run, exact: np.ndarray) -> None:
    result = run("decompress", "exact.vlat", "--per-file", "3")
    assert result.stdout.startswith("exact: 3 files")
    files = sorted(Path("exact").iterdir())
    assert [file.name for file in files] == ["model1.npy", "model2.npy", "model3.npy"]
    assert [np.load(file).shape for file in files] == [(3, 1, 9, 14)] * 2 + [(1, 1, 9, 14)]
    assert np.array_equal(np.concatenate([np.load(file)[:, 0] for file in files]), exact)
    assert run("decompress", "exact.vlat", "all/").stdout.startswith("all: 1 file")
    assert np.load("all/model1.npy").shape == (7, 1, 9, 14)
    h5 = run("decompress", "exact.vlat", "h5/", "--per-file", "4", "--format", "hdf5")
    assert h5.exit_code == 0
    assert sorted(path.name for path in Path("h5").iterdir()) == ["model1.h5", "model2.h5"]


def test_decompress_recreates_the_compressed_folder(run: Run, compress: Run) -> None:
    for name in ("in/model/model2.npy", "in/model/model10.npy"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        np.save(name, layered(2, 9, 14, seed=len(name))[:, None])
    assert compress("in", "in.vlat", "--lossless").exit_code == 0
    Path("empty").mkdir()
    for target in ("out/", "empty"):
        assert run("decompress", "in.vlat", target).exit_code == 0
        for name in ("model/model2.npy", "model/model10.npy"):
            assert (Path(target) / name).read_bytes() == (Path("in") / name).read_bytes()
    assert run("decompress", "in.vlat", "out/", "--force").exit_code == 60


@pytest.mark.parametrize(
    ("source", "name"),
    [("in", "model/model2.npy"), ("in/*", "model/model2.npy"), ("in/model/*.npy", "model2.npy")],
)
def test_a_folder_of_one_file_comes_back_unchanged(
    run: Run, compress: Run, source: str, name: str
) -> None:
    path = Path("in/model/model2.npy")
    path.parent.mkdir(parents=True)
    np.save(path, layered(2, 9, 14)[:, None])
    assert compress(source, "in.vlat", "--lossless").exit_code == 0
    assert run("decompress", "in.vlat", "out/").exit_code == 0
    (back,) = (found for found in Path("out").rglob("*") if found.is_file())
    assert back == Path("out") / name
    assert back.read_bytes() == path.read_bytes()


def test_a_single_named_file_stores_no_name(compress: Run) -> None:
    np.save("in.npy", layered(2, 9, 14))
    assert compress("in.npy", "in.vlat", "--lossless").exit_code == 0
    with velcodec.open("in.vlat") as archive:
        assert "file" not in archive.fields


def test_selected_models_are_decompressed_and_previewed(run: Run, data: bytes) -> None:
    with velcodec.open(data) as archive:
        expected = archive.decode(["m5", "m7"])
    options = ("--models", "4:8", "--family", "salt")
    for source, piped in (("a.vlat", None), ("-", data)):
        result = run("decompress", source, "some.h5", *options, "--force", input=piped)
        assert result.exit_code == 0, result.stderr
        (part,) = open_models("some.h5").parts
        assert part.form.keys == ("m5", "m7")
        assert np.allclose(part.read(0, 2), expected)
        coarse = ("preview", source, "coarse.npy", "--bytes", "30", *options, "--force")
        assert run(*coarse, input=piped).exit_code == 0
        assert np.load("coarse.npy").shape == (2, 9, 14)
    assert run("decompress", "a.vlat", "one.sgy", "--key", "m3").exit_code == 0
    gone = run("decompress", "a.vlat", "none.npy", "--family", "sand")
    assert gone.exit_code == 2
    assert "found none" in gone.stderr
    assert not Path("none.npy").exists()


def test_verify_compares_with_files_of_any_format(run: Run, exact: np.ndarray) -> None:
    for name in ("m.npy", "m.h5", "m.nc", "m.npz", "m.zarr", "m.rsf"):
        assert run("decompress", "exact.vlat", name).exit_code == 0
        found = figures(run("verify", "exact.vlat", "--against", name, "--json"))
        assert found["max_error_m_s"] == 0.0
        assert found["source_sha256_matches"] is (name == "m.npy")
    assert run("decompress", "exact.vlat", "folder/", "--per-file", "3").exit_code == 0
    assert figures(run("verify", "exact.vlat", "--against", "folder", "--json"))["models"] == 7
    assert run("decompress", "exact.vlat", "m.bin").exit_code == 0
    raw = ("--shape", "7x9x14", "--dtype", "<f4")
    found = figures(run("verify", "exact.vlat", "--against", "m.bin", *raw, "--json"))
    assert found["max_error_m_s"] == 0.0
    fewer = run("verify", "exact.vlat", "--against", "folder/model1.npy")
    assert fewer.exit_code == 10
    assert "expected 7 x 9 x 14" in fewer.stderr


def test_verify_against_reads_at_most_a_block_at_a_time(
    run: Run, exact: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from velcodec.formats.files import Models

    asked: list[int] = []
    read = Models.read

    def counted(self: Models, start: int, stop: int) -> Any:
        asked.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(Models, "read", counted)
    monkeypatch.setattr("velcodec.archive.numbers.MODELS_AT_ONCE", 2)
    assert run("verify", "exact.vlat", "--against", "exact.npy").exit_code == 0
    assert asked == [2, 2, 2, 1]


def test_evaluate_takes_files_of_every_format_and_archives(
    run: Run, compress: Run, models: np.ndarray
) -> None:
    np.save("in.npy", models.swapaxes(1, 2))
    assert compress("in.npy", "in.vlat", "--lossless", "--order", "xz").exit_code == 0
    for name in ("in.nc", "in.npz"):
        assert run("decompress", "in.vlat", name).exit_code == 0
    assert run("split", "in.vlat", "shards", "--models-per-shard", "2").exit_code == 0
    sources = ["in.npy", "in.nc", "in.npz", "in.vlat", "shards"]
    options = ("--lossless", "--decoder", "tiny", "--device", "cpu", "--json")
    found = []
    for source in sources:
        order = ("--order", "xz") if source in ("in.npy", "in.npz") else ()
        found += figures(run("evaluate", source, *options, *order))["files"]
    assert [one["file"] for one in found] == sources
    assert {one["max_error_m_s"] for one in found} == {0.0}
    assert {one["models"] for one in found} == {3}
    assert abs(found[3]["bytes"] - found[0]["bytes"]) < 64
    assert not list(Path.cwd().glob("velcodec-*"))
