"""Initial weights of least-squares streams, learned from generated models by
`velcodec.train.least_squares`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.entropy.learned_bits import KEPT_SHIFT
from velcodec.formats.sample_coding.prediction.regression import MOST_ORDER

CLASSES, JOINT, NEAR_CLASSES = 48, 24, 12
"""Classes of an error: alone, joined with a second one, and joined with a fraction."""

SIZE_SIZES = (CLASSES, CLASSES, CLASSES, CLASSES, JOINT**2, JOINT**2, 9 * NEAR_CLASSES)
SIGN_SIZES = (16 * NEAR_CLASSES, 9, 9)
"""Number of values of each feature: of a residual's magnitude, and of its sign."""

STAGES = 16
"""Numbers of bits of a residual with separate weights."""

PRIOR_UNIT = 1.0 / 256.0
"""Unit of prediction weights in the data file."""

FILE = "least-squares-1.safetensors"
"""In the package's data. Never changes: streams depend on it."""


class Start(NamedTuple):
    """The prior of prediction weights, and the adaptive weights of the features of a residual's
    magnitude and sign.
    """

    prior: Float64
    weights: Int64
    signs: Int64


def untrained() -> Start:
    """All weights zero: a sample is predicted as the one above."""
    weights = np.zeros((STAGES + 1, sum(SIZE_SIZES)), dtype=np.int64)
    return Start(np.zeros(MOST_ORDER), weights, np.zeros(sum(SIGN_SIZES), dtype=np.int64))


def first_models() -> Start:
    """The initial weights of a stream."""
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
