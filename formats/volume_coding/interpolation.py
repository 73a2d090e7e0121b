"""Smooth bricks within a bound: samples interpolated between those of coarser grids.

The corners come first; then every interval of each axis is halved, again and again. A new sample is
foreseen between its neighbours of the coarser grid along every axis in which it is new, by lines
and by cubics, blended by how well each did nearby. What is coded is the miss in quantiser steps.
Sources: Zhao et al., "Optimizing error-bounded lossy compression for scientific data by dynamic
spline interpolation" (2021).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int32, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length, size_class
from velcodec.formats.entropy.symbols import DECODING, Coder
from velcodec.formats.sample_coding.mixing.mixer import hashed
from velcodec.formats.volume_coding.blending import blended
from velcodec.formats.volume_coding.misses import (
    CLASSES,
    FRACTION,
    MISS_REFINERS,
    MISS_SELECTORS,
    clamped,
    code_miss,
)
from velcodec.formats.volume_coding.mixer import Mixer, new_mixer

WEIGHT_BITS = 16
MOST_MISS = (1 << 31) - 1
MOST_SPAN = 1 << 31
"""Wider spans are not interpolated; misses and errors are clamped to MOST_MISS."""

MID, FAR_LOW, LOW, HIGH, FAR_HIGH, FIRST_WEIGHT = range(6)
ENTRIES = FIRST_WEIGHT + 4
"""Entries of `new` positions: the middle of an interval, its neighbours among known positions, NONE
outside, and their weights in 2^-WEIGHT_BITS.
"""

GUESSES = 6
INTERPOLATED_CONTEXTS = 12
STAGES = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=np.int64
)
"""Of each stage of a halving: the axes in which its samples are new."""


Positions = tuple[Int64, Int64, Int64]
"""Known or new positions of the three axes."""


class Halving(NamedTuple):
    """An axis before its intervals are halved: positions that are `known`, and those that are `new`
    (count, ENTRIES).
    """

    known: Int64
    new: Int64


def halvings(length: int) -> list[Halving]:
    """Of an axis of so many samples, from the coarsest; the last one has no new positions."""
    known = sorted({0, length - 1})
    found = []
    while True:
        new = []
        for i in range(len(known) - 1):
            low, high = known[i], known[i + 1]
            if high - low > 1:
                around = [
                    known[i - 1] if i > 0 else -1, low, high,
                    known[i + 2] if i + 2 < len(known) else -1,
                ]  # fmt: skip
                middle = (low + high) // 2
                new.append([middle, *around, *_weights(middle, around)])
        table = np.array(new, dtype=np.int64).reshape(len(new), ENTRIES)
        found.append(Halving(np.array(known, dtype=np.int64), table))
        if not new:
            return found
        known = sorted(known + [entry[MID] for entry in new])


def _weights(middle: int, around: list[int]) -> list[int]:
    """Lagrange's weights of the positions `around`, those of -1 being 0."""
    weights = []
    for i, position in enumerate(around):
        upper, lower = 1 << WEIGHT_BITS, 1
        for j, other in enumerate(around):
            if other >= 0 and j != i:
                upper *= middle - other
                lower *= position - other
        weights.append(0 if position < 0 else (2 * upper + lower) // (2 * lower))
    weights[1] += (1 << WEIGHT_BITS) - sum(weights)
    return weights


class Interpolation(NamedTuple):
    """Samples `values` (nz, ny, nx) so far, `labels` of their smooth parts and the `last` value of
    each part, how far each sample `missed` in steps, `errors` (nz, ny, nx, GUESSES) of the two
    guesses along each axis, and their `mean` (stages, GUESSES); and room.
    """

    values: Int64
    labels: Int32
    last: Int64
    missed: Int32
    errors: Int32
    mean: Int64
    guesses: Int64
    kinds: Int64
    chosen: Int64
    costs: Int64
    mixer: Mixer


def new_interpolation(labels: Int64, span: int) -> Interpolation:
    """Before the first sample of a brick of these labels (nz, ny, nx)."""
    shape = labels.shape
    return Interpolation(
        np.zeros(shape, dtype=np.int64),
        labels.astype(np.int32),
        np.full(int(labels.max()) + 1, span >> 1, dtype=np.int64),
        np.zeros(shape, dtype=np.int32),
        np.zeros((*shape, GUESSES), dtype=np.int32),
        np.zeros((len(STAGES), GUESSES), dtype=np.int64),
        np.zeros(GUESSES, dtype=np.int64),
        np.zeros(GUESSES, dtype=np.int64),
        np.zeros(GUESSES, dtype=np.int64),
        np.zeros(GUESSES, dtype=np.int64),
        new_mixer(INTERPOLATED_CONTEXTS, labels.size, MISS_SELECTORS, MISS_REFINERS),
    )


@njit(cache=True, allocates=False, inline="always")
def _at(position: int, axis: int, z: int, y: int, x: int, values: Int64 | Int32) -> int:
    if axis == 0:
        return int(values[position, y, x])
    return int(values[z, position, x]) if axis == 1 else int(values[z, y, position])


@njit(cache=True, allocates=False, inline="always")
def _along(
    axis: int, entry: Int64, z: int, y: int, x: int, state: Interpolation
) -> tuple[bool, bool]:
    """Fill the next two guesses with those along an axis; whether the neighbour before, and the one
    behind, has the same label.
    """
    values, labels, guesses = state.values, state.labels, state.guesses
    at = 2 * axis
    own = labels[z, y, x]
    before = _at(entry[LOW], axis, z, y, x, labels) == own
    behind = _at(entry[HIGH], axis, z, y, x, labels) == own
    far_before = (
        before and entry[FAR_LOW] >= 0 and _at(entry[FAR_LOW], axis, z, y, x, labels) == own
    )
    far_behind = (
        behind and entry[FAR_HIGH] >= 0 and _at(entry[FAR_HIGH], axis, z, y, x, labels) == own
    )
    low = _at(entry[LOW], axis, z, y, x, values)
    high = _at(entry[HIGH], axis, z, y, x, values)
    if before and behind:
        guesses[at] = guesses[at + 1] = ((low + high) << FRACTION) >> 1
        if far_before == (entry[FAR_LOW] >= 0) and far_behind == (entry[FAR_HIGH] >= 0):
            cubic = entry[FIRST_WEIGHT + 1] * low + entry[FIRST_WEIGHT + 2] * high
            if far_before:
                cubic += entry[FIRST_WEIGHT] * _at(entry[FAR_LOW], axis, z, y, x, values)
            if far_behind:
                cubic += entry[FIRST_WEIGHT + 3] * _at(entry[FAR_HIGH], axis, z, y, x, values)
            guesses[at + 1] = cubic >> (WEIGHT_BITS - FRACTION)
    elif before:
        guesses[at] = guesses[at + 1] = low << FRACTION
        if far_before:
            fall = (low - _at(entry[FAR_LOW], axis, z, y, x, values)) << FRACTION
            guesses[at + 1] += fall * (entry[MID] - entry[LOW]) // (entry[LOW] - entry[FAR_LOW])
    elif behind:
        guesses[at] = guesses[at + 1] = high << FRACTION
        if far_behind:
            fall = (high - _at(entry[FAR_HIGH], axis, z, y, x, values)) << FRACTION
            guesses[at + 1] += fall * (entry[HIGH] - entry[MID]) // (entry[FAR_HIGH] - entry[HIGH])
    return before, behind


@njit(cache=True, allocates=False, inline="always")
def _code_steps(
    wanted: Int64, z: int, y: int, x: int, guess: int, near: int, place: int, step: int, most: int,
    mixer: Mixer, coder: Coder,
) -> tuple[int, int]:  # fmt: skip
    """The value of a sample of [0, most] that misses a guess by some steps, and by how many."""
    miss = 0
    if not coder[DECODING]:
        away = wanted[z, y, x] - guess
        miss = (abs(away) + step // 2) // step
        if away < 0:
            miss = -miss
    miss = code_miss(miss, min(near, CLASSES - 1), place, bit_length(most), mixer, coder)
    miss = min(max(miss, -MOST_MISS), MOST_MISS)
    return min(max(guess + miss * step, 0), most), miss


@njit(cache=True, allocates=False, inline="always")
def _code_sample(
    wanted: Int64, z: int, y: int, x: int, pz: int, py: int, px: int, level: int, stage: int,
    entries: Positions, step: int, span: int, state: Interpolation, coder: Coder,
) -> None:  # fmt: skip
    """Code sample (z, y, x); pz, py, px are the positions of those before it in this stage, -1 if
    there is none.
    """
    values, labels, last = state.values, state.labels, state.last
    missed, errors, mean, guesses = state.missed, state.errors, state.mean, state.guesses
    chosen, kinds, costs, mixer = state.chosen, state.kinds, state.costs, state.mixer
    most, count = span - 1, 0
    steep = curved = support = slope = sided = 0
    label = labels[z, y, x]
    for axis in range(3):
        if not STAGES[stage, axis]:
            continue
        entry = entries[axis]
        before, behind = _along(axis, entry, z, y, x, state)
        if not (before and behind):
            sided = 1
        if not before and not behind:
            continue
        if before and behind:
            slope = _at(entry[HIGH], axis, z, y, x, values) - _at(entry[LOW], axis, z, y, x, values)
            steep += abs(slope)
        curved += abs(guesses[2 * axis] - guesses[2 * axis + 1])
        if before:
            support += abs(_at(entry[LOW], axis, z, y, x, missed))
        if behind:
            support += abs(_at(entry[HIGH], axis, z, y, x, missed))
        for k in range(2):
            chosen[count] = guesses[2 * axis + k]
            kinds[count] = 2 * axis + k
            count += 1
    if count == 0:
        sided, count = 2, 1
        if px >= 0 and labels[z, y, px] == label:
            chosen[0] = values[z, y, px] << FRACTION
        elif py >= 0 and labels[z, py, x] == label:
            chosen[0] = values[z, py, x] << FRACTION
        elif pz >= 0 and labels[pz, y, x] == label:
            chosen[0] = values[pz, y, x] << FRACTION
        else:
            chosen[0] = last[label] << FRACTION
        kinds[0] = 0
    m_z = missed[pz, y, x] if pz >= 0 else 0
    m_y = missed[z, py, x] if py >= 0 else 0
    m_x = missed[z, y, px] if px >= 0 else 0
    m_zy = missed[pz, py, x] if pz >= 0 and py >= 0 else 0
    m_zx = missed[pz, y, px] if pz >= 0 and px >= 0 else 0
    m_yx = missed[z, py, px] if py >= 0 and px >= 0 else 0
    for i in range(count):
        k = kinds[i]
        total = mean[stage, k] >> 2
        if pz >= 0:
            total += errors[pz, y, x, k]
        if py >= 0:
            total += errors[z, py, x, k]
        if px >= 0:
            total += errors[z, y, px, k]
        costs[i] = total + (step >> 2) + 1
    fine = blended(count, chosen, costs)
    fine = min(max(fine, 0), most << FRACTION)
    guess = (fine + (1 << (FRACTION - 1))) >> FRACTION
    spread = 0
    for k in range(count):
        spread += abs(chosen[k] - fine)
    coarse = bit_length(step) - 1
    fine_unit = coarse + FRACTION
    own = costs[0]
    for k in range(1, count):
        own = min(own, costs[k])
    near = size_class(2 * (abs(m_z) + abs(m_y) + abs(m_x)) + abs(m_zy) + abs(m_zx) + abs(m_yx), 24)
    kept = size_class(support, 24)
    rough = size_class((4 * spread) >> fine_unit, 30)
    bent = size_class((8 * curved) >> fine_unit, 30)
    tall = size_class((2 * steep) >> coarse, 30)
    worst = size_class((8 * own) >> fine_unit, 30)
    place = (level * 8 + stage) * 3 + sided
    signs = (clamped(m_z, 3) * 7 + clamped(m_y, 3)) * 7 + clamped(m_x, 3)
    corners = (clamped(m_zy, 2) * 5 + clamped(m_yx, 2)) * 5 + clamped(m_zx, 2)
    contexts = mixer.contexts
    contexts[0] = hashed(1, place * 32 + near)
    contexts[1] = hashed(2, (near * 32 + kept) * 8 + stage)
    contexts[2] = hashed(3, (rough * 32 + bent) * 8 + stage)
    contexts[3] = hashed(4, (tall * 32 + near) * 32 + worst)
    contexts[4] = hashed(5, signs)
    contexts[5] = hashed(6, (rough * 32 + near) * 32 + kept)
    contexts[6] = hashed(7, (worst * 32 + rough) * 32 + level)
    contexts[7] = hashed(8, clamped((2 * slope) >> coarse, 40) * 512 + signs)
    contexts[8] = hashed(9, place * 32 + worst)
    contexts[9] = hashed(10, (bent * 32 + kept) * 32 + level)
    contexts[10] = hashed(11, z * 8 + stage)
    contexts[11] = hashed(12, corners * 512 + signs)
    value, miss = _code_steps(
        wanted, z, y, x, guess, near, min(level, 7) * 8 + stage, step, most, mixer, coder
    )
    values[z, y, x], missed[z, y, x] = value, miss
    last[label] = value
    error = min(abs(fine - (value << FRACTION)), MOST_MISS)
    for k in range(GUESSES):
        errors[z, y, x, k] = error
    for i in range(count):
        k = kinds[i]
        error = min(abs(chosen[i] - (value << FRACTION)), MOST_MISS)
        errors[z, y, x, k] = error
        mean[stage, k] += (4 * error - mean[stage, k]) >> 5


@njit(cache=True, allocates=False)
def code_corners(
    wanted: Int64, corners: Positions, step: int, span: int, state: Interpolation,
    coder: Coder,
) -> None:  # fmt: skip
    """Code the samples at the known positions of the first halvings: each is foreseen to be like
    the one before.
    """
    values, mixer, most = state.values, state.mixer, span - 1
    guess = most >> 1
    for z in corners[0]:
        for y in corners[1]:
            for x in corners[2]:
                for k in range(len(mixer.contexts)):
                    mixer.contexts[k] = hashed(99, k)
                guess, _ = _code_steps(
                    wanted, z, y, x, guess, CLASSES - 1, 63, step, most, mixer, coder
                )
                values[z, y, x] = guess
                state.last[state.labels[z, y, x]] = guess


@njit(cache=True, allocates=False)
def code_stage(
    wanted: Int64, stage: int, level: int, known: Positions,
    new: Positions, step: int, span: int, state: Interpolation, coder: Coder,
) -> None:  # fmt: skip
    """Code the samples that are new in the axes of a stage and known in the others."""
    news = (STAGES[stage, 0], STAGES[stage, 1], STAGES[stage, 2])
    count_z = len(new[0]) if news[0] else len(known[0])
    count_y = len(new[1]) if news[1] else len(known[1])
    count_x = len(new[2]) if news[2] else len(known[2])
    pz = -1
    for i in range(count_z):
        row_z = new[0][i] if news[0] else known[0][i : i + 1]
        z = row_z[0]
        py = -1
        for j in range(count_y):
            row_y = new[1][j] if news[1] else known[1][j : j + 1]
            y = row_y[0]
            px = -1
            for k in range(count_x):
                row_x = new[2][k] if news[2] else known[2][k : k + 1]
                x = row_x[0]
                _code_sample(
                    wanted, z, y, x, pz, py, px, level, stage, (row_z, row_y, row_x), step, span,
                    state, coder,
                )  # fmt: skip
                px = x
            py = y
        pz = z
