"""Where the interfaces between layers were in the columns before, and where they should go."""

from __future__ import annotations

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import size_class
from velcodec.formats.sample_coding.label_map.context import SPANS

STEPS = 5
"""What `fill_steps` finds."""

AHEAD, ENDS = 4, 4
"""What `extrapolate_end` and `fill_ends` find."""

FOLLOWED, FEW = 16, 5
"""Columns in which an interface is followed, and how many of them its course nearby shows in."""

SEEN = 40
"""Rows below in which the end of a layer is looked for."""

LOOKED_DOWN = 2
"""A quiet stretch ends so many rows above where an interface is expected."""

UNKNOWN = 9
"""Stands for how far a top moved that was not found."""


@njit(cache=True, allocates=False)
def quiet_stretch(columns: Int64, spans: Int64, x: int, z: int) -> tuple[int, int]:
    """How many samples from (x, z) on have nothing around them but the label above, as far as is
    known; and a class of that, at most 15: the greatest where nothing else comes below. `spans` are
    the runs of the columns before.
    """
    nz = columns.shape[1]
    if x < 2 or z < 1:
        return 0, 0
    above, row = columns[x, z - 1], z - 1
    first, second = columns[x - 1], columns[x - 2]
    if first[row] == above and second[row] == above:
        row = min(spans[(x - 1) % SPANS, 1, row], spans[(x - 2) % SPANS, 1, row])
    if row == nz:
        return nz - z, 15
    end, other = row, row
    while end < min(nz, row + LOOKED_DOWN) and first[end] == above:
        end += 1
    while other < min(nz, row + 4 * LOOKED_DOWN) and second[other] == above:
        other += 1
    length = min(row, 2 * end - other) - LOOKED_DOWN - z
    return max(length, 0), size_class(max(length, 0), 14)


@njit(cache=True, allocates=False)
def fill_ends(columns: Int64, spans: Int64, x: int, z: int, top: int, out: Int64) -> None:
    """Where the layer above ends in the column before, by how many rows that moved from column to
    column (two numbers of -3 to 4), and by how many its top has moved now (UNKNOWN if it was not
    found), in `out` (ENDS,).
    """
    nz, label = columns.shape[1], columns[x, z - 1]
    for k in range(3):
        row, column = z, columns[max(x - 1 - k, 0)]
        while row < min(nz, z + SEEN) and column[row] == label:
            row += 1
        out[k] = row
    out[1], out[2] = out[0] - out[1], out[1] - out[2]
    for k in range(1, 3):
        out[k] = min(max(out[k], -3), 4)
    row = z - 1
    if columns[x - 1, row] == label:
        row = max(spans[(x - 1) % SPANS, 0, row], min(max(0, top - 12), z)) - 1
    moved = top - row - 1
    out[3] = moved if -8 <= moved <= 8 and row >= 0 and top > 0 else UNKNOWN


@njit(cache=True, allocates=False)
def _ends_at(columns: Int64, x: int, row: int, label: int) -> bool:
    """Whether a run of `label` ends before `row` in column x."""
    if row < 1 or row > columns.shape[1] or columns[x, row - 1] != label:
        return False
    return row == columns.shape[1] or columns[x, row] != label


@njit(cache=True, allocates=False)
def fill_steps(columns: Int64, x: int, z: int, distance: int, label: int, out: Int64) -> None:
    """How the lower end of the layer above, so many rows below z in the column before, went in the
    columns before that: for how many it stayed, by how many rows it had moved there (9: none
    found), for how many it had stayed before, and so on. `out` (STEPS,) is 0 where that is unknown.
    """
    out[:] = 0
    if not -5 <= distance <= 6:
        return
    row, at = z + distance, x - 1
    for k in range(0, STEPS, 2):
        stayed = 0
        while at >= 0 and stayed < 63 and _ends_at(columns, at, row, label):
            at -= 1
            stayed += 1
        out[k] = stayed
        if at < 0 or k == STEPS - 1 or stayed == 63:
            return
        moved = 9
        for step in (-3, 3, -2, 2, -1, 1):
            if _ends_at(columns, at, row + step, label):
                moved = step
        out[k + 1] = moved
        if moved == 9:
            return
        row += moved


@njit(cache=True, allocates=False)
def extrapolate_end(columns: Int64, x: int, z: int, distance: int, label: int, out: Int64) -> None:
    """Where the lower end of the layer above should be in column x, by lines through where it was
    in up to FOLLOWED and FEW columns before, and by a parabola; in eighths of a row below z, each
    clamped. `out` (AHEAD,) ends with a class of in how many columns it was followed, 0 for none.
    """
    out[0], out[1], out[2], out[3] = 0, 0, 0, 0
    if not -8 <= distance <= 9:
        return
    count, row, total, weighted, squares = 0, z + distance, 0, 0, 0
    few, few_weighted, few_count = 0, 0, 0
    for k in range(1, FOLLOWED + 1):
        at = x - k
        if at < 0:
            break
        if not _ends_at(columns, at, row, label):
            if _ends_at(columns, at, row - 1, label):
                row -= 1
            elif _ends_at(columns, at, row + 1, label):
                row += 1
            elif _ends_at(columns, at, row - 2, label):
                row -= 2
            elif _ends_at(columns, at, row + 2, label):
                row += 2
            elif _ends_at(columns, at, row - 3, label):
                row -= 3
            elif _ends_at(columns, at, row + 3, label):
                row += 3
            else:
                break
        total += row - z
        weighted += k * (row - z)
        squares += k * k * (row - z)
        count = k
        if k == FEW:
            few, few_weighted, few_count = total, weighted, count
    if count == 0:
        return
    if count < FEW:
        few, few_weighted, few_count = total, weighted, count
    out[0] = _line_ahead(total, weighted, count)
    out[1] = _line_ahead(few, few_weighted, few_count)
    if count < 3:
        out[2] = out[0]
    else:
        sum_of = 3 * (3 * count * count + 3 * count + 2) * total
        sum_of += 30 * squares - 18 * (2 * count + 1) * weighted
        parabola = 8 * sum_of // (count * (count - 1) * (count - 2))
        out[2] = min(max(parabola, -32), 63) + 32
    out[3] = 1 + int(count > 1) + int(count > 2) + int(count > 4) + int(count > 8)
    out[3] += int(count == FOLLOWED)


@njit(cache=True, allocates=False)
def _line_ahead(total: int, weighted: int, count: int) -> int:
    """One step beyond `count` rows, of which the sum and that weighted by steps back are known."""
    if count == 1:
        ahead = 8 * total
    else:
        ahead = 8 * ((4 * count + 2) * total - 6 * weighted) // (count * (count - 1))
    return min(max(ahead, -32), 63) + 32
