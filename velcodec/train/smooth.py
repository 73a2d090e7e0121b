"""Generated models that smooth streams learn from, and weights as they are kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.sample_coding.dct.coefficients import KEPT_SHIFT
from velcodec.synth import draw

SIZES = ((70, 70), (70, 70), (70, 70), (70, 70), (100, 100), (48, 96), (120, 60), (35, 35))


def smooth_models(shares: Mapping[str, float], count: int, seed: int) -> list[NDArray[np.float64]]:
    """About `count` models (nz, nx) in m/s, of families in these shares and of all sizes."""
    out: list[NDArray[np.float64]] = []
    for family, share in shares.items():
        for k, (nz, nx) in enumerate(SIZES):
            few = max(1, round(count * share / len(SIZES)))
            rendered = draw(family, seed, k * few, few).render(nz, nx).numpy()
            out += [model.astype(np.float64) for model in rendered]
    return out


def kept(weights: NDArray[np.int64]) -> NDArray[np.int8]:
    """Weights of learned bits, rounded to what a data file holds."""
    rounding = 1 << (KEPT_SHIFT - 1)
    return np.clip((weights + rounding) >> KEPT_SHIFT, -127, 127).astype(np.int8)
