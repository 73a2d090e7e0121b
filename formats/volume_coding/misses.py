"""Samples that are like none of their neighbours: how far they miss a prediction.

The prediction blends a linear one, whose weights are learned by least squares, with simple ones, by
how well each did nearby. Floating point is IEEE 754 with two operands at a time, in fixed order, so
that it is the same on every machine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length, size_class
from velcodec.formats.entropy.symbols import Coder, code_bits
from velcodec.formats.sample_coding.mixing.mixer import hashed
from velcodec.formats.volume_coding.blending import blended
from velcodec.formats.volume_coding.columns import (
    BEHIND,
    CORNER,
    FAR_BEHIND,
    FAR_LEFT,
    LEFT,
    PADDING,
    RIGHT,
    Columns,
)
from velcodec.formats.volume_coding.mixer import Mixer, decide, new_mixer

FRACTION = 4
HEAD_BITS = 44
"""Predictions are in 2^-FRACTION of a sample's highest HEAD_BITS bits; the others are raw."""

OWN = -1
NEIGHBOURS = np.array(
    [
        [OWN, -2],
        [LEFT, 0], [LEFT, -1], [LEFT, 1],
        [BEHIND, 0], [BEHIND, -1], [BEHIND, 1],
        [CORNER, 0], [CORNER, -1], [CORNER, 1],
        [RIGHT, 0], [RIGHT, -1], [RIGHT, 1],
        [FAR_LEFT, 0], [FAR_BEHIND, 0],
    ]
)  # fmt: skip
"""Column and row, of the differences to the sample above that the linear prediction weighs."""

ORDER = len(NEIGHBOURS)
KEPT = 1.0 - 2.0**-11
"""What is left of sums after each sample."""

RIDGE = 2.0**-8
LEAST_PIVOT = 2.0**-36
EVERY = 16
"""Weights are found anew after so many samples."""

PREDICTIONS = 6
MISS_CONTEXTS = 12
CLASSES = 24
GROUPS = 8
"""Of decisions: whether there is a miss, its sign, its length, the bits below the leading 1."""

MISS_SELECTORS = GROUPS * CLASSES + 4 * 64
MISS_REFINERS = GROUPS * CLASSES
LEARNED_BITS = 3
"""So many highest bits of a miss are learned, the others raw."""


MOST_SYMBOLS = HEAD_BITS + 16
"""Most symbols of a sample, misses and raw bits."""


class Misses(NamedTuple):
    """Linear prediction: `system` (ORDER, ORDER) and `right` (ORDER,), sums of products; `factors`
    and `solved`, room; `weights` and `near` (ORDER,); `counts` (1,) of samples learned. Of columns,
    `errors` (columns + 1, nz, PREDICTIONS) of predictions and how far they `missed` (columns + 1,
    nz); and room.
    """

    system: Float64
    right: Float64
    factors: Float64
    solved: Float64
    weights: Float64
    near: Float64
    counts: Int64
    errors: Int64
    missed: Int64
    guesses: Int64
    costs: Int64
    mixer: Mixer


def new_misses(columns: int, nz: int) -> Misses:
    """Before the first sample of so many columns."""
    return Misses(
        np.zeros((ORDER, ORDER)),
        np.zeros(ORDER),
        np.zeros((ORDER, ORDER)),
        np.zeros(ORDER),
        np.zeros(ORDER),
        np.zeros(ORDER),
        np.zeros(1, dtype=np.int64),
        np.zeros((columns + 1, nz, PREDICTIONS), dtype=np.int64),
        np.zeros((columns + 1, nz), dtype=np.int64),
        np.zeros(PREDICTIONS, dtype=np.int64),
        np.zeros(PREDICTIONS, dtype=np.int64),
        new_mixer(MISS_CONTEXTS, columns * nz, MISS_SELECTORS, MISS_REFINERS),
    )


@njit(cache=True, allocates=False)
def _linear(here: int, z: int, shift: int, columns: Columns, misses: Misses) -> float:
    """The prediction of a sample that is not in the first column."""
    padded, near, weights = columns.padded, misses.near, misses.weights
    base = padded[here, z + PADDING - 1] >> shift
    total = float(base)
    for k in range(ORDER):
        column = here if NEIGHBOURS[k, 0] == OWN else columns.around[NEIGHBOURS[k, 0]]
        near[k] = float((padded[column, z + PADDING + NEIGHBOURS[k, 1]] >> shift) - base)
        total += weights[k] * near[k]
    return total


