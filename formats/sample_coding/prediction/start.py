"""What streams of least squares begin with, learned from generated models by
`velcodec.train.least_squares`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.sample_coding.dct.coefficients import KEPT_SHIFT
from velcodec.formats.sample_coding.prediction.regression import MOST_ORDER, Float64

Int64 = NDArray[np.int64]

CLASSES, JOINT, FEW = 48, 24, 12
"""Half octaves of an error, octaves where two errors are told together, and beside a fraction."""

SIZE_SIZES = (CLASSES, CLASSES, CLASSES, CLASSES, JOINT**2, JOINT**2, 9 * FEW)
SIGN_SIZES = (16 * FEW, 9, 9)
"""How many values each feature takes, of a miss's size and of its sign."""

STAGES = 16
"""Numbers of bits of a miss that have weights of their own."""

PRIOR_UNIT = 1.0 / 256.0
"""Weights of predictions are kept in this."""

FILE = "least-squares-1.safetensors"
"""In the package's data; never changed, as streams depend on it."""


class Start(NamedTuple):
    """Weights that predictions are drawn to, and those of the features of a miss's size and sign,
    which learn.
    """

    prior: Float64
    weights: Int64
    signs: Int64


def untrained() -> Start:
    """A start that knows nothing but that neighbours are alike."""
    weights = np.zeros((STAGES + 1, sum(SIZE_SIZES)), dtype=np.int64)
    return Start(np.zeros(MOST_ORDER), weights, np.zeros(sum(SIGN_SIZES), dtype=np.int64))


def first_models() -> Start:
    """The start of a stream."""
    kept = _kept()
    return Start(
        kept["prior"].astype(np.float64) * PRIOR_UNIT,
        kept["weights"].astype(np.int64) << KEPT_SHIFT,
        kept["signs"].astype(np.int64) << KEPT_SHIFT,
    )


@cache
def _kept() -> dict[str, NDArray[np.signedinteger]]:
    from safetensors.numpy import load

    return load(resources.files("velcodec").joinpath("data", FILE).read_bytes())
