"""What streams of waves begin with, learned from generated models by `velcodec.train.waves`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.sample_coding.dct.coefficients import KEPT_SHIFT, MORES, ROWS, STAGES
from velcodec.formats.sample_coding.dct.outliers import SIDE_ROWS, WHICH_ROWS

Int64 = NDArray[np.int64]

FILE = "waves-1.safetensors"
"""In the package's data; never changed, as streams depend on it."""

NAMES = "weights", "which", "side"

SHAPES = (STAGES + 1, ROWS), (1, WHICH_ROWS), (1, SIDE_ROWS)


class Models(NamedTuple):
    """Weights of the coefficients' features, adaptive bits that say whether there are more, and the
    weights of where corrections are and to which side.
    """

    weights: Int64
    more: Int64
    which: Int64
    side: Int64


def untrained() -> Models:
    """Models that know nothing."""
    weights, which, side = (np.zeros(shape, dtype=np.int64) for shape in SHAPES)
    return Models(weights, _adaptive([1 << 15] * MORES), which, side)


def _adaptive(frequencies: list[int]) -> Int64:
    return np.array([[frequency, 8] for frequency in frequencies], dtype=np.int64)


def first_models() -> Models:
    """Models as they are before a stream."""
    kept = _kept()
    weights, which, side = (kept[name].astype(np.int64) << KEPT_SHIFT for name in NAMES)
    return Models(weights, _adaptive(kept["more"].tolist()), which[None], side[None])


@cache
def _kept() -> dict[str, NDArray[np.signedinteger]]:
    from safetensors.numpy import load

    return load(resources.files("velcodec").joinpath("data", FILE).read_bytes())
