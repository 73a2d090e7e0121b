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
from velcodec.formats.volume_coding.mixer import Mixer, decide

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
LENGTHS = 66
MISS_SELECTORS = 8 * CLASSES + 8 * 64
MISS_REFINERS = 8 * CLASSES
LEARNED_BITS = 3
"""So many highest bits of a miss are learned, the others raw."""


class Misses(NamedTuple):
    """Linear prediction: `system` (ORDER, ORDER) and `right` (ORDER,), sums of products; `factors`
    and `solved`, room; `weights` and `near` (ORDER,); `counts`: samples learned. Of columns, `errors`
    (columns + 1, nz, PREDICTIONS) of predictions and `misses` (columns + 1, nz).
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
    energy: Int64
    mixer: Mixer


@njit(cache=True, allocates=False)
def _linear(here: int, z: int, shift: int, columns: Columns, misses: Misses) -> float:
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


@njit(cache=True, allocates=False)
def code_value(
    value: int, here: int, z: int, y: int, x: int, span: int, columns: Columns, misses: Misses,
    coder: Coder,
) -> int:  # fmt: skip
    """The value of a sample of [0, span); not within it if a stream is damaged."""
    padded, around = columns.padded, columns.around
    guesses, energy, errors, missed = misses.guesses, misses.energy, misses.errors, misses.missed
    shift = max(bit_length(span - 1) - HEAD_BITS, 0)
    most = (span - 1) >> shift
    left, behind, corner, right = around[LEFT], around[BEHIND], around[CORNER], around[RIGHT]
    row = z + PADDING
    a, a2 = padded[here, row - 1] >> shift, padded[here, row - 2] >> shift
    b, b_up = padded[left, row] >> shift, padded[left, row - 1] >> shift
    c, c_up = padded[behind, row] >> shift, padded[behind, row - 1] >> shift
    d, d_up = padded[corner, row] >> shift, padded[corner, row - 1] >> shift
    e = padded[right, row] >> shift
    if b < 0:
        # The first column of all.
        b = b_up = c = c_up = d = d_up = e = a
    if here == 0 and z == 0:
        a = a2 = b = b_up = c = c_up = d = d_up = e = most >> 1
    linear = 0.0
    if here > 0:
        linear = _linear(here, z, shift, columns, misses)
    else:
        linear = float(a)
    linear = min(max(linear, 0.0), float(most))
    guesses[0] = int(np.floor(linear * (1 << FRACTION) + 0.5))
    guesses[1] = (a + b + c - b_up - c_up - d + d_up) << FRACTION
    guesses[2] = (a + b - b_up) << FRACTION
    guesses[3] = (a + c - c_up) << FRACTION
    guesses[4] = (b + c - d) << FRACTION
    guesses[5] = (2 * a - a2) << FRACTION
    up = max(z - 1, 0)
    low = min(z + 1, errors.shape[1] - 1)
    for k in range(PREDICTIONS):
        energy[k] = (
            2 * (errors[left, z, k] + errors[behind, z, k]) + errors[left, low, k]
            + errors[behind, low, k] + errors[left, up, k] + errors[behind, up, k]
            + errors[corner, z, k] + errors[right, z, k]
        )  # fmt: skip
        if z > 0:
            energy[k] += 2 * errors[here, up, k]
        energy[k] += 1
    fine = min(max(blended(PREDICTIONS, guesses, energy), 0), most << FRACTION)
    guess = (fine + (1 << (FRACTION - 1))) >> FRACTION
    part = fine - (guess << FRACTION) + (1 << (FRACTION - 1))
    m_a = missed[here, z - 1] if z > 0 else 0
    m_b, m_c, m_d, m_e = missed[left, z], missed[behind, z], missed[corner, z], missed[right, z]
    m_bl, m_cl = missed[left, low], missed[behind, low]
    total = 2 * (abs(m_a) + abs(m_b) + abs(m_c)) + abs(m_d) + abs(m_e) + abs(m_bl) + abs(m_cl)
    off = size_class(total, 47)
    ef = size_class(misses.energy[0] >> 2, 47)
    contexts = misses.mixer.contexts
    spread = size_class(abs(guesses[1] - fine) + abs(guesses[0] - fine), 47)
    p_0 = min(max((guesses[0] - (guess << FRACTION)) >> 1, -15), 16)
    p_1 = min(max((guesses[1] - (guess << FRACTION)) >> 2, -15), 16)
    contexts[0] = hashed(1, off)
    contexts[1] = hashed(hashed(2, min(max(m_a, -3), 3)), min(max(m_b, -3), 3) * 8 + min(max(m_c, -3), 3))
    contexts[2] = hashed(hashed(3, part), off >> 1)
    contexts[3] = hashed(hashed(4, min(max(a - guess, -8), 8)), min(max(b - guess, -8), 8) * 32 + min(max(c - guess, -8), 8))
    contexts[4] = hashed(hashed(5, spread), off >> 1)
    contexts[5] = hashed(hashed(6, p_0), p_1 * 64 + (off >> 2))
    contexts[6] = hashed(hashed(7, min(max(e - guess, -8), 8)), min(max(d - guess, -8), 8) * 64 + part)
    contexts[7] = hashed(hashed(8, ef), part)
    contexts[8] = hashed(hashed(9, guess), 0)
    contexts[9] = hashed(hashed(10, size_class(abs(m_a), 20)), size_class(abs(m_b), 20) * 32 + size_class(abs(m_c), 20))
    contexts[10] = hashed(hashed(11, z), min(x, 2) * 3 + min(y, 2))
    contexts[11] = hashed(hashed(12, ef >> 1), (spread >> 1) * 32 + (off >> 1))
    miss = code_miss((value >> shift) - guess, min(off >> 1, CLASSES - 1), part, bit_length(most), misses.mixer, coder)
    head = guess + miss
    if not 0 <= head <= most:
        return -1
    missed[here, z] = miss
    for k in range(PREDICTIONS):
        errors[here, z, k] = abs(guesses[k] - (head << FRACTION))
    if here > 0:
        _learn_linear(float(head - (padded[here, row - 1] >> shift)), misses)
    return code_bits(value, head, shift, coder)


@njit(cache=True, allocates=False)
def code_miss(
    miss: int, near: int, part: int, most: int, mixer: Mixer, coder: Coder
) -> int:  # fmt: skip
    """A signed integer whose magnitude has at most so many bits."""
    size = abs(miss)
    wanted = bit_length(size)
    select, refine = mixer.select, mixer.refine
    select[0], select[1], refine[0] = near, 8 * CLASSES + part, near
    if not decide(int(wanted > 0), 0, mixer, coder):
        return 0
    select[0], select[1], refine[0] = CLASSES + near, 8 * CLASSES + 64 + part, CLASSES + near
    negative = decide(int(miss < 0), 1, mixer, coder)
    bits = 1
    while bits < most:
        group = 2 + min(bits - 1, 3)
        select[0], select[1] = group * CLASSES + near, 8 * CLASSES + 2 * 64 + min(bits, 63)
        refine[0] = group * CLASSES + near
        if not decide(int(wanted > bits), 1 + bits, mixer, coder):
            break
        bits += 1
    found = 1
    while bit_length(found) < min(bits, LEARNED_BITS):
        known = bit_length(found)
        group = 5 + known
        select[0], select[1] = group * CLASSES + near, 8 * CLASSES + 3 * 64 + min(bits, 63)
        refine[0] = group * CLASSES + near
        bit = decide((size >> (bits - known - 1)) & 1, 100 + 8 * bits + found + 1024 * negative, mixer, coder)
        found = 2 * found + bit
    found = code_bits(size, found, bits - bit_length(found), coder)
    return -found if negative else found
