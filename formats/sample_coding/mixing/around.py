"""What lies around a sample: the values of its neighbours, and how they compare.

Columns go from left to right, each from the top.
"""

from __future__ import annotations

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.sample_coding.label_map.value_features import NONE, difference_class
from velcodec.formats.sample_coding.mixing.mixer import hashed

ABOVE, SECOND, LEFT, CORNER, BELOW, FAR_LEFT, FAR_CORNER, FAR_BELOW, HIGH, LOW, FARTHEST = range(11)
NEAR = 11
"""Values around a sample: above and two above, in the column to the left in this row, one higher,
one lower; the same two columns away; two higher and two lower in the column to the left; and three
columns away.
"""

SEEN_BELOW = 10
KINDS = 12


@njit(cache=True)
def kind_of(labels: int, x: int) -> int:
    """How many labels there are for the columns so far: one of KINDS."""
    if labels <= KINDS:
        return int(labels > KINDS // 2)
    return min(2 + bit_length(2 * labels // (x + 1)), KINDS - 1)


@njit(cache=True, allocates=False)
def fill_near(image: Int64, x: int, z: int, blank: int, near: Int64) -> None:
    """Fill `near` (NEAR,) with the values around sample z of column x of `image` (nx, nz); where
    there is none the nearest one stands for it, and `blank` for all around the first.
    """
    nz = image.shape[1]
    above = image[x, z - 1] if z > 0 else image[x - 1, 0] if x > 0 else blank
    near[:] = above
    if z > 1:
        near[SECOND] = image[x, z - 2]
    if x > 0:
        _fill_column(image[x - 1], z, nz, LEFT, near)
        near[HIGH] = image[x - 1, z - 2] if z > 1 else near[CORNER]
        near[LOW] = image[x - 1, z + 2] if z + 2 < nz else near[BELOW]
        near[FAR_LEFT], near[FAR_CORNER], near[FAR_BELOW] = near[LEFT], near[CORNER], near[BELOW]
    if x > 1:
        _fill_column(image[x - 2], z, nz, FAR_LEFT, near)
    near[FARTHEST] = image[x - 3, z] if x > 2 else near[FAR_LEFT]


@njit(cache=True, allocates=False)
def _fill_column(column: Int64, z: int, nz: int, first: int, near: Int64) -> None:
    near[first] = column[z]
    near[first + 1] = column[z - 1] if z > 0 else column[z]
    near[first + 2] = column[z + 1] if z + 1 < nz else column[z]


@njit(cache=True, allocates=False)
def plain_below(columns: Int64, x: int, z: int) -> int:
    """The label of the first run of three samples or more from row z on in the column before; NONE
    where none is near.
    """
    nz = columns.shape[1]
    if x == 0:
        return NONE
    column = columns[x - 1]
    for row in range(z, min(z + SEEN_BELOW, nz - 2)):
        if column[row] == column[row + 1] and column[row] == column[row + 2]:
            return int(column[row])
    return int(column[nz - 1]) if z + SEEN_BELOW >= nz - 2 else NONE


@njit(cache=True)
def part_of_way(value: int, start: int, end: int) -> int:
    """Where a value lies on the way from `start` to `end`: one of 32."""
    way, whole = value - start, end - start
    if whole < 0:
        way, whole = -way, -whole
    if way <= 0:
        return 0 if way == 0 else 1
    if way >= whole:
        return 2 if way == whole else 3
    return 4 + way * 28 // whole


@njit(cache=True, allocates=False)
def differences(near: Int64) -> int:
    """A hash of how three values around differ from the one above."""
    above = near[ABOVE]
    found = hashed(near[LEFT] - above, near[CORNER] - above)
    return hashed(found, near[BELOW] - above)


@njit(cache=True, allocates=False)
def pattern(near: Int64) -> int:
    """Which of the values around are equal, in 16 bits."""
    above, left, corner, below = near[ABOVE], near[LEFT], near[CORNER], near[BELOW]
    far_left, far_corner, far_below = near[FAR_LEFT], near[FAR_CORNER], near[FAR_BELOW]
    return (
        int(corner == above)
        + 2 * int(left == above)
        + 4 * int(below == above)
        + 8 * int(near[SECOND] == above)
        + 16 * int(far_left == left)
        + 32 * int(far_corner == corner)
        + 64 * int(far_below == below)
        + 128 * int(near[HIGH] == corner)
        + 256 * int(near[LOW] == below)
        + 512 * int(below == left)
        + 1024 * int(corner == left)
        + 2048 * int(far_left == corner)
        + 4096 * int(far_left == below)
        + 8192 * int(far_below == left)
        + 16384 * int(far_corner == left)
        + 32768 * int(near[FARTHEST] == left)
    )


@njit(cache=True, allocates=False)
def steepness(value: int, near: Int64) -> int:
    """How far a value lies from the one above and the one to the left, one number."""
    return difference_class(near[ABOVE] - value) * 64 + difference_class(near[LEFT] - value)
