"""`velcodec preview`: an archive goes in, a coarser array comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
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


def test_the_array_is_what_the_library_gives(run: Run, archive: Path) -> None:
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


def test_a_model_without_a_latent_is_told(run: Run) -> None:
    models = np.full((2, 8, 9), 2000.0, dtype=np.float32)
    Path("in.vlat").write_bytes(velcodec.compress(models, decoder="tiny", lossless=True))
    result = run("preview", "in.vlat", "--bytes", 20)
    assert result.exit_code == 2
    assert "model 0: stored as samples alone" in result.stderr
    assert "--keep-latent" in result.stderr
