"""Features that predict the next label: its neighbours above and in earlier columns.

Columns are coded from left to right, each from the top. In layered models the next label is nearly
always the one above or the one that followed it in the column before, so most features are
distances: where that layer ended in earlier columns, and how thick it was there.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.sample_coding.label_map.value_features import NONE

FAR = 10
"""Distances in samples are clamped to this."""

REACH = 40
"""Samples searched up or down a column for the end of a layer."""

ENDS, THICKNESSES, TOPS = 7, 6, 4
"""Number of earlier columns in which a layer's end, thickness and top are compared."""

SPANS = 8
"""Runs of so many columns are known; a power of two, and more than are looked at."""

SHIFT = 4
LONG_RUN = 20
RARE = 8
BOUNDS = 6

_DISTANCE, _THICKNESS, _SHIFTS = 2 * FAR + 3, 2 * FAR + 5, 2 * SHIFT + 4
SIZES = np.array(
    [_DISTANCE] * ENDS
    + [_SHIFTS] * TOPS
    + [LONG_RUN + 1, LONG_RUN + 1, 6, _SHIFTS]
    + [_THICKNESS] * THICKNESSES
    + [2 * FAR + 2] * 2
    + [64, 48, BOUNDS]
)
"""Number of codes of each feature."""

FIRST = np.cumsum(SIZES) - SIZES
"""Row of each feature's code 0 in the network's first layer."""

FEATURES, ROWS = len(SIZES), int(SIZES.sum())

LEAST_RUN = -int(FIRST[ENDS + TOPS])
"""At a column's first sample the current run is still that of the column before, so its length is
negative, and its row in the first layer belongs to an earlier feature. The clamp keeps rows >= 0.
"""

RUN_TOP, RUN_BEFORE, UPPER_TOP, UPPER_LABEL = range(4)
"""Entries of the (4,) int64 `scan`, the state of the current column: first sample of the current
run; length, first sample and label of the run before it."""


@njit(cache=True)
def _clamped(value: int, most: int) -> int:
    return min(max(value, -most), most)


def new_spans(height: int) -> Int64:
    """Room for `close_spans`, of an image of such a height."""
    return np.zeros((SPANS, 2, height), dtype=np.int64)


@njit(cache=True, allocates=False)
def close_spans(columns: Int64, x: int, spans: Int64) -> None:
    """Note where the run of every sample of column x begins and ends: in `spans` (SPANS, 2,
    height), column x % SPANS.
    """
    column, starts, ends = columns[x], spans[x % SPANS, 0], spans[x % SPANS, 1]
    samples, begun = len(column), 0
    for row in range(1, samples + 1):
        if row == samples or column[row] != column[begun]:
            for k in range(begun, row):
                starts[k], ends[k] = begun, row
            begun = row


@njit(cache=True, allocates=False)
def layer_end(column: Int64, span: Int64, z: int, label: int) -> tuple[int, int]:
    """Distance from z to the end of `label` in `column`, negative if above z, and the label after
    it. (REACH + 1, NONE) if it is not within REACH. `span` (2, height) are the column's `spans`.
    """
    samples = len(column)
    if column[z] == label:
        row = min(span[1, z], z + REACH)
        if row >= samples:
            return samples - z, NONE
        if column[row] == label:
            return REACH, NONE
        return row - z, column[row]
    row, first = z, max(0, z - REACH)
    while row > first and column[row - 1] != label:
        row = max(span[0, row - 1], first)
    if row == 0 or column[row - 1] != label:
        return REACH + 1, NONE
    return row - z, column[row]


@njit(cache=True, allocates=False)
def layer_top(column: Int64, span: Int64, near: int, label: int) -> int:
    """The row nearest to `near` where a run of `label` begins; NONE if none is within REACH."""
    samples = len(column)
    below = near if span[0, near] == near else span[1, near]
    last = min(samples, near + REACH)
    while below < last and column[below] != label:
        below = span[1, below]
    found = below - near if below < last else REACH
    above, last = span[0, near], near - found
    while above > last and column[above] != label:
        above = span[0, above - 1] if above > 0 else last
    if above > last and column[above] == label:
        return above
    return below if found < REACH else NONE


@njit(cache=True)
def _shift_code(row: int, other: int) -> int:
    return 2 * SHIFT + 2 if other == NONE else _clamped(row - other, SHIFT) + SHIFT


@njit(cache=True, allocates=False)
def _order_code(above: int, after: int, left: int, codes: Int64, counts: Int64) -> int:
    """Which candidates are rare, and the order of their values, as one number under 48."""
    rare = 0
    for bit, label in enumerate((above, after, left)):
        if label != NONE and counts[label] < RARE:
            rare += 1 << bit
    rises, between = 0, 0
    if above != NONE and after != NONE:
        rises = 1 if codes[after] > codes[above] else 2
        if left != NONE:
            low = min(codes[above], codes[after])
            high = max(codes[above], codes[after])
            between = int(low < codes[left] < high)
    return rare + 8 * rises + 24 * between


