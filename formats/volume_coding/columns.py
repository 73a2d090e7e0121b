"""A brick as columns: samples from the top down, and what is known of the columns before.

Columns go from left to right (x), row by row (y). Around a column are six that came before it: to
the left, behind (y - 1), behind to the left and to the right, two to the left, two behind; where
one does not exist the nearest one stands for it, and for all around the first a column of NONE.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int32, Int64
from velcodec.formats.compiled import njit

NONE = -1
PADDING = 2
"""Rows above and below a column that repeat its first and last sample."""

LEFT, BEHIND, CORNER, RIGHT, FAR_LEFT, FAR_BEHIND = range(6)
AROUND = 6
"""Entries of `around`: numbers of columns."""

ROW = 256
"""Depths of interfaces are in 1/ROW of a row."""

MOST_SLOPE = 4 * ROW
LOST = 3 * ROW
NOWHERE = -(1 << 20)
"""An interface this far from where it should be is followed anew; NOWHERE is the depth of none."""


class Columns(NamedTuple):
    """`padded` (columns + 1, nz + 2 PADDING) are the integers, `values` the same without padding,
    the last column of NONE. `starts` and `ends` (columns + 1, nz) of the run of equal samples that
    each belongs to, the end being the row below. For a row that begins a run but the first, `depth`
    is the interface's depth as it was followed so far, `along_x` and `along_y` its slopes to the
    next column. `around` (AROUND,), and `edge` (2,): whether there is a column to the left, and
    one behind.
    """

    padded: Int64
    values: Int64
    starts: Int32
    ends: Int32
    depth: Int32
    along_x: Int32
    along_y: Int32
    around: Int64
    edge: Int64


def new_columns(count: int, nz: int) -> Columns:
    """Before the first column."""
    padded = np.full((count + 1, nz + 2 * PADDING), NONE, dtype=np.int64)
    shape = count + 1, nz
    starts, depth = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    return Columns(
        padded,
        padded[:, PADDING : PADDING + nz],
        starts,
        np.full(shape, nz, dtype=np.int32),
        depth,
        depth.copy(),
        depth.copy(),
        np.zeros(AROUND, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
    )


@njit(cache=True, allocates=False)
def open_column(y: int, x: int, nx: int, columns: Columns) -> int:
    """The number of column (y, x); fills what is around it, and the rows above it."""
    around, edge, padded = columns.around, columns.edge, columns.padded
    here, blank = y * nx + x, len(columns.values) - 1
    left = here - 1 if x > 0 else here - nx if y > 0 else blank
    around[LEFT] = left
    around[BEHIND] = here - nx if y > 0 else left
    around[FAR_LEFT] = here - 2 if x > 1 else left
    if y > 0:
        around[CORNER] = here - nx - 1 if x > 0 else here - nx
    else:
        around[CORNER] = around[FAR_LEFT]
    around[RIGHT] = here - nx + 1 if y > 0 and x + 1 < nx else around[BEHIND]
    around[FAR_BEHIND] = here - 2 * nx if y > 1 else around[BEHIND]
    edge[0], edge[1] = int(x > 0), int(y > 0)
    for k in range(PADDING):
        padded[here, k] = padded[left, PADDING]
    return here


@njit(cache=True, allocates=False)
def end_of(column: int, z: int, value: int, columns: Columns) -> int:
    """The row below the run of `value` at row z of a column, or below one that ends or begins next
    to the run at z; NONE if there is none.
    """
    values, starts, ends = columns.values, columns.starts, columns.ends
    end = ends[column, z]
    if values[column, z] == value:
        return int(end)
    start = starts[column, z]
    if start > 0 and values[column, start - 1] == value:
        return int(start)
    if end < values.shape[1] and values[column, end] == value:
        return int(ends[column, end])
    return NONE


@njit(cache=True, allocates=False)
def foreseen_depth(end_left: int, end_behind: int, columns: Columns) -> tuple[int, int, int]:
    """Where an interface should be that is at these rows to the left and behind, NONE if it is
    not there; as foreseen from the left, from behind, and from both, NOWHERE if it is not.
    """
    depth, nz = columns.depth, columns.values.shape[1]
    left, behind = columns.around[LEFT], columns.around[BEHIND]
    by_left = by_behind = NOWHERE
    if columns.edge[0] and 0 < end_left < nz:
        by_left = depth[left, end_left] + columns.along_x[left, end_left]
    if columns.edge[1] and 0 < end_behind < nz:
        by_behind = depth[behind, end_behind] + columns.along_y[behind, end_behind]
    if by_left == NOWHERE:
        return by_left, by_behind, by_behind
    if by_behind == NOWHERE:
        return by_left, by_behind, by_left
    return by_left, by_behind, (by_left + by_behind) >> 1


@njit(cache=True, allocates=False)
def close_column(here: int, columns: Columns) -> None:
    """Note the runs and interfaces of a column whose samples are known."""
    padded, values, starts, ends = columns.padded, columns.values, columns.starts, columns.ends
    nz = values.shape[1]
    for k in range(PADDING):
        padded[here, nz + PADDING + k] = values[here, nz - 1]
    start = 0
    for z in range(1, nz + 1):
        if z < nz and values[here, z] == values[here, z - 1]:
            continue
        for k in range(start, z):
            starts[here, k], ends[here, k] = start, z
        start = z
        if z < nz:
            _follow(here, z, columns)


@njit(cache=True, allocates=False, inline="always")
def _follow(here: int, z: int, columns: Columns) -> None:
    """Follow the interface above row z of a column."""
    depth, along_x, along_y = columns.depth, columns.along_x, columns.along_y
    nz, value = columns.values.shape[1], columns.values[here, z - 1]
    left, behind = columns.around[LEFT], columns.around[BEHIND]
    end_left, end_behind = end_of(left, z, value, columns), end_of(behind, z, value, columns)
    _, _, foreseen = foreseen_depth(end_left, end_behind, columns)
    by_left = columns.edge[0] and 0 < end_left < nz
    by_behind = columns.edge[1] and 0 < end_behind < nz
    slope_x = slope_y = 0
    if by_left and by_behind:
        slope_x = (along_x[left, end_left] + along_x[behind, end_behind]) >> 1
        slope_y = (along_y[left, end_left] + along_y[behind, end_behind]) >> 1
    elif by_left:
        slope_x, slope_y = along_x[left, end_left], along_y[left, end_left]
    elif by_behind:
        slope_x, slope_y = along_x[behind, end_behind], along_y[behind, end_behind]
    miss = z * ROW - foreseen
    if foreseen == NOWHERE or abs(miss) > LOST:
        depth[here, z] = z * ROW
        along_x[here, z] = slope_x
        along_y[here, z] = slope_y
        return
    depth[here, z] = foreseen + ((3 * miss) >> 3)
    along_x[here, z] = min(max(slope_x + (miss >> 3), -MOST_SLOPE), MOST_SLOPE)
    along_y[here, z] = min(max(slope_y + (miss >> 3), -MOST_SLOPE), MOST_SLOPE)
