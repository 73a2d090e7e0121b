"""Fixtures of the command-line tests: inputs, and a runner in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checkers import layered
from click.testing import CliRunner, Result
from rich_archives import rich_archive

from velcodec.cli import main
from velcodec.decoder import Decoder
from velcodec.decoder.registry import HOME_VARIABLE

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, with the small decoder `tiny` installed."""
    monkeypatch.setenv(HOME_VARIABLE, str(tiny_home))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object, input: bytes | None = None) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)

    return invoke


@pytest.fixture
def compress(run: Run) -> Run:
    """Run `velcodec compress` with the small decoder."""
    options = ("--decoder", "tiny", "--device", "cpu")
    return lambda *arguments, **more: run("compress", *options, *arguments, **more)


@pytest.fixture(scope="session")
def models() -> np.ndarray:
    """Three models of 20 x 24: dipping layers, a lens, one constant."""
    z, x = np.mgrid[0:20, 0:24].astype(np.float64)
    layers = 1500.0 + 500.0 * np.floor((z + 0.3 * x) / 6.0)
    lens = np.where((z - 10) ** 2 + (x - 12) ** 2 < 30, 4000.0, 2000.0 + 20.0 * z)
    return np.stack([layers, lens, np.full_like(z, 2500.0)]).astype(np.float32)


@pytest.fixture(scope="session")
def archive_bytes(
    models: np.ndarray, tiny_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """An archive of the models, as `velcodec compress` writes it."""
    folder = tmp_path_factory.mktemp("archive")
    np.save(folder / "in.npy", models)
    arguments = ["compress", f"{folder}/in.npy", f"{folder}/in.vlat", "--decoder", "tiny"]
    arguments += ["--bytes-per-model", "300", "--provenance", "made up", "--licence", "CC0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tiny_home))
        result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    return (folder / "in.vlat").read_bytes()


@pytest.fixture
def data(run: Run, tiny: Decoder) -> bytes:
    """`a.vlat`, of 12 models with keys and fields."""
    found = rich_archive(tiny)
    Path("a.vlat").write_bytes(found)
    return found


@pytest.fixture
def exact(run: Run, compress: Run) -> np.ndarray:
    """`exact.vlat`: 7 lossless models of 9 x 14."""
    models = layered(7, 9, 14)
    np.save("exact.npy", models[:, None])
    assert compress("exact.npy", "exact.vlat", "--lossless", "--dx", "20").exit_code == 0
    return models