@njit(cache=True, allocates=False)
def features(
    columns: Int64, spans: Int64, x: int, z: int, scan: Int64, thickness: Int64, codes: Int64,
    counts: Int64, bound: int, every: bool, out: Int64,
) -> tuple[int, int, int]:  # fmt: skip
    """Fill `out` (FEATURES,) for sample z of column x. Returns the labels above, after it in the
    column before, and to the left, each or NONE.

    `columns` (nx, nz) are the labels so far, `spans` the runs of those before, `thickness`
    (labels, 2) the least and greatest thickness of each, `codes` and `counts` (labels,) the value
    and number of samples of each, `bound` the class of the error bound. Where not `every` feature
    is asked for, those of ends, tops and thicknesses in earlier columns are left out.
    """
    samples = columns.shape[1]
    above = NONE
    if z > 0:
        above = columns[x, z - 1]
    elif x > 0:
        above = columns[x - 1, 0]
    left = columns[x - 1, z] if x > 0 else NONE
    after = NONE
    for k in range(ENDS if every else 1):
        if x - 1 - k < 0:
            out[k] = 2 * FAR + 2
            continue
        distance, label = layer_end(columns[x - 1 - k], spans[(x - 1 - k) % SPANS], z, above)
        if k == 0:
            after = label
        out[k] = 2 * FAR + 1 if distance > REACH else _clamped(distance, FAR) + FAR
    at = ENDS
    begun = scan[RUN_TOP]
    run = z - begun
    row = begun
    for k in range(TOPS if every else 0):
        if x - 1 - k < 0 or begun == 0 or row == NONE:
            out[at + k] = 2 * SHIFT + 3
            continue
        top = layer_top(columns[x - 1 - k], spans[(x - 1 - k) % SPANS], row, above)
        out[at + k] = _shift_code(row, top)
        row = top
    at += TOPS
    out[at] = min(max(run, LEAST_RUN), LONG_RUN)
    out[at + 1] = min(scan[RUN_BEFORE], LONG_RUN)
    out[at + 2] = (0 if left == above else 1 if left == after else 2) + (3 if after == NONE else 0)
    if every and scan[UPPER_TOP] > 0 and x > 0:
        upper = layer_top(
            columns[x - 1], spans[(x - 1) % SPANS], scan[UPPER_TOP], scan[UPPER_LABEL]
        )
        out[at + 3] = _shift_code(scan[UPPER_TOP], upper)
    else:
        out[at + 3] = 2 * SHIFT + 3
    at += 4
    for k in range(THICKNESSES if every else 0):
        out[at + k] = _thickness_code(columns, spans, x - 1 - k, begun, run, above)
    at += THICKNESSES
    if begun > 0 and above != NONE and thickness[above, 1] > 0:
        out[at] = _clamped(thickness[above, 0] - run, FAR) + FAR
        out[at + 1] = _clamped(thickness[above, 1] - run, FAR) + FAR
    else:
        out[at] = out[at + 1] = 2 * FAR + 1
    above_left = columns[x - 1, z - 1] if x > 0 and z > 0 else NONE
    below_left = columns[x - 1, z + 1] if x > 0 and z < samples - 1 else NONE
    second = columns[x, z - 2] if z > 1 else NONE
    out[at + 2] = (
        int(above_left == above)
        + 2 * int(above_left == left)
        + 4 * int(below_left == left)
        + 8 * int(below_left == after)
        + 16 * int(second == above)
        + 32 * int(below_left == above)
    )
    out[at + 3] = _order_code(above, after, left, codes, counts)
    out[at + 4] = bound
    return above, after, left


@njit(cache=True, allocates=False)
def _thickness_code(columns: Int64, spans: Int64, x: int, begun: int, run: int, label: int) -> int:
    """Code of how much thicker than `run` the layer was in column x."""
    if x < 0 or begun == 0:
        return 2 * FAR + 2
    span = spans[x % SPANS]
    top = layer_top(columns[x], span, begun, label)
    if top == NONE:
        return 2 * FAR + 1
    samples = columns.shape[1]
    end = max(min(span[1, top], top + run + FAR + 1), top)
    if end == samples:
        return 2 * FAR + 3 if end - top > run else 2 * FAR + 4
    return _clamped(end - top - run, FAR) + FAR


@njit(cache=True, allocates=False)
def advance(label: int, above: int, z: int, scan: Int64, thickness: Int64) -> None:
    """Update `scan` and `thickness` for sample z, which has `label`, below label `above`."""
    if z == 0:
        scan[:] = 0
        scan[UPPER_LABEL] = NONE
    elif label != above:
        length = z - scan[RUN_TOP]
        if scan[RUN_TOP] > 0:
            known = thickness[above]
            known[0] = length if known[1] == 0 else min(known[0], length)
            known[1] = max(known[1], length)
        scan[UPPER_TOP], scan[UPPER_LABEL] = scan[RUN_TOP], above
        scan[RUN_BEFORE], scan[RUN_TOP] = length, z
