"""Which samples of a decoded image miss the bound, and by how many units: adaptive bits.

The probability of a bit is a sum of learned weights of the corrections already known beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import DECODING, Coder
from velcodec.formats.sample_coding.dct.coefficients import (
    MOST_BITS,
    code_learned,
    code_size,
    sign_of,
    size_class,
)

Int64 = NDArray[np.int64]

WHICH_FEATURES, WHICH_ROWS = 4, 25 + 7 + 40 + 12
SIDE_FEATURES, SIDE_ROWS = 2, 9 + 9


@njit(cache=True)
def find_reasons(
    c: Int64, z: int, x: int, ratio: int, recent: int, which: Int64, side: Int64
) -> None:  # fmt: skip
    """Features of whether a sample is corrected, and to which side. `c` holds the corrections and
    is padded by 2; `ratio` is that of 16 quantiser steps to the unit.
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
def code_corrections(
    corrections: Int64, ratio: int, which_weights: Int64, side_weights: Int64, rate: int,
    coder: Coder,
) -> None:  # fmt: skip
    """`corrections` (nz, nx): how many units to add to each sample. `ratio` as above."""
    decoding = coder[DECODING]
    nz, nx = corrections.shape
    padded = np.zeros((nz + 4, nx + 4), dtype=np.int64)
    which = np.zeros(WHICH_FEATURES, dtype=np.int64)
    side = np.zeros(SIDE_FEATURES, dtype=np.int64)
    more = np.zeros((MOST_BITS + 1, 2), dtype=np.int64)
    more[:, 0] = 60000
    recent = 0
    for z in range(nz):
        for x in range(nx):
            find_reasons(padded, z, x, ratio, recent, which, side)
            value = 0 if decoding else corrections[z, x]
            some = code_learned(int(value != 0), which_weights[0], which, rate, coder)
            recent += ((some << 16) - recent) >> 6
            if not some:
                continue
            negative = code_learned(int(value < 0), side_weights[0], side, rate, coder)
            size = 1 + code_size(abs(value) - 1, more, coder)
            corrections[z, x] = -size if negative else size
            padded[z + 2, x + 2] = corrections[z, x]
