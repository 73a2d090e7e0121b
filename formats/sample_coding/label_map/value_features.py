"""Predictions and features of a new value, from the values of its neighbours."""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit

HEAD_BITS = 12
"""Bits of a value that the mixture codes; those below are raw."""

PREDICTIONS, WIDTHS = 13, 7
PARTS = PREDICTIONS * WIDTHS + 1
"""Components of the mixture: each prediction with each width, and a uniform one."""

HALF_OCTAVES, POSITIONS = 24, 12
"""Classes of a difference on either side; positions of a value relative to two others."""

ALIKE, RUNS = 32, 24
DIFFERENCES = 2 * HALF_OCTAVES + 1
NEW_VALUE_SIZES = np.array(
    [18] + [DIFFERENCES + 1] * 14 + [POSITIONS] * 2 + [RUNS, ALIKE, HEAD_BITS + 1]
)
NEW_VALUE_FIRST = np.cumsum(NEW_VALUE_SIZES) - NEW_VALUE_SIZES
NEW_VALUE_FEATURES, NEW_VALUE_ROWS = len(NEW_VALUE_SIZES), int(NEW_VALUE_SIZES.sum())

NONE = -1


@njit(cache=True)
def difference_class(difference: int) -> int:
    """Class of a difference in half octaves, counted down from HALF_OCTAVES if negative."""
    size = abs(difference)
    half = size
    if size > 2:
        bits = 0
        while size >> bits:
            bits += 1
        half = min(2 * bits - 1 + ((size >> (bits - 2)) & 1), HALF_OCTAVES)
    return HALF_OCTAVES + half if difference > 0 else HALF_OCTAVES - half


@njit(cache=True)
def relative_position(value: int, start: int, end: int) -> int:
    """Position of a value relative to the interval from `start` to `end`."""
    offset, length = value - start, end - start
    if length == 0:
        return 0 if offset == 0 else POSITIONS - 1
    if length < 0:
        offset, length = -offset, -length
    if offset < 0:
        return 1
    return min(2 + (offset * (POSITIONS - 3)) // length, POSITIONS - 2)


@njit(cache=True)
def fill_value_features(
    columns: Int64, values: Int64, x: int, z: int, after: int, begun: int, last: Int64, shift: int,
    codes: Int64, predictions: Int64,
) -> None:  # fmt: skip
    """Fill `predictions` (PREDICTIONS,) and `codes` (NEW_VALUE_FEATURES,), except for the codes
    that `clamp_predictions` fills.

    `columns` and `values` are the labels so far and their values; `after` is the label after the
    one above, or NONE; `begun` the first sample of the current run; `last` (2,) the newest label's
    value, and its excess over the value to its left. The lowest `shift` bits of values are dropped.
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
    predictions[0] = above
    predictions[1] = beside
    predictions[2] = follower
    predictions[3] = below
    predictions[4] = above + beside - corner
    predictions[5] = above + below - beside
    predictions[6] = 2 * above - second
    predictions[7] = 2 * beside - farther_left
    predictions[8] = (above + follower) // 2
    predictions[9] = (beside + below) // 2
    predictions[10] = (beside + corner) // 2
    predictions[11] = last[0]
    predictions[12] = beside + last[1]
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
    codes[15] = relative_position(beside, corner, below)
    codes[16] = relative_position(beside, above, follower)
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
def clamp_predictions(
    kind: int, bound: int, low: int, heads: int, predictions: Int64, codes: Int64, centres: Int64
) -> None:
    """Fill the remaining `codes`, and `centres`: the predictions clamped to the interval of `heads`
    values from `low` on.
    """
    codes[0] = 6 * kind + bound
    bits = 0
    while heads - 1 >> bits and bits < HEAD_BITS:
        bits += 1
    codes[19] = bits
    for k in range(PREDICTIONS):
        centres[k] = min(max(predictions[k], low), low + heads - 1)


@njit(cache=True)
def raw_bits(span: int) -> int:
    """Number of raw bits of values in [0, span)."""
    shift = 0
    while (span - 1) >> shift >> HEAD_BITS:
        shift += 1
    return shift
