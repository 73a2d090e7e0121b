"""The commands with valid input."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import figures
from click.testing import Result

import velcodec
from velcodec.cli.compress import size_text
from velcodec.cli.decoders import flat
from velcodec.formats.errors import QualityError

Run = Callable[..., Result]

BUDGET = ("--bytes-per-model", 300)
CONSTANT = np.full((3, 20, 24), 2500.0, dtype=np.float32)


@pytest.fixture
def archive(run: Run, models: np.ndarray, archive_bytes: bytes) -> Path:
    """`in.vlat`, with its original `in.npy`."""
    np.save("in.npy", models)
    Path("in.vlat").write_bytes(archive_bytes)
    return Path("in.vlat")


def test_compress_keeps_the_budget_and_prints_the_quality(
    compress: Run, models: np.ndarray
) -> None:
    np.save("in.npy", models[1:, :12, :12])
    found = figures(compress("in.npy", "out.vlat", *BUDGET, "--json"))
    assert found["bytes"] == Path("out.vlat").stat().st_size <= 300 * 2
    assert found["models"] == 2
    assert found["worst_psnr"] <= found["mean_psnr"]


def test_compress_prints_a_summary_for_people(compress: Run) -> None:
    np.save("in.npy", CONSTANT)
    result = compress("in.npy", "out.vlat")
    assert result.stdout.startswith("out.vlat: 3 models of 20 x 24 in ")
    assert "PSNR" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("", "35 dB or better, and for models of little contrast an error of at most 15 % of their "
             "standard deviation (up to 56 dB)"),
        ("--psnr 40", "40 dB or better"),
        ("--latent-only", "35 dB or better"),
        ("--max-error 7.5", "no error above 7.5 m/s"),
        ("--lossless", "every bit"),
        ("--bytes-per-model 3000", "at most 3,000 bytes a model on average"),
    ],
)  # fmt: skip
def test_compress_says_at_the_end_what_was_asked_for(
    compress: Run, options: str, asked: str
) -> None:
    np.save("in.npy", CONSTANT)
    result = compress("in.npy", "out.vlat", *options.split())
    last = result.stdout.splitlines()[-1]
    assert f"; asked for {asked}; " in last
    again = compress("in.npy", "out.vlat", "--force", "--json", *options.split())
    assert json.loads(again.stdout)["asked"] == asked


@pytest.mark.parametrize("effort", [1, 9])
def test_compress_keeps_a_size_at_every_effort(
    compress: Run, models: np.ndarray, effort: int
) -> None:
    np.save("in.npy", models[1, :8, :8])
    options = (*BUDGET, "--effort", str(effort), "--latent-only")
    assert compress("in.npy", "out.vlat", *options).exit_code == 0


def test_an_effort_beyond_nine_is_refused(compress: Run, models: np.ndarray) -> None:
    np.save("in.npy", models[1])
    result = compress("in.npy", "out.vlat", *BUDGET, "--effort", "10")
    assert result.exit_code == 2
    assert "1<=x<=9" in result.stderr


def test_an_archive_larger_than_its_models_is_reported_as_larger(compress: Run) -> None:
    np.save("in.npy", CONSTANT[0, :4, :4])
    shown = compress("in.npy", "out.vlat").stdout
    assert "which is more than the 64 bytes of the models" in shown
    assert "smaller" not in shown


@pytest.mark.parametrize(("before", "after", "said"), [(130, 100, "1.3 t"), (4700, 100, "47 t")])
def test_the_ratio_is_printed(before: int, after: int, said: str) -> None:
    assert size_text(before, after) == f"{said}imes smaller"


def test_likely_mistakes_are_one_line_on_stderr(compress: Run) -> None:
    for value, said in ((2.5, "--units km/s"), (-2000.0, "negative")):
        np.save("in.npy", CONSTANT * 0 + value)
        result = compress("in.npy", "out.vlat", "--force")
        assert result.exit_code == 0
        assert result.stderr.startswith("velcodec: warning: in.npy: ")
        assert said in result.stderr
        assert result.stderr.count("\n") == 1


def test_models_too_small_for_ssim_have_none(compress: Run, run: Run) -> None:
    np.save("in.npy", np.array([[1513.7, 2024.1], [1711.3, 3999.9]]))  # 1 where all come back
    assert compress("in.npy", "in.vlat", "--max-error", "40").exit_code == 0
    arguments = ("verify", "in.vlat", "--against", "in.npy", "--per-model")
    found = figures(run(*arguments, "--json"))
    assert found["ssim"] is None
    assert found["per_model"][0]["ssim"] is None
    rows = run(*arguments).stdout.splitlines()[-3:]
    assert rows[0].split()[2] == "-"
    assert "nan" not in run(*arguments).stdout


def test_decompress_returns_the_original_array(run: Run, archive: Path, models: np.ndarray) -> None:
    assert run("decompress", "in.vlat", "out.npy").exit_code == 0
    back = np.load("out.npy")
    assert (back.shape, back.dtype) == (models.shape, models.dtype)
    assert np.array_equal(back, velcodec.decompress(archive.read_bytes()))


def test_decompress_writes_beside_the_archive_by_default(run: Run, archive: Path) -> None:
    Path("in.npy").unlink()
    result = run("decompress", "in.vlat")
    assert result.stdout.startswith("in.npy: 3 x 20 x 24")
    assert np.load("in.npy").shape == (3, 20, 24)


@pytest.mark.parametrize(("res", "shape"), [("28", (28, 28)), ("14x48", (14, 48))])
def test_decompress_renders_at_any_resolution(
    run: Run, archive: Path, models: np.ndarray, res: str, shape: tuple[int, int]
) -> None:
    found = figures(run("decompress", "in.vlat", "out.npy", "--res", res, "--json"))
    fine = np.load("out.npy")
    assert fine.shape == (3, *shape) == tuple(found["shape"])
    for rendering, model in zip(fine, models, strict=True):
        assert model.min() <= rendering.min() <= rendering.max() <= model.max()


def test_decompress_in_blocks_equals_one_call(
    run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velcodec.archive.numbers.SAMPLES_AT_ONCE", 1)
    assert run("decompress", "in.vlat", "out.npy", "--res", "30").exit_code == 0
    assert np.allclose(np.load("out.npy"), velcodec.decompress(archive.read_bytes(), res=30))


def test_units_order_axes_and_integers_come_back(compress: Run, run: Run) -> None:
    model = np.round(2.0 + np.arange(20)[:, None] / 10 + np.zeros((20, 24)), 1)
    slow = (model.T[None, None] * 1000).astype(np.int16)
    cases = {
        "km": (model, ("--units", "km/s")),
        "xz": (slow, ("--order", "xz")),
    }
    for name, (array, options) in cases.items():
        np.save(f"{name}.npy", array)
        assert compress(f"{name}.npy", f"{name}.vlat", *options).exit_code == 0
        assert run("decompress", f"{name}.vlat", f"{name}-back.npy").exit_code == 0
        back = np.load(f"{name}-back.npy")
        assert (back.shape, back.dtype) == (array.shape, array.dtype)
        assert back.min() >= array.min()
        assert back.max() <= array.max()
        compared = figures(run("verify", f"{name}.vlat", "--against", f"{name}.npy", "--json"))
        scale = 1000.0 if name == "km" else 1.0
        difference = abs(back.astype(float) - array) * scale
        assert compared["max_error_m_s"] == pytest.approx(difference.max())
        assert compared["mae_m_s"] == pytest.approx(difference.mean())


def test_info_shows_everything_stored(compress: Run, run: Run) -> None:
    np.save("in.npy", CONSTANT)
    stored = ("--dx", "12.5", "--dz", "5", "--origin", "100,-20", "--licence", "CC0")
    stored += ("--provenance", "made up", "--key-prefix", "line", "--latent-only")
    assert compress("in.npy", "in.vlat", *stored).exit_code == 0
    found = figures(run("info", "in.vlat", "--keys", "--json"))
    assert found["models"] == 3
    assert found["bytes"] == Path("in.vlat").stat().st_size
    assert found["licence"] == "CC0-1.0"
    assert found["provenance"] == "made up"
    assert found["source_sha256"] == hashlib.sha256(Path("in.npy").read_bytes()).hexdigest()[:16]
    assert found["keys"] == ["line0", "line1", "line2"]
    assert found["decoder"]["name"] == "tiny"
    shown = run("info", "in.vlat").stdout
    for words in (
        "20 x 24",
        "tiles  ",
        "one for each latent",
        "dx 12.5 m, dz 5 m",
        "x 100 m, z -20 m",
        "float32, m/s",
        "CC0",
    ):
        assert words in shown


def test_info_shows_the_number_of_tiles(compress: Run, run: Run) -> None:
    waves = np.sin(np.arange(12) / 3) * np.sin(np.arange(400) / 7)[:, None]
    np.save("in.npy", 3000 + 500 * waves)
    assert compress("in.npy", "in.vlat", "--latent-only", "--psnr", "24").exit_code == 0
    tiles = figures(run("info", "in.vlat", "--json"))["tiles"]
    assert tiles > 1
    assert f"{tiles}; some models are cut" in run("info", "in.vlat").stdout


def test_keys_are_read_from_a_file(compress: Run, run: Run) -> None:
    np.save("in.npy", CONSTANT)
    Path("keys.txt").write_text("dip\nlens\nflat\n")
    assert compress("in.npy", "in.vlat", "--keys", "keys.txt").exit_code == 0
    assert run("info", "in.vlat", "--keys").stdout.endswith("0\tdip\n1\tlens\n2\tflat\n")


def test_info_works_without_torch_and_without_the_decoder(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VELCODEC_HOME", str(tmp_path / "nowhere"))
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from velcodec.cli import main\n"
        "main(['info', 'in.vlat', '--json'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["models"] == 3


def test_verify_accepts_an_intact_archive(run: Run, archive: Path) -> None:
    assert figures(run("verify", "in.vlat", "--json")) == {
        "archive": "in.vlat",
        "models": 3,
        "whole": True,
    }
    assert "every checksum holds" in run("verify", "in.vlat").stdout


def test_verify_against_the_original_measures_every_model(
    run: Run, archive: Path, models: np.ndarray
) -> None:
    result = run("verify", "in.vlat", "--against", "in.npy", "--per-model", "--json")
    found = figures(result)
    back = velcodec.decompress(archive.read_bytes())
    assert found["source_sha256_matches"] is True
    assert len(found["per_model"]) == 3
    for figure, before, after in zip(found["per_model"], models, back, strict=True):
        difference = abs(before.astype(float) - after)
        assert figure["max_error_m_s"] == pytest.approx(difference.max())
        assert figure["mae_m_s"] == pytest.approx(difference.mean())
    assert found["max_error_m_s"] == max(figure["max_error_m_s"] for figure in found["per_model"])
    assert "is the file" in run("verify", "in.vlat", "--against", "in.npy", "--per-model").stdout


def test_verify_recognises_another_file_of_the_same_shape(
    run: Run, archive: Path, models: np.ndarray
) -> None:
    np.save("other.npy", models + 1)
    assert "is NOT the file" in run("verify", "in.vlat", "--against", "other.npy").stdout


def test_evaluate_measures_what_compress_writes(
    run: Run, compress: Run, models: np.ndarray
) -> None:
    np.save("a.npy", models[1:, :12, :12])
    np.save("b.npy", CONSTANT[0])
    options = (*BUDGET, "--decoder", "tiny", "--device", "cpu")
    found = figures(run("evaluate", "a.npy", "b.npy", *options, "--per-model", "--json"))
    sizes = []
    for name, figure in zip(("a", "b"), found["files"], strict=True):
        assert compress(f"{name}.npy", f"{name}.vlat", *BUDGET).exit_code == 0
        sizes.append(Path(f"{name}.vlat").stat().st_size)
        assert figure["bytes"] == sizes[-1]
        assert len(figure["per_model"]) == figure["models"]
    assert found["total"]["models"] == 3
    assert found["total"]["bytes"] == sum(sizes)
    assert found["total"]["bytes_per_model"] == sum(sizes) / 3
    assert {"a.npy", "b.npy", "a.vlat", "b.vlat"} == {path.name for path in Path.cwd().iterdir()}


def test_evaluate_prints_a_row_for_each_file_and_a_total(run: Run) -> None:
    np.save("a.npy", CONSTANT)
    np.save("b.npy", CONSTANT[0])
    result = run("evaluate", "a.npy", "b.npy", *BUDGET, "--decoder", "tiny", "--device", "cpu")
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "file",
        "a.npy",
        "b.npy",
        "total",
    ]


def test_a_model_that_latents_cannot_represent_is_named(compress: Run) -> None:
    np.save("in.npy", np.random.default_rng(1).uniform(0, 300_000, (20, 24)))
    result = compress("in.npy", "out.vlat", "--latent-only")
    assert result.exit_code == QualityError.exit_code
    assert result.stderr.startswith("velcodec: error: in.npy: model 0: the best of its latents is ")
    assert result.stderr.count("\n") == 1
    assert not Path("out.vlat").exists()
    assert compress("in.npy", "out.vlat").exit_code == 0


def test_a_constant_model_comes_back_exactly(compress: Run, run: Run) -> None:
    np.save("in.npy", np.full((90, 11), 2511.7, dtype=np.float32))
    assert compress("in.npy", "in.vlat").exit_code == 0
    assert run("decompress", "in.vlat", "out.npy").exit_code == 0
    assert np.array_equal(np.load("in.npy"), np.load("out.npy"))


def test_decoder_list_show_and_add(
    run: Run, tiny_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VELCODEC_HOME", str(tmp_path / "new home"))
    assert all(
        d["place"] == "shipped" for d in figures(run("decoder", "list", "--json"))["decoders"]
    )
    added = figures(run("decoder", "add", tiny_home / "decoders" / "tiny.safetensors", "--json"))
    assert added["name"] == "tiny"
    assert added["place"] == "user"
    assert "tiny" in run("decoder", "list").stdout
    by_name = figures(run("decoder", "show", "tiny", "--json"))
    by_hash = figures(run("decoder", "show", added["hash"][:10], "--json"))
    assert by_name == by_hash == added
    assert added["hash"] in run("decoder", "show", "tiny").stdout


def test_nested_settings_of_a_decoder_print_one_per_line() -> None:
    settings = {"width": 64, "training": {"recipe": {"range": [0.25, 1.5]}, "steps": 7}}
    assert flat(settings) == {
        "width": "64",
        "training: recipe: range": "0.25, 1.5",
        "training: steps": "7",
    }


def test_decoder_show_prints_no_raw_dictionary(run: Run) -> None:
    shown = run("decoder", "show").stdout
    assert not set("{}") & set(shown)
    assert "training: settings: " in shown


def test_an_altered_decoder_file_is_not_added(run: Run, tiny_home: Path) -> None:
    data = bytearray((tiny_home / "decoders" / "tiny.safetensors").read_bytes())
    data[-1] ^= 1
    Path("bad.safetensors").write_bytes(data)
    result = run("decoder", "add", "bad.safetensors")
    assert result.exit_code == 31
    assert "bad.safetensors" in result.stderr


def test_the_command_ends_its_process_with_the_exit_code(archive: Path) -> None:
    command = [sys.executable, "-m", "velcodec", "decompress", "in.vlat", "in.npy"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 60
    assert run.stderr.startswith("velcodec: error: in.npy: ")
    assert run.stderr.count("\n") == 1


def test_a_successful_run_prints_nothing_on_stderr(run: Run, archive: Path) -> None:
    command = [sys.executable, "-m", "velcodec", "decompress", "in.vlat", "out.npz"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("out.npz: 3 x 20 x 24; ")
    assert ended.stderr == ""


def test_compress_prints_the_largest_error_of_bounded_samples(
    compress: Run, models: np.ndarray
) -> None:
    np.save("in.npy", models)
    result = compress("in.npy", "out.vlat", "--max-error", 20)
    assert "stored as samples\n" in result.stdout
    assert "greatest error " in result.stdout
    with velcodec.open("out.vlat") as archive:
        worst = max(float(np.abs(a - b).max()) for a, b in zip(archive, models, strict=True))
    assert 0 < worst <= 20
