"""The demo goes the whole way and leaves an archive and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import velcodec
from velcodec.cli.demo import FAMILIES, SETTINGS, sample_path

Run = Callable[..., Result]


def test_the_bundled_sample_is_what_the_demo_says() -> None:
    sample = np.load(sample_path())
    assert sample.shape == (len(FAMILIES), 1, 70, 70)
    assert sample.dtype == np.float32
    assert sample_path().stat().st_size < 400_000


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


def test_the_demo_replaces_nothing_unasked(demo: Run) -> None:
    Path("velcodec-demo.vlat").write_text("mine")
    assert demo("--no-picture").exit_code == 60
    assert Path("velcodec-demo.vlat").read_text() == "mine"


def test_a_file_in_the_folders_place_is_told(demo: Run) -> None:
    Path("out").touch()
    result = demo("--out", "out")
    assert result.exit_code == 61
    assert "out: is a file, expected a folder" in result.stderr


def test_the_shipped_decoder_brings_the_whole_sample_to_30_db(run: Run) -> None:
    result = run("demo", "--device", "cpu", "--no-picture", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["psnr_db_least"] >= 30.0