@njit(cache=True, allocates=False)
def _learn_linear(wanted: float, misses: Misses) -> None:
    """Learn that a sample is `wanted` more than the one above."""
    system, right, near = misses.system, misses.right, misses.near
    for i in range(ORDER):
        right[i] = KEPT * right[i] + near[i] * wanted
        for j in range(i + 1):
            system[i, j] = KEPT * system[i, j] + near[i] * near[j]
        system[i, i] += RIDGE
    misses.counts[0] += 1
    if misses.counts[0] % EVERY == 0:
        _solve(misses)


@njit(cache=True, allocates=False)
def _solve(misses: Misses) -> None:
    """Find the weights, by Cholesky's factors without roots."""
    system, right, lower, solved, weights = (
        misses.system, misses.right, misses.factors, misses.solved, misses.weights
    )  # fmt: skip
    for i in range(ORDER):
        for j in range(i):
            total = system[i, j]
            for k in range(j):
                total -= lower[k, i] * lower[j, k]
            lower[j, i] = total
        pivot, value = system[i, i], right[i]
        least = max(RIDGE, pivot * LEAST_PIVOT)
        for j in range(i):
            scaled = lower[j, i] / lower[j, j]
            pivot -= lower[j, i] * scaled
            value -= scaled * solved[j]
            lower[i, j] = scaled
        lower[i, i] = max(pivot, least)
        solved[i] = value
    for i in range(ORDER - 1, -1, -1):
        value = solved[i] / lower[i, i]
        for k in range(i + 1, ORDER):
            value -= lower[k, i] * weights[k]
        weights[i] = value


@njit(cache=True, allocates=False, inline="always")
def clamped(value: int, most: int) -> int:
    """A value as one of 2 `most` + 1."""
    return min(max(value, -most), most) + most


