"""Outliers: samples of a decoded image outside the bound, and their corrections in units.

They are coded by learned bits, whose features are the outliers already known nearby.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.learned_bits import code_learned
from velcodec.formats.entropy.magnitudes import MOST_BITS, code_size, sign_of, size_class
from velcodec.formats.entropy.symbols import DECODING, Coder

WHICH_FEATURES, WHICH_ROWS = 4, 25 + 7 + 40 + 12
SIDE_FEATURES, SIDE_ROWS = 2, 9 + 9


@njit(cache=True)
def outlier_features(
    c: Int64, z: int, x: int, ratio: int, recent: int, which: Int64, side: Int64
) -> None:  # fmt: skip
    """Fill the features of whether a sample is an outlier (`which`) and of its sign (`side`). `c`
    holds the known corrections, padded by 2; `ratio` is 16 quantiser steps over the unit.
    """
    p, r = z + 2, x + 2
    n, w, nw, ne = c[p - 1, r], c[p, r - 1], c[p - 1, r - 1], c[p - 1, r + 1]
    count = int(n != 0) + int(w != 0) + int(nw != 0) + int(ne != 0)
    tilt = sign_of(n) + sign_of(w) + sign_of(nw) + sign_of(ne)
    far = int(c[p - 2, r] != 0) + int(c[p, r - 2] != 0) + int(c[p - 2, r - 1] != 0)
    far += int(c[p - 2, r + 1] != 0) + int(c[p - 1, r - 2] != 0) + int(c[p - 1, r + 2] != 0)
    which[0] = 5 * count + abs(tilt)
    which[1] = 25 + far
    which[2] = 32 + min(ratio, 39)
    which[3] = 72 + size_class(recent >> 9, 11)
    side[0] = tilt + 4
    side[1] = 9 + 3 * (sign_of(n) + 1) + sign_of(w) + 1


@njit(cache=True)
def code_outliers(
    outliers: Int64, ratio: int, which_weights: Int64, side_weights: Int64, rate: int,
    coder: Coder,
) -> None:  # fmt: skip
    """Code `outliers` (nz, nx), units to add to each sample; `ratio` as in `outlier_features`."""
    decoding = coder[DECODING]
    nz, nx = outliers.shape
    padded = np.zeros((nz + 4, nx + 4), dtype=np.int64)
    which = np.zeros(WHICH_FEATURES, dtype=np.int64)
    side = np.zeros(SIDE_FEATURES, dtype=np.int64)
    more = np.zeros((MOST_BITS + 1, 2), dtype=np.int64)
    more[:, 0] = 60000
    recent = 0
    for z in range(nz):
        for x in range(nx):
            outlier_features(padded, z, x, ratio, recent, which, side)
            value = 0 if decoding else outliers[z, x]
            some = code_learned(int(value != 0), which_weights[0], which, rate, coder)
            recent += ((some << 16) - recent) >> 6
            if not some:
                continue
            negative = code_learned(int(value < 0), side_weights[0], side, rate, coder)
            size = 1 + code_size(abs(value) - 1, more, coder)
            outliers[z, x] = -size if negative else size
            padded[z + 2, x + 2] = outliers[z, x]
