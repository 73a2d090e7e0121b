"""Samples of layers: quiet stretches that are like the columns around, and samples that are like
one of their neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length, size_class
from velcodec.formats.entropy.symbols import DECODING, Coder, code_even
from velcodec.formats.sample_coding.mixing.mixer import hashed
from velcodec.formats.volume_coding.columns import (
    BEHIND,
    CORNER,
    FAR_BEHIND,
    FAR_LEFT,
    LEFT,
    NONE,
    NOWHERE,
    RIGHT,
    ROW,
    Columns,
    end_of,
    foreseen_depth,
)
from velcodec.formats.volume_coding.mixer import Mixer, decide, new_mixer

QUIET_CONTEXTS = 6
QUIET_SELECTORS = 32 + 32
QUIET_REFINERS = 32
WIDEST = 8
"""So far is the spread of an interface in the columns around looked at."""

TRIED = 8
"""Samples at a stretch's end of which each may be the first that differs; before those, all are
equally likely.
"""

MEMORIES = 2
MEMORY_BITS = 12
CANDIDATES = 5 + MEMORIES
LIKE_CONTEXTS = 14
ALIKE = 64
NEARNESSES = 32
LIKE_SELECTORS = CANDIDATES * (ALIKE + NEARNESSES)
LIKE_REFINERS = CANDIDATES * ALIKE

BREAKS, SINCE, TOP, DEVIATION = range(4)
"""Entries of `state`: stretches that broke, samples since, the first row of the present run, and
how far the last interface of the column was from where it should have been.
"""


class Layers(NamedTuple):
    """What is known of layers so far, and room."""

    state: Int64
    remembered: Int64
    keys: Int64
    candidates: Int64
    quiet: Mixer
    like: Mixer


def new_layers(samples: int) -> Layers:
    """Before the first of so many samples."""
    return Layers(
        np.zeros(4, dtype=np.int64),
        np.full((MEMORIES, 1 << MEMORY_BITS), NONE, dtype=np.int64),
        np.zeros(MEMORIES, dtype=np.int64),
        np.zeros(CANDIDATES, dtype=np.int64),
        new_mixer(QUIET_CONTEXTS, samples >> 4, QUIET_SELECTORS, QUIET_REFINERS),
        new_mixer(LIKE_CONTEXTS, samples, LIKE_SELECTORS, LIKE_REFINERS),
    )


@njit(cache=True, allocates=False, inline="always")
def _is_quiet(z: int, columns: Columns) -> bool:
    """Whether all columns around are alike at row z."""
    values, around = columns.values, columns.around
    value = values[around[LEFT], z]
    return bool(
        value == values[around[BEHIND], z]
        and value == values[around[CORNER], z]
        and value == values[around[RIGHT], z]
    )


@njit(cache=True, allocates=False, inline="always")
def _is_edge(column: int, z: int, columns: Columns) -> bool:
    """Whether an interface is above row z of a column: a change unlike those next to it."""
    values = columns.padded
    # Row z of `values` is row z + 2 of `padded`.
    change = abs(values[column, z + 2] - values[column, z + 1])
    if change == 0:
        return False
    before = abs(values[column, z + 1] - values[column, z])
    after = abs(values[column, z + 3] - values[column, z + 2])
    return bool(change > 2 * min(before, after))


@njit(cache=True, allocates=False)
def quiet_stretch(here: int, z: int, columns: Columns) -> int:
    """How many samples from row z on are in a quiet stretch."""
    values, around = columns.values, columns.around
    nz = values.shape[1]
    left = around[LEFT]
    if values[left, 0] == NONE:
        return 0
    if z > 0 and (values[here, z - 1] != values[left, z - 1] or not _is_quiet(z - 1, columns)):
        return 0
    row = z
    while row < nz and _is_quiet(row, columns):
        if row > 0 and _is_edge(left, row, columns):
            return max(row - 1 - z, 0)
        row += 1
    if row == nz:
        return nz - z
    spread = 1
    while spread < WIDEST and row + spread < nz and not _is_quiet(row + spread, columns):
        spread += 1
    return max(row - 1 - min(spread, row) - z, 0)


@njit(cache=True, allocates=False)
def code_quiet(
    wanted: Int64, here: int, z: int, x: int, columns: Columns, layers: Layers,
    coder: Coder,
) -> tuple[int, bool]:  # fmt: skip
    """How many samples from row z on are in a quiet stretch, which are then filled in, and whether
    the one that follows breaks it; `wanted` (nz,) are those an encoder codes.
    """
    values, around = columns.values, columns.around
    stretch = quiet_stretch(here, z, columns)
    if stretch == 0:
        return 0, False
    nz = values.shape[1]
    left, far, behind = around[LEFT], around[FAR_LEFT], around[FAR_BEHIND]
    state, quiet = layers.state, layers.quiet
    held = 0
    if not coder[DECODING]:
        while held < stretch and wanted[z + held] == values[left, z + held]:
            held += 1
    wide = 0
    last = z + stretch - 1
    if values[far, last] == values[left, last] and values[far, z] == values[left, z]:
        wide = 1
    if values[behind, last] == values[left, last] and values[behind, z] == values[left, z]:
        wide += 2
    length, few = size_class(stretch, 15), min(state[BREAKS], 15)
    since = bit_length(min(state[SINCE], 32767))
    kind = 2 * int(last == nz - 1) + int(z == 0)
    contexts = quiet.contexts
    contexts[0] = hashed(hashed(1, length), wide * 4 + kind)
    contexts[1] = hashed(hashed(2, few), since)
    contexts[2] = hashed(hashed(3, values[left, z]), wide)
    contexts[3] = hashed(hashed(4, x), wide)
    contexts[4] = hashed(hashed(5, z), length)
    contexts[5] = hashed(hashed(6, since), wide * 16 + length)
    quiet.select[0], quiet.select[1] = length, 32 + wide * 4 + kind
    quiet.refine[0] = length
    state[SINCE] += stretch
    whole = decide(int(held == stretch), 0, quiet, coder)
    if not whole:
        state[BREAKS] += 1
        state[SINCE] = 0
        stretch = _code_break(held, stretch, length, z, nz, wide, layers, coder)
    for k in range(z, z + stretch):
        values[here, k] = values[left, k]
    if stretch > 0:
        start = columns.starts[left, z + stretch - 1]
        if start > z:
            state[TOP] = start
        elif z == 0 or values[here, z - 1] != values[here, z]:
            state[TOP] = z
    return stretch, not whole


@njit(cache=True, allocates=False)
def _code_break(
    held: int, stretch: int, length: int, z: int, nz: int, wide: int, layers: Layers, coder: Coder
) -> int:
    """How many samples of a stretch are quiet before one is not."""
    quiet = layers.quiet
    contexts = quiet.contexts
    for k in range(min(stretch, TRIED) - 1):
        last = stretch - 1 - k
        at_end = int(z + stretch == nz)
        contexts[0] = hashed(11, k * 2 + at_end)
        contexts[1] = hashed(hashed(12, z + last), at_end)
        contexts[2] = hashed(hashed(13, k), wide)
        contexts[3] = hashed(hashed(14, k), length)
        contexts[4] = hashed(hashed(15, last), z)
        contexts[5] = hashed(16, at_end)
        quiet.select[0], quiet.select[1] = 16 + k, 48 + wide
        quiet.refine[0] = 16 + k
        if decide(int(held == last), 1, quiet, coder):
            return last
    if stretch <= TRIED:
        return 0
    return code_even(held, stretch - TRIED + 1, coder)


@njit(cache=True, allocates=False, inline="always")
def _offset(end: int, z: int) -> int:
    """How far an end is below row z: one of 32."""
    return 31 if end == NONE else min(max(end - z, -8), 15) + 8


@njit(cache=True, allocates=False, inline="always")
def _eighths(depth: int, z: int) -> int:
    """How far a depth is below row z in eighths of a row: one of 64."""
    return 63 if depth == NOWHERE else min(max((depth - z * ROW) >> 5, -24), 37) + 24


@njit(cache=True, allocates=False, inline="always")
def _after(column: int, end: int, z: int, value: int, columns: Columns) -> int:
    """What is at row z of a column, or else what follows the run of `value` that ends there."""
    values = columns.values
    if values[column, z] != value:
        return int(values[column, z])
    return int(values[column, end]) if NONE < end < values.shape[1] else NONE


@njit(cache=True, allocates=False, inline="always")
def _shift(column: int, end: int, top: int, columns: Columns) -> int:
    """How far the top of the run that ends there is above `top`: one of 16."""
    if end <= 0:
        return 15
    return min(max(top - columns.starts[column, end - 1], -7), 7) + 7


@njit(cache=True, allocates=False)
def code_like(
    value: int, here: int, z: int, broken: bool, columns: Columns, layers: Layers,
    coder: Coder,
) -> int:  # fmt: skip
    """The value of a candidate that a sample is like, or NONE. If it has `broken` a stretch, it is
    not like the sample to the left.
    """
    values, around = columns.values, columns.around
    nz = values.shape[1]
    state, like = layers.state, layers.like
    left, behind, corner, right = around[LEFT], around[BEHIND], around[CORNER], around[RIGHT]
    far_left, far_behind = around[FAR_LEFT], around[FAR_BEHIND]
    above = values[here, z - 1] if z > 0 else values[left, 0]
    second = values[here, z - 2] if z > 1 else above
    end_l, end_b = end_of(left, z, above, columns), end_of(behind, z, above, columns)
    end_c, end_r = end_of(corner, z, above, columns), end_of(right, z, above, columns)
    end_fl, end_fb = end_of(far_left, z, above, columns), end_of(far_behind, z, above, columns)
    by_left, by_behind, foreseen = foreseen_depth(end_l, end_b, columns)
    off_l, off_b, off_c, off_r = (
        _offset(end_l, z),
        _offset(end_b, z),
        _offset(end_c, z),
        _offset(end_r, z),
    )
    off_fl, off_fb = _offset(end_fl, z), _offset(end_fb, z)
    at_l, at_b, at_c, at_r = values[left, z], values[behind, z], values[corner, z], values[right, z]
    low_l = values[left, z + 1] if z + 1 < nz else at_l
    low_b = values[behind, z + 1] if z + 1 < nz else at_b
    after_l, after_b = (
        _after(left, end_l, z, above, columns),
        _after(behind, end_b, z, above, columns),
    )
    run = min(z - state[TOP], 31)
    top = state[TOP]
    shift_l, shift_b = _shift(left, end_l, top, columns), _shift(behind, end_b, top, columns)
    shift_c, shift_r = _shift(corner, end_c, top, columns), _shift(right, end_r, top, columns)
    eighths, eighths_l, eighths_b = (
        _eighths(foreseen, z),
        _eighths(by_left, z),
        _eighths(by_behind, z),
    )
    ends = ((off_l * 32 + off_b) * 32 + off_c) * 32 + off_r
    contexts, candidates = like.contexts, layers.candidates
    contexts[0] = hashed(1, ends)
    contexts[1] = hashed(hashed(2, ends), off_fl * 32 + off_fb)
    contexts[2] = hashed(hashed(3, off_l * 32 + off_fl), eighths_l)
    contexts[3] = hashed(hashed(4, off_b * 32 + off_fb), eighths_b)
    contexts[4] = hashed(hashed(5, eighths), off_l * 32 + off_b)
    contexts[5] = hashed(hashed(6, eighths_l), eighths_b)
    contexts[6] = hashed(hashed(7, shift_l * 16 + shift_b), off_l * 32 + off_b)
    contexts[7] = hashed(
        hashed(8, ((shift_l * 16 + shift_b) * 16 + shift_c) * 16 + shift_r), off_c * 32 + off_r
    )
    contexts[8] = hashed(hashed(9, above), hashed(after_l, after_b))
    contexts[9] = hashed(hashed(10, eighths), state[DEVIATION])
    contexts[10] = hashed(hashed(11, run), off_l * 32 + off_b)
    contexts[11] = hashed(hashed(12, above), z)
    candidates[0], candidates[1], candidates[2] = above, after_l, after_b
    candidates[3], candidates[4] = at_r, at_c
    mask = (1 << MEMORY_BITS) - 1
    layers.keys[0] = hashed(hashed(21, above), hashed(after_l, after_b)) & mask
    layers.keys[1] = hashed(hashed(22, above), hashed(second, at_l)) & mask
    for k in range(MEMORIES):
        candidates[5 + k] = layers.remembered[k, layers.keys[k]]
    found = NONE
    for k in range(CANDIDATES):
        candidate = candidates[k]
        new = candidate != NONE and not (broken and candidate == at_l)
        for i in range(k):
            new = new and candidates[i] != candidate
        if not new:
            continue
        alike = (
            int(candidate == at_l)
            + 2 * int(candidate == at_b)
            + 4 * int(candidate == at_c)
            + 8 * int(candidate == at_r)
            + 16 * int(candidate == low_l)
            + 32 * int(candidate == low_b)
        )
        more = (
            int(candidate == values[far_left, z])
            + 2 * int(candidate == values[far_behind, z])
            + 4 * int(candidate == after_b)
            + 8 * int(at_l == at_b)
            + 16 * int(at_l == at_c)
            + 32 * int(at_b == at_c)
            + 64 * int(at_b == at_r)
        )
        contexts[12] = hashed(hashed(13, alike), more)
        contexts[13] = hashed(hashed(14, candidate), hashed(above, alike))
        like.select[0] = k * ALIKE + alike
        like.select[1] = CANDIDATES * ALIKE + k * NEARNESSES + (eighths >> 1)
        like.refine[0] = k * ALIKE + alike
        if decide(int(value == candidate), k, like, coder):
            found = candidate
            break
    if z > 0 and (found == NONE or found != above):
        state[TOP] = z
        state[DEVIATION] = 0 if foreseen == NOWHERE else 1 + eighths
    return found
