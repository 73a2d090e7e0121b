"""What the tests of the command line share: a small decoder of their own, inputs, and a runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from velcodec.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(small_decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, where the small decoder is the only one added."""
    home = tmp_path / "home"
    (home / "decoders").mkdir(parents=True)
    (home / "decoders" / small_decoder.name).write_bytes(small_decoder.read_bytes())
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("VELCODEC_HOME", str(home))
    monkeypatch.chdir(work)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def compress(run: Run) -> Run:
    """Run `velcodec compress` with the small decoder."""
    return lambda *arguments: run("compress", *arguments, "--decoder", "small", "--device", "cpu")


@pytest.fixture(scope="session")
def models() -> np.ndarray:
    """Three models of 20 x 24: dipping layers, a lens, one constant."""
    z, x = np.mgrid[0:20, 0:24].astype(np.float64)
    layers = 1500.0 + 500.0 * np.floor((z + 0.3 * x) / 6.0)
    lens = np.where((z - 10) ** 2 + (x - 12) ** 2 < 30, 4000.0, 2000.0 + 20.0 * z)
    return np.stack([layers, lens, np.full_like(z, 2500.0)]).astype(np.float32)


@pytest.fixture(scope="session")
def small_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an untrained decoder with narrow layers, named small: quick, and bad."""
    import torch

    from velcodec.decoder import MixtureConfig, SirenMixture, save_decoder
    from velcodec.formats.tables import LatentTables, integer_frequencies

    torch.manual_seed(3)
    decoder = SirenMixture(MixtureConfig(16, 1, 8, 4, 1, 8, omega_0=6.0)).freeze_()
    decoder.steps = torch.tensor([0.5, 0.25, 0.125, 0.0625])
    laplace = (2.0 ** (12 - abs(np.arange(-6, 7)))).astype(np.int64)
    row = integer_frequencies(np.append(laplace, 1)).astype(np.uint16)
    decoder.tables = LatentTables(
        row[None], np.zeros((1, 4, 256), dtype=np.uint8), np.array([1 << 14], dtype=np.uint16)
    )
    path = tmp_path_factory.mktemp("decoder") / "small.safetensors"
    save_decoder(decoder, path, {"name": "small", "licence": "BSD-3-Clause"})
    return path
