"""The demo goes the whole way and leaves an archive and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import velcodec
from velcodec.cli.demo import FAMILIES, RESOLUTION, SETTINGS, sample_path, truth_of
from velcodec.cli.picture import Panel, draw_rows, error_span
from velcodec.formats.files.npy import as_models
from velcodec.metrics import psnr
from velcodec.report.upsampling import upsample

Run = Callable[..., Result]


def test_the_bundled_sample_is_what_the_demo_says() -> None:
    sample = np.load(sample_path())
    assert sample.shape == (len(FAMILIES), 1, 70, 70)
    assert sample.dtype == np.float32
    assert sample_path().stat().st_size < 400_000


def test_the_generator_still_gives_the_bundled_sample_and_its_truth() -> None:
    sample = np.load(sample_path())
    truth = truth_of(as_models(sample))
    assert truth is not None
    for model, fine in zip(sample[:, 0], truth, strict=True):
        assert fine.shape == (RESOLUTION, RESOLUTION)
        assert psnr(fine, upsample(model.astype(float), RESOLUTION, "bilinear")) > 30


def test_other_models_than_the_generators_have_no_truth() -> None:
    sample = np.load(sample_path())
    sample[-1, 0, 3, 4] += 1
    assert truth_of(as_models(sample)) is None


@pytest.fixture
def demo(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: np.ndarray) -> Run:
    """Run the demo on small models with the small decoder: quick."""
    sample = tmp_path / "small.npy"
    np.save(sample, np.concatenate([models, models])[:, :12, :12])
    monkeypatch.setattr("velcodec.cli.demo.sample_path", lambda: sample)
    monkeypatch.setitem(SETTINGS, "decoder", "tiny")
    return lambda *arguments: run("demo", "--device", "cpu", *arguments)


def test_the_demo_writes_an_archive_and_a_picture_and_prints_figures(demo: Run) -> None:
    result = demo("--out", "new/out", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["models"] == len(FAMILIES) == len(found["per_model"])
    archive = velcodec.open("new/out/velcodec-demo.vlat")
    assert len(archive) == len(FAMILIES)
    assert found["bytes"] == Path("new/out/velcodec-demo.vlat").stat().st_size
    picture = Path("new/out/velcodec-demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000
    assert found[f"psnr_db_at_{RESOLUTION}"] is None  # the generator does not know these models


def test_without_truth_figures_are_of_the_native_grid_only(demo: Run) -> None:
    result = demo("--no-picture")
    assert result.exit_code == 0, result.stderr
    assert f"{RESOLUTION}" not in result.stdout
    assert "bicubic" not in result.stdout


def test_the_demo_replaces_nothing_unasked(demo: Run) -> None:
    Path("velcodec-demo.vlat").write_text("mine")
    assert demo("--no-picture").exit_code == 60
    assert Path("velcodec-demo.vlat").read_text() == "mine"


def test_a_file_in_the_folders_place_is_told(demo: Run) -> None:
    Path("out").touch()
    result = demo("--out", "out")
    assert result.exit_code == 61
    assert "out: is a file, expected a folder" in result.stderr


def test_the_whole_sample_is_brought_to_30_db_and_measured_at_the_finer_grid(run: Run) -> None:
    result = run("demo", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["psnr_db_least"] >= 30.0
    rendered = [one[f"psnr_db_at_{RESOLUTION}"] for one in found["per_model"]]
    bicubic = [one[f"bicubic_psnr_db_at_{RESOLUTION}"] for one in found["per_model"]]
    assert min(rendered) > 30.0
    assert min(bicubic) > 30.0
    assert found[f"psnr_db_at_{RESOLUTION}"] == pytest.approx(np.mean(rendered))
    truth = truth_of(as_models(np.load(sample_path())))
    assert truth is not None
    fine = velcodec.open("velcodec-demo.vlat").decode(0, RESOLUTION)
    assert rendered[0] == pytest.approx(psnr(truth[0], fine), abs=1e-6)
    assert Path("velcodec-demo.png").read_bytes().startswith(b"\x89PNG")


def test_the_scale_of_errors_is_a_round_number_that_most_of_them_keep() -> None:
    errors = np.zeros((10, 10))
    assert error_span([errors]) == 1.0
    errors[:3] = -131.0
    assert error_span([np.zeros((4, 4)), errors]) == 200.0


def test_a_constant_model_is_drawn() -> None:
    model = np.full((4, 5), 2000.0)
    stream = BytesIO()
    draw_rows([[Panel("a", model), Panel("b", model, is_error=True)]], (0.0, 1.0, 1.0, 0.0), stream)
    assert stream.getvalue().startswith(b"\x89PNG")
