"""Quantised cosine coefficients as adaptive bits, lowest frequencies first.

The probability of a bit is a sum over features of the coefficients already known nearby in
frequency. The sums begin as learned from generated models and go on learning, stream by stream.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import DECODING, Coder, code_among, code_bit, code_bits
from velcodec.formats.sample_coding.residuals import bit_length

Int64 = NDArray[np.int64]

MOST_BITS = 48
STAGES = 12
"""Numbers of bits of a magnitude that have weights of their own."""

SIZES = (20, 20, 20, 28, 100, 46, 36, 24, 16)
"""How many values each feature takes."""

FEATURES, ROWS = len(SIZES), sum(SIZES)

REACH = 3
"""Coefficients so far away in either direction are neighbours."""

CHUNK, MORES = 32, 12
"""After so many coefficients a bit says whether any others are not zero, in so many contexts."""

RATE_BITS = 8
"""Rates are in 2^-RATE_BITS of a weight for a miss of 2^-16."""

CERTAIN = 12
"""The greatest logit of a bit, in bits."""

LOGIT_BITS = 10
"""Weights are in 2^-LOGIT_BITS of 1/64 bit."""

KEPT_SHIFT = LOGIT_BITS + 2
"""Data files keep weights in 1/16 bit."""


def _frequencies() -> Int64:
    """Frequencies of a 0 bit, of 2^16, by its logit in 1/64 bit, from -CERTAIN to CERTAIN."""
    out = []
    for i in range(-CERTAIN * 64, CERTAIN * 64 + 1):
        # 2^(i / 64) in 2^-40, by exact integer roots.
        power = 1 << (40 * 64 + i)
        for _ in range(6):
            power = math.isqrt(power)
        out.append(min(max((power << 16) // (power + (1 << 40)), 16), (1 << 16) - 16))
    return np.array(out, dtype=np.int64)


FREQUENCIES = _frequencies()


def order_of(shape: tuple[int, int]) -> Int64:
    """The places (n, 2) of all coefficients in the order in which they are coded."""
    nz, nx = shape
    i, j = np.mgrid[:nz, :nx].reshape(2, -1)
    order: Int64 = np.argsort((i * nx) ** 2 + (j * nz) ** 2, kind="stable")
    return np.ascontiguousarray(np.stack([i[order], j[order]], 1).astype(np.int64))


@njit(cache=True)
def place_of(row: Int64, found: Int64) -> int:
    """Where in FREQUENCIES that of a bit stands: its logit is the sum of weights in `row` of the
    features `found`.
    """
    total = 0
    for i in range(len(found)):
        total += row[found[i]]
    return min(max((total >> LOGIT_BITS) + 64 * CERTAIN, 0), 128 * CERTAIN)


@njit(cache=True)
def code_learned(bit: int, row: Int64, found: Int64, rate: int, coder: Coder) -> int:
    """A bit with features `found`, from whose weights in `row` it is foreseen; they learn."""
    pair = np.empty(2, dtype=np.int64)
    pair[0] = FREQUENCIES[place_of(row, found)]
    pair[1] = (1 << 16) - pair[0]
    bit = code_among(bit, pair, coder)
    miss = (0 if bit else 1 << 16) - pair[0]
    for i in range(len(found)):
        row[found[i]] += (miss * rate) >> RATE_BITS
    return bit


@njit(cache=True)
def size_class(energy: int, most: int) -> int:
    """Half octaves."""
    if energy < 3:
        return min(energy, most)
    bits = bit_length(energy)
    return min(2 * bits - 1 + ((energy >> (bits - 2)) & 1), most)


@njit(cache=True)
def sign_of(value: int) -> int:
    """-1, 0 or 1."""
    return int(value > 0) - int(value < 0)


@njit(cache=True)
def find_features(
    q: Int64, known: Int64, i: int, j: int, nz: int, nx: int, recent: int, found: Int64
) -> None:  # fmt: skip
    """Features of the coefficient at row i and column j of (nz, nx). `q` holds those before it and
    `known` where they are, both padded by REACH; `recent` is the mean of the last, times 256.
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
    found[0] = near_class
    found[1] = far_class
    found[2] = recent_class
    found[3] = wide_class
    found[4] = 10 * min(wide_class // 2, 9) + min(recent_class // 2, 9)
    found[5] = min(radius, 45)
    found[6] = 6 * min(i, 5) + min(j, 5)
    found[7] = 3 * angle + loudness
    found[8] = 4 * min(abs(above), 3) + min(abs(left), 3)
    start = 0
    for k in range(FEATURES):
        found[k] += start
        start += SIZES[k]


@njit(cache=True)
def code_below(
    size: int, bits: int, row: Int64, tails: Int64, found: Int64, rate: int, coder: Coder
) -> int:
    """A size of `bits` bits, the leading one of which is known: the next one is learned, in `row`
    for sizes of two bits, the others are raw.
    """
    if bits == 1:
        return 1
    left = bits - 2
    bit = (size >> left) & 1
    if bits == 2:
        bit = code_learned(bit, row, found, rate, coder)
    else:
        bit = code_bit(bit, tails[bits], coder)
    return code_bits(size, 2 | bit, left, coder)


@njit(cache=True)
def _code_value(
    value: int, weights: Int64, sign: Int64, tails: Int64, found: Int64,
    rate: int, coder: Coder,
) -> int:  # fmt: skip
    """A signed integer: its number of bits, the bits below the leading one, its sign."""
    size = abs(value)
    wanted = bit_length(size)
    bits = 0
    while bits < MOST_BITS:
        row = weights[min(bits, STAGES - 1)]
        if not code_learned(int(wanted > bits), row, found, rate, coder):
            break
        bits += 1
    if bits == 0:
        return 0
    now = code_below(size, bits, weights[STAGES], tails, found, rate, coder)
    negative = code_bit(int(value < 0), sign, coder)
    return -now if negative else now


@njit(cache=True)
def code_size(value: int, stops: Int64, coder: Coder) -> int:
    """An integer that is not negative, of which nothing is known but those before it."""
    wanted = bit_length(value)
    bits = 0
    while bits < MOST_BITS and code_bit(int(wanted > bits), stops[bits], coder):
        bits += 1
    return code_bits(value, 1, bits - 1, coder) if bits > 0 else 0


@njit(cache=True)
def code_coefficients(
    q: Int64, order: Int64, weights: Int64, mores: Int64,
    rate: int, most: int, coder: Coder,
) -> bool:  # fmt: skip
    """Code all of `q` (nz, nx); False where one is greater than `most`."""
    decoding = coder[DECODING]
    nz, nx = q.shape
    padded = np.zeros((nz + 2 * REACH, nx + 2 * REACH), dtype=np.int64)
    known = np.zeros_like(padded)
    tails = np.full((MOST_BITS + 1, 2), 1 << 15, dtype=np.int64)
    tails[:, 1] = 1
    found = np.zeros(FEATURES, dtype=np.int64)
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
        find_features(padded, known, i, j, nz, nx, recent, found)
        value = 0 if decoding else q[i, j]
        context = 0
        if j == 0:
            context = 2 + sign_of(padded[i + REACH - 2, j + REACH])
        elif i == 0:
            context = 5 + sign_of(padded[i + REACH, j + REACH - 2])
        signs[0, 0] = 1 << 15
        value = _code_value(value, weights, signs[context], tails, found, rate, coder)
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
