"""A narrow decoder with random weights, for tests that must take seconds."""

from __future__ import annotations

import numpy as np
import torch

from velcodec.decoder import Decoder, MixtureConfig, SirenMixture
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
