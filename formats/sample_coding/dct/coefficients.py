"""Quantised DCT coefficients as learned bits, lowest frequencies first.

The logit of a bit is a sum of weights of features of known coefficients at nearby frequencies. The
weights start as learned from generated models and adapt within the stream.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.learned_bits import code_learned
from velcodec.formats.entropy.magnitudes import (
    MOST_BITS,
    bit_length,
    code_below,
    sign_of,
    size_class,
)
from velcodec.formats.entropy.symbols import DECODING, Coder, code_bit

STAGES = 12
"""Numbers of bits of a magnitude with separate weights."""

SIZES = (20, 20, 20, 28, 100, 46, 36, 24, 16)
"""Number of values of each feature."""

FEATURES, ROWS = len(SIZES), sum(SIZES)

REACH = 3
"""Coefficients up to this far away in both directions are neighbours."""

CHUNK, MORES = 32, 12
"""After every CHUNK coefficients a bit, with MORES contexts, says whether nonzero ones follow."""


def order_of(shape: tuple[int, int]) -> Int64:
    """Rows and columns (n, 2) of all coefficients, in coding order."""
    nz, nx = shape
    i, j = np.mgrid[:nz, :nx].reshape(2, -1)
    order: Int64 = np.argsort((i * nx) ** 2 + (j * nz) ** 2, kind="stable")
    return np.ascontiguousarray(np.stack([i[order], j[order]], 1).astype(np.int64))


@njit(cache=True)
def find_features(
    q: Int64, known: Int64, i: int, j: int, nz: int, nx: int, recent: int, features: Int64
) -> None:  # fmt: skip
    """Fill `features` (FEATURES,) of the coefficient at row i and column j of (nz, nx). `q` holds
    the known coefficients and `known` marks them, both padded by REACH; `recent` is the running
    mean of magnitudes, times 256.
    """
    near, near_known, far, far_known, wide, wide_known = 0, 0, 0, 0, 0, 0
    for di in range(-REACH, REACH + 1):
        for dj in range(-REACH, REACH + 1):
            z, x = i + REACH + di, j + REACH + dj
            if known[z, x] == 0:
                continue
            size = abs(q[z, x])
            square = di * di + dj * dj
            weight = 16 // square if square <= 8 else 1
            wide += weight * size
            wide_known += weight
            if square <= 2:
                near += (3 - square) * size
                near_known += 3 - square
            elif square <= 8:
                far += size
                far_known += 1
    near_class = size_class(8 * near // max(near_known, 1), 19)
    far_class = size_class(8 * far // max(far_known, 1), 19)
    recent_class = size_class(recent >> 4, 19)
    wide_class = size_class(24 * wide // max(wide_known, 1), 27)
    square = 1024 * ((i * nx) ** 2 + (j * nz) ** 2) // (nz * nz * nx * nx)
    radius = 0
    while (radius + 1) ** 2 <= square:
        radius += 1
    angle = min(8 * i * nx // max(i * nx + j * nz, 1), 7)
    loudness = 0 if wide_class < 2 else 1 if wide_class < 9 else 2
    above, left = q[i + REACH - 1, j + REACH], q[i + REACH, j + REACH - 1]
    features[0] = near_class
    features[1] = far_class
    features[2] = recent_class
    features[3] = wide_class
    features[4] = 10 * min(wide_class // 2, 9) + min(recent_class // 2, 9)
    features[5] = min(radius, 45)
    features[6] = 6 * min(i, 5) + min(j, 5)
    features[7] = 3 * angle + loudness
    features[8] = 4 * min(abs(above), 3) + min(abs(left), 3)
    start = 0
    for k in range(FEATURES):
        features[k] += start
        start += SIZES[k]


@njit(cache=True)
def _code_value(
    value: int, weights: Int64, sign: Int64, tails: Int64, features: Int64,
    rate: int, coder: Coder,
) -> int:  # fmt: skip
    """Code a coefficient: number of bits, the bits below the leading 1, sign."""
    size = abs(value)
    wanted = bit_length(size)
    bits = 0
    while bits < MOST_BITS:
        row = weights[min(bits, STAGES - 1)]
        if not code_learned(int(wanted > bits), row, features, rate, coder):
            break
        bits += 1
    if bits == 0:
        return 0
    now = code_below(size, bits, weights[STAGES], tails, features, rate, coder)
    negative = code_bit(int(value < 0), sign, coder)
    return -now if negative else now


@njit(cache=True)
def code_coefficients(
    q: Int64, order: Int64, weights: Int64, mores: Int64,
    rate: int, most: int, coder: Coder,
) -> bool:  # fmt: skip
    """Code all of `q` (nz, nx). Returns False if a magnitude is greater than `most`."""
    decoding = coder[DECODING]
    nz, nx = q.shape
    padded = np.zeros((nz + 2 * REACH, nx + 2 * REACH), dtype=np.int64)
    known = np.zeros_like(padded)
    tails = np.full((MOST_BITS + 1, 2), 1 << 15, dtype=np.int64)
    tails[:, 1] = 1
    features = np.zeros(FEATURES, dtype=np.int64)
    signs = np.full((7, 2), 1 << 15, dtype=np.int64)
    signs[:, 1] = 2
    last = 0
    for k in range(len(order)):
        if not decoding and q[order[k, 0], order[k, 1]] != 0:
            last = k
    recent, chunk = 1 << 12, 0
    for k in range(len(order)):
        i, j = order[k]
        if k % CHUNK == 0 and k > 0:
            if not code_bit(int(last >= k), mores[size_class(chunk, MORES - 1)], coder):
                break
            chunk = 0
        find_features(padded, known, i, j, nz, nx, recent, features)
        value = 0 if decoding else q[i, j]
        context = 0
        if j == 0:
            context = 2 + sign_of(padded[i + REACH - 2, j + REACH])
        elif i == 0:
            context = 5 + sign_of(padded[i + REACH, j + REACH - 2])
        signs[0, 0] = 1 << 15
        value = _code_value(value, weights, signs[context], tails, features, rate, coder)
        size = abs(value)
        if size > most:
            return False
        q[i, j] = value
        padded[i + REACH, j + REACH] = value
        known[i + REACH, j + REACH] = 1
        if k > 0:
            recent += (min(size, 1 << 20) * 256 - recent) >> 4
        chunk += min(size, 1 << 20)
    return True
