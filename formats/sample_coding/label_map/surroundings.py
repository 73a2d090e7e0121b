"""What is seen around a new label: guesses of its value, and how the values there differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit

Int64 = NDArray[np.int64]

HEAD_BITS = 12
"""Bits of a value that are foreseen; those below are as they are."""

GUESSES, WIDTHS = 13, 7
PARTS = GUESSES * WIDTHS + 1
"""Parts of the mixture: each guess with each width, and one where all values are alike."""

WAY, NOTCHES = 24, 12
"""Half octaves of a difference on either side; notches on the way from one value to another."""

ALIKE, RUNS = 32, 24
DIFFERENCES = 2 * WAY + 1
FRESH_SIZES = np.array([18] + [DIFFERENCES + 1] * 14 + [NOTCHES] * 2 + [RUNS, ALIKE, HEAD_BITS + 1])
FRESH_FIRST = np.cumsum(FRESH_SIZES) - FRESH_SIZES
FRESH_FEATURES, FRESH_ROWS = len(FRESH_SIZES), int(FRESH_SIZES.sum())

NONE = -1


@njit(cache=True)
def difference_class(difference: int) -> int:
    """Half octaves of a difference, from WAY down where it is negative."""
    size = abs(difference)
    half = size
    if size > 2:
        bits = 0
        while size >> bits:
            bits += 1
        half = min(2 * bits - 1 + ((size >> (bits - 2)) & 1), WAY)
    return WAY + half if difference > 0 else WAY - half


@njit(cache=True)
def _notch(value: int, start: int, end: int) -> int:
    """Where a value lies on the way from `start` to `end`."""
    way, whole = value - start, end - start
    if whole == 0:
        return 0 if way == 0 else NOTCHES - 1
    if whole < 0:
        way, whole = -way, -whole
    if way < 0:
        return 1
    return min(2 + (way * (NOTCHES - 3)) // whole, NOTCHES - 2)


@njit(cache=True)
def look_around(
    columns: Int64, values: Int64, x: int, z: int, after: int, begun: int, last: Int64, shift: int,
    codes: Int64, seen: Int64,
) -> None:  # fmt: skip
    """Fill `codes` (FRESH_FEATURES,) but for those that `narrow` fills, and `seen` (GUESSES,), the
    guesses.

    `columns` and `values` as in labels; `after` is the label after the one above (NONE), `begun`
    the first sample of the present run, `last` (2,) the newest label's value and by how much it
    was more than the one to its left; all with the lowest `shift` bits off.
    """
    height = columns.shape[1]
    column = columns[x]
    above = values[column[z - 1] if z > 0 else columns[x - 1, 0]] >> shift
    second = values[column[z - 2]] >> shift if z > 1 else above
    beside = corner = below = second_below = farther_left = left_above = left_below = above
    if x > 0:
        column_left = columns[x - 1]
        beside = values[column_left[z]] >> shift
        corner = values[column_left[z - 1]] >> shift if z > 0 else beside
        below = values[column_left[z + 1]] >> shift if z + 1 < height else beside
        second_below = values[column_left[z + 2]] >> shift if z + 2 < height else below
        farther_left, left_above, left_below = beside, corner, below
        if x > 1:
            farther = columns[x - 2]
            farther_left = values[farther[z]] >> shift
            left_above = values[farther[z - 1]] >> shift if z > 0 else farther_left
            left_below = values[farther[z + 1]] >> shift if z + 1 < height else farther_left
    follower = values[after] >> shift if after != NONE else beside
    seen[0] = above
    seen[1] = beside
    seen[2] = follower
    seen[3] = below
    seen[4] = above + beside - corner
    seen[5] = above + below - beside
    seen[6] = 2 * above - second
    seen[7] = 2 * beside - farther_left
    seen[8] = (above + follower) // 2
    seen[9] = (beside + below) // 2
    seen[10] = (beside + corner) // 2
    seen[11] = last[0]
    seen[12] = beside + last[1]
    codes[1] = difference_class(beside - above)
    codes[2] = difference_class(corner - above)
    codes[3] = difference_class(below - above)
    codes[4] = difference_class(follower - above) if after != NONE else DIFFERENCES
    codes[5] = difference_class(second - above)
    codes[6] = difference_class(beside - corner)
    codes[7] = difference_class(below - beside)
    codes[8] = difference_class(second_below - below)
    codes[9] = difference_class(farther_left - beside)
    codes[10] = difference_class(left_above - corner)
    codes[11] = difference_class(left_below - below)
    codes[12] = difference_class(last[0] - above)
    codes[13] = difference_class(last[1])
    codes[14] = difference_class(farther_left - left_above)
    codes[15] = _notch(beside, corner, below)
    codes[16] = _notch(beside, above, follower)
    run = 0
    if x > 0:
        column_left = columns[x - 1]
        row = z
        while row > 0 and row > z - 3 and column_left[row - 1] == column_left[z]:
            row -= 1
        end = z
        while end + 1 < height and end < z + 1 and column_left[end + 1] == column_left[z]:
            end += 1
        run = 1 + min(z - row, 2) + 3 * (end - z)
        run = min(run, 5)
    codes[17] = run + 6 * min(max(z - begun - 1, 0), 3)
    alike = (
        int(beside == above)
        + 2 * int(corner == above)
        + 4 * int(below == beside)
        + 8 * int(farther_left == beside)
        + 16 * int(left_above == corner)
    )
    codes[18] = alike


@njit(cache=True)
def narrow(
    kind: int, bound: int, low: int, heads: int, seen: Int64, codes: Int64, guesses: Int64
) -> None:
    """Fill what depends on where the value must lie, from `low` on, `heads` of them: codes, and
    `guesses` from those `seen`.
    """
    codes[0] = 6 * kind + bound
    bits = 0
    while heads - 1 >> bits and bits < HEAD_BITS:
        bits += 1
    codes[19] = bits
    for k in range(GUESSES):
        guesses[k] = min(max(seen[k], low), low + heads - 1)


@njit(cache=True)
def unseen_bits(span: int) -> int:
    """Lowest bits of values under `span` that are not foreseen."""
    shift = 0
    while (span - 1) >> shift >> HEAD_BITS:
        shift += 1
    return shift
