"""A small decoder that tests can compress with in seconds, and models of a known kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from velcodec.decoder import Decoder, MixtureConfig, SirenMixture, read_decoder, save_decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.fit.lm import hessian_of
from velcodec.formats.latent_coding.stream import LatentTables
from velcodec.geometry import grid_points
from velcodec.train.finish import FIRST_ROW_SCALE, ROWS_PER_OCTAVE, laplace_rows

TINY_NAME = "tiny"


def untrained_decoder(seed: int = 3) -> Decoder:
    """A narrow decoder with random weights, a latent basis in which one step means one output
    error, and tables to match. It fits smooth and layered models of some 20 x 20 samples."""
    torch.manual_seed(seed)
    decoder = SirenMixture(MixtureConfig(16, 1, 8, 4, 1, 8, omega_0=6.0)).freeze_()
    points = torch.from_numpy(grid_points(24, 24)).float()
    curvature = hessian_of(decoder, points, 0.5 * torch.randn(8, 256)).mean(0).diagonal()
    scale = (curvature + 1e-6 * curvature.mean()).rsqrt()
    order = scale.argsort()
    decoder.reparametrise_(torch.diag(scale)[:, order])
    deviation = 0.5 / scale[order]
    decoder.prior_precision = 1 / (2 * deviation.square())
    decoder.steps = 2.0 ** (-3 - torch.arange(41) / 4)
    decoder.default_step = 12
    gain = torch.tensor([0.25, 0.5, 1.0, 2.0])[:, None, None]
    ratio = gain * deviation / decoder.steps[:, None]
    rows = laplace_rows()
    number = torch.round(ROWS_PER_OCTAVE * torch.log2(ratio / FIRST_ROW_SCALE))
    classes = number.clamp(0, len(rows) - 1).to(torch.uint8).numpy()
    decoder.tables = LatentTables(rows, classes, np.full(4, 2**12, dtype=np.uint16))
    return decoder


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VELCODEC_HOME whose only decoder is the small one, by name `tiny`."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "decoders"
    folder.mkdir()
    save_decoder(untrained_decoder(), folder / f"{TINY_NAME}.safetensors", {"name": TINY_NAME})
    return home


@pytest.fixture
def tiny(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """The small decoder, loaded; archives made with it find it again in VELCODEC_HOME."""
    monkeypatch.setenv(HOME_VARIABLE, str(tiny_home))
    return read_decoder(tiny_home / "decoders" / f"{TINY_NAME}.safetensors")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of another small decoder, `other`, in no folder that is searched."""
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_decoder(untrained_decoder(5), path, {"name": "other"})
    return path
