"""`velcodec preview` writes coarser models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import layered
from click.testing import Result
from latent_archives import latent_archive

import velcodec
from velcodec.decoder import Decoder
from velcodec.formats.container.header import Layout

Run = Callable[..., Result]


@pytest.fixture
def archive(run: Run, tiny: Decoder) -> Path:
    Path("in.vlat").write_bytes(latent_archive(tiny, Layout(20, 24)))
    return Path("in.vlat")


def test_preview_writes_what_the_library_gives(run: Run, archive: Path) -> None:
    result = run("preview", archive, "out.npy", "--bytes", 20, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("out.npy: 3 x 20 x 24; ")
    assert np.array_equal(np.load("out.npy"), velcodec.preview(archive, bytes=20))


def test_options_are_those_of_decompress(run: Run, archive: Path) -> None:
    arguments = ("preview", archive, "--coefficients", 8, "--res", "10x12", "--threads", 1)
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["target"], found["shape"]) == ("in.preview.npy", [3, 10, 12])
    assert np.load("in.preview.npy").shape == (3, 10, 12)
    assert run(*arguments).exit_code == 60
    assert run(*arguments, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected one of --bytes and --coefficients"),
        (("--bytes", 9, "--coefficients", 9), "expected one of --bytes and --coefficients"),
        (("--bytes", -1), "-1"),
        (("--bytes", 0), "in.vlat: bytes: found 0, expected at least"),
    ],
)
def test_bad_sizes_are_usage_errors(
    run: Run, archive: Path, options: tuple[object, ...], message: str
) -> None:
    result = run("preview", archive, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("in.preview.npy").exists()


def test_an_archive_without_latents_is_an_error(run: Run) -> None:
    models = np.full((2, 8, 9), 2000.0, dtype=np.float32)
    Path("in.vlat").write_bytes(velcodec.compress(models, decoder="tiny", lossless=True))
    result = run("preview", "in.vlat", "--bytes", 20)
    assert result.exit_code == 2
    assert "model 0: stored as samples alone, as all others" in result.stderr
    assert "--keep-latent" in result.stderr


def test_models_without_latents_are_previewed_whole_beside_others(run: Run) -> None:
    models = np.stack([layered(1, 8, 9)[0], np.full((8, 9), 2000.0, np.float32)])
    kinds = {"latent": {"latent_only": True, "psnr": 15.0}, "samples": {"lossless": True}}
    for (name, how), model in zip(kinds.items(), models, strict=True):
        Path(f"{name}.vlat").write_bytes(velcodec.compress(model, decoder="tiny", **how))
    velcodec.cat(["samples.vlat", "latent.vlat"], "mixed.vlat")
    result = run("preview", "mixed.vlat", "out.npy", "--coefficients", 4)
    assert result.exit_code == 0, result.stderr
    assert "warning: mixed.vlat: model 0: stored as samples alone" in result.stderr
    found = np.load("out.npy")
    assert np.array_equal(found[0], models[1])
    latent = Path("latent.vlat").read_bytes()
    assert np.array_equal(found[1], velcodec.preview(latent, coefficients=4))
