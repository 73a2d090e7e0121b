"""An image of integers coded as numbers: each foreseen from its neighbours, its miss coded.

For smooth models and noisy ones, where samples are seldom equal. Eight simple predictors are
blended by how well each did nearby; the miss goes by adaptive bits, in contexts of recent misses.
Integer arithmetic throughout. Sources: the blending is that of Meyer and Tischer, "TMW" (1997) and
"Glicbawls" (2001); the binarisation is an exponential Golomb code with adaptive bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    DECODING,
    Coder,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.residuals import (
    OTHER_SYMBOLS,
    bit_length,
    code_miss,
    energy_class,
    first_models,
)

Int64 = NDArray[np.int64]

PREDICTORS = 8

MOST_ERROR = 1 << 56
"""Errors count as no more than this, so that sums of them fit into 64 bits."""

WEIGHT_BITS = 40


@njit(cache=True)
def _fill_predictions(columns: Int64, x: int, z: int, out: Int64) -> None:
    """The predictors' guesses at sample z of column x of `columns` (nx, nz)."""
    height = columns.shape[1]
    above = columns[x, z - 1] if z > 0 else columns[x - 1, z] if x > 0 else 0
    left = columns[x - 1, z] if x > 0 else above
    corner = columns[x - 1, z - 1] if x > 0 and z > 0 else left
    below = columns[x - 1, z + 1] if x > 0 and z < height - 1 else left
    second_above = columns[x, z - 2] if z > 1 else above
    second_left = columns[x - 2, z] if x > 1 else left
    plane = above + left - corner
    out[0] = above
    out[1] = left
    out[2] = plane
    out[3] = above + below - left
    out[4] = 2 * above - second_above
    out[5] = 2 * left - second_left
    out[6] = (above + left) // 2
    out[7] = min(max(plane, min(above, left)), max(above, left))


@njit(cache=True)
def blend(guesses: Int64, energy: Int64) -> int:
    """The mean of the guesses, each weighed by the inverse square of its `energy` nearby."""
    least = energy[0]
    for k in range(1, len(guesses)):
        least = min(least, energy[k])
    shift = max(0, bit_length(least) - 12)
    base = guesses[0]
    weights, total = 0, 0
    for k in range(len(guesses)):
        size = min((energy[k] >> shift) + 1, 1 << 18)
        weight = (1 << WEIGHT_BITS) // (size * size)
        weight = min(weight, 1 << 24)
        if weight == 0:
            continue
        weights += weight
        total += weight * min(max(guesses[k] - base, -(1 << 34)), 1 << 34)
    return base + (2 * total + weights) // (2 * weights) if weights > 0 else base


@njit(cache=True)
def _sign(value: int) -> int:
    return int(value > 0) - int(value < 0)


@njit(cache=True)
def _code_samples(columns: Int64, span: int, coder: Coder) -> bool:
    """Code every sample of `columns` (nx, nz); False where one leaves [0, span)."""
    decoding = coder[DECODING]
    width, height = columns.shape
    errors = np.zeros((2, height, PREDICTORS), dtype=np.int64)
    misses = np.zeros((2, height), dtype=np.int64)
    stops, signs, tails = first_models()
    guesses = np.zeros(PREDICTORS, dtype=np.int64)
    energy = np.zeros(PREDICTORS, dtype=np.int64)
    for x in range(width):
        now, before = errors[x & 1], errors[1 - (x & 1)]
        misses_now, misses_before = misses[x & 1], misses[1 - (x & 1)]
        for z in range(height):
            _fill_predictions(columns, x, z, guesses)
            up, down = max(z - 1, 0), min(z + 1, height - 1)
            for k in range(PREDICTORS):
                energy[k] = before[z, k] + before[up, k] + before[down, k]
                if z > 0:
                    energy[k] += 2 * now[up, k]
                if z > 1:
                    energy[k] += now[z - 2, k]
            guess = min(max(blend(guesses, energy), 0), span - 1)
            recent = 2 * abs(misses_before[z]) + abs(misses_before[up]) + abs(misses_before[down])
            last = 0
            if z > 0:
                last = misses_now[up]
                recent += 2 * abs(last)
            if z > 1:
                recent += abs(misses_now[z - 2])
            tilt = 3 * (_sign(last) + 1) + _sign(misses_before[z]) + 1
            miss = 0 if decoding else columns[x, z] - guess
            miss = code_miss(miss, energy_class(recent), tilt, stops, signs, tails, coder)
            value = guess + miss
            if not 0 <= value < span:
                return False
            columns[x, z] = value
            misses_now[z] = min(max(miss, -MOST_ERROR), MOST_ERROR)
            for k in range(PREDICTORS):
                now[z, k] = min(abs(guesses[k] - value), MOST_ERROR)
    return True


def encode_numbers(codes: Int64, span: int) -> bytes:
    """The stream of an image (nz, nx) of integers in [0, span)."""
    columns = np.ascontiguousarray(codes.T)
    bits = (span - 1).bit_length() + 1
    coder = new_encoder((bits + OTHER_SYMBOLS) * codes.size)
    _code_samples(columns, span, coder)
    return finish_encoder(coder)


def decode_numbers(stream: bytes, shape: tuple[int, int], span: int) -> Int64:
    """The image (nz, nx) that `encode_numbers` was given. Raises CorruptError."""
    columns = np.zeros(shape[::-1], dtype=np.int64)
    coder = new_decoder(stream)
    if not _code_samples(columns, span, coder):
        raise CorruptError(f"exact stream: found a value outside 0 to {span - 1}")
    finish_decoder(coder)
    return np.ascontiguousarray(columns.T)