@njit(cache=True, allocates=False)
def code_value(
    value: int, here: int, z: int, y: int, x: int, span: int, columns: Columns, misses: Misses,
    coder: Coder,
) -> int:  # fmt: skip
    """The value of a sample of [0, span); not within it if a stream is damaged."""
    padded, around = columns.padded, columns.around
    guesses, costs, errors, missed = misses.guesses, misses.costs, misses.errors, misses.missed
    shift = max(bit_length(span - 1) - HEAD_BITS, 0)
    most = (span - 1) >> shift
    left, behind, corner, right = around[LEFT], around[BEHIND], around[CORNER], around[RIGHT]
    row = z + PADDING
    a, a2 = padded[here, row - 1] >> shift, padded[here, row - 2] >> shift
    b, b_up = padded[left, row] >> shift, padded[left, row - 1] >> shift
    c, c_up = padded[behind, row] >> shift, padded[behind, row - 1] >> shift
    d, d_up = padded[corner, row] >> shift, padded[corner, row - 1] >> shift
    e = padded[right, row] >> shift
    if here == 0:
        if z == 0:
            a = most >> 1
        if z < 2:
            a2 = a
        b = b_up = c = c_up = d = d_up = e = a
    linear = float(a)
    if here > 0:
        linear = min(max(_linear(here, z, shift, columns, misses), 0.0), float(most))
    guesses[0] = int(np.floor(linear * (1 << FRACTION) + 0.5))
    guesses[1] = (a + b + c - b_up - c_up - d + d_up) << FRACTION
    guesses[2] = (a + b - b_up) << FRACTION
    guesses[3] = (a + c - c_up) << FRACTION
    guesses[4] = (b + c - d) << FRACTION
    guesses[5] = (2 * a - a2) << FRACTION
    up, low = max(z - 1, 0), min(z + 1, errors.shape[1] - 1)
    for k in range(PREDICTIONS):
        costs[k] = (
            1 + 2 * (errors[left, z, k] + errors[behind, z, k]) + errors[left, low, k]
            + errors[behind, low, k] + errors[left, up, k] + errors[behind, up, k]
            + errors[corner, z, k] + errors[right, z, k]
        )  # fmt: skip
        if z > 0:
            costs[k] += 2 * errors[here, up, k]
    fine = min(max(blended(PREDICTIONS, guesses, costs), 0), most << FRACTION)
    guess = (fine + (1 << (FRACTION - 1))) >> FRACTION
    part = fine - (guess << FRACTION) + (1 << (FRACTION - 1))
    m_a = missed[here, z - 1] if z > 0 else 0
    m_b, m_c = missed[left, z], missed[behind, z]
    total = 2 * (abs(m_a) + abs(m_b) + abs(m_c)) + abs(missed[corner, z]) + abs(missed[right, z])
    total += abs(missed[left, low]) + abs(missed[behind, low])
    off, error = size_class(total, 47), size_class(costs[0] >> 2, 47)
    spread = size_class(abs(guesses[1] - fine) + abs(guesses[0] - fine), 47)
    by_linear = clamped((guesses[0] - (guess << FRACTION)) >> 1, 15)
    by_corner = clamped((guesses[1] - (guess << FRACTION)) >> 2, 15)
    below = (clamped(a - guess, 8) * 17 + clamped(b - guess, 8)) * 17 + clamped(c - guess, 8)
    signs = (clamped(m_a, 3) * 7 + clamped(m_b, 3)) * 7 + clamped(m_c, 3)
    sizes = (size_class(abs(m_a), 20) * 32 + size_class(abs(m_b), 20)) * 32
    beside = clamped(e - guess, 8) * 17 + clamped(d - guess, 8)
    contexts = misses.mixer.contexts
    contexts[0] = hashed(1, off)
    contexts[1] = hashed(2, signs)
    contexts[2] = hashed(3, part * 32 + (off >> 1))
    contexts[3] = hashed(4, below)
    contexts[4] = hashed(5, spread * 32 + (off >> 1))
    contexts[5] = hashed(6, (by_linear * 32 + by_corner) * 16 + (off >> 2))
    contexts[6] = hashed(7, beside * 32 + part)
    contexts[7] = hashed(8, error * 32 + part)
    contexts[8] = hashed(9, guess)
    contexts[9] = hashed(10, sizes + size_class(abs(m_c), 20))
    contexts[10] = hashed(11, (z * 3 + min(x, 2)) * 3 + min(y, 2))
    contexts[11] = hashed(12, ((error >> 1) * 32 + (spread >> 1)) * 32 + (off >> 1))
    near = min(off >> 1, CLASSES - 1)
    miss = code_miss((value >> shift) - guess, near, part, bit_length(most), misses.mixer, coder)
    head = guess + miss
    if not 0 <= head <= most:
        return -1
    missed[here, z] = miss
    for k in range(PREDICTIONS):
        errors[here, z, k] = abs(guesses[k] - (head << FRACTION))
    if here > 0:
        _learn_linear(float(head - a), misses)
    return code_bits(value, head, shift, coder)


@njit(cache=True, allocates=False)
def code_miss(miss: int, near: int, place: int, most: int, mixer: Mixer, coder: Coder) -> int:
    """A signed integer whose magnitude has at most so many bits, in the contexts of `mixer`; `near`
    (of CLASSES) and `place` (of 64) select weights.
    """
    size = abs(miss)
    wanted = bit_length(size)
    if not _decide(int(wanted > 0), 0, 0, near, place, mixer, coder):
        return 0
    negative = _decide(int(miss < 0), 1, 1, near, 64 + place, mixer, coder)
    bits = 1
    while bits < most:
        group, node = 2 + min(bits - 1, 3), 1 + bits
        if not _decide(int(wanted > bits), node, group, near, 128 + bits, mixer, coder):
            break
        bits += 1
    found = known = 1
    while known < min(bits, LEARNED_BITS):
        bit, node = (size >> (bits - known - 1)) & 1, 100 + 8 * bits + found + 1024 * negative
        bit = _decide(bit, node, 5 + known, near, 192 + bits, mixer, coder)
        found = 2 * found + bit
        known += 1
    found = code_bits(size, found, bits - known, coder)
    return -found if negative else found


@njit(cache=True, allocates=False, inline="always")
def _decide(
    bit: int, node: int, group: int, near: int, other: int, mixer: Mixer, coder: Coder
) -> int:
    mixer.select[0] = mixer.refine[0] = group * CLASSES + near
    mixer.select[1] = GROUPS * CLASSES + other
    return decide(bit, node, mixer, coder)
