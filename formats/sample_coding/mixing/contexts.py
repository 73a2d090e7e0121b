"""Contexts of the mixed coder's decisions: what lies around a sample, told in many ways at once.

Columns go from left to right, each from the top. Some contexts tell shapes, of which generated
models teach what follows; others tell the values themselves, which only the stream can teach.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length, size_class
from velcodec.formats.sample_coding.label_map.value_features import NONE, difference_class
from velcodec.formats.sample_coding.mixing.mixer import hashed

QUIET, LIKE = 8, 55
FOLLOWED, FEW = 16, 5
"""Contexts of whether a quiet sample is like the one above, and of whether any is like one of its
candidates.
"""

ABOVE, SECOND, LEFT, CORNER, BELOW, FAR_LEFT, FAR_CORNER, FAR_BELOW, HIGH, LOW, FARTHEST = range(11)
NEAR = 11
"""Values around a sample: above and two above, in the column to the left in this row, one higher,
one lower; the same two columns away; two higher and two lower in the column to the left; and three
columns away.
"""

STEPS = 5
"""What `fill_steps` finds."""

RUNS = 4
"""Lengths of runs above the present one, newest first, that contexts see."""

LOOKED_DOWN = 2
"""Rows below that must be alike where a sample is quiet."""

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
def quiet_stretch(columns: Int64, x: int, z: int) -> tuple[int, int]:
    """How many samples from (x, z) on have nothing around them but the label above, as far as is
    known; and a class of that, at most 15: the greatest where nothing else comes below.
    """
    nz = columns.shape[1]
    if x < 2 or z < 1:
        return 0, 0
    above, row = columns[x, z - 1], z - 1
    first, second = columns[x - 1], columns[x - 2]
    while row < nz and first[row] == above and second[row] == above:
        row += 1
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
def fill_ends(columns: Int64, x: int, z: int, top: int, out: Int64) -> None:
    """Where the layer above ends in the column before, by how many rows that moved from column to
    column (two numbers of -3 to 4), and by how many its top has moved now (9 where it is unknown).
    """
    nz, label = columns.shape[1], columns[x, z - 1]
    for k in range(3):
        row, column = z, columns[max(x - 1 - k, 0)]
        while row < min(nz, z + 40) and column[row] == label:
            row += 1
        out[k] = row
    out[1], out[2] = (
        min(max(out[0] - out[1], -3), 4),
        min(max(out[1] - out[2], -3), 4),
    )
    row = z - 1
    while row >= max(0, top - 12) and columns[x - 1, row] == label:
        row -= 1
    moved = top - row - 1
    out[3] = moved if -8 <= moved <= 8 and row >= 0 and top > 0 else 9


@njit(cache=True, allocates=False)
def fill_quiet_contexts(
    columns: Int64, x: int, z: int, value: int, still: int, run: int, breaks: int, since: int,
    ends: Int64, out: Int64,
) -> None:  # fmt: skip
    """Contexts of whether a quiet stretch from sample z of column x on has the `value` above, whose
    run is so long; so many stretches had another one, the last of them so many ago. `still` is the
    class of its length, `ends` what `fill_ends` found.
    """
    nx, nz = columns.shape
    recent = min(breaks, 15) * 16 + bit_length(min(since, 32767))
    slope = (ends[1] + 3) * 8 + ends[2] + 3
    out[0] = still * 32 + bit_length(min(run, 255))
    out[1] = still * 256 + recent
    out[2] = hashed(slope, z)
    out[3] = hashed(value, slope)
    out[4] = hashed(value, x)
    out[5] = recent * 64 + slope
    out[6] = (min(z, 3) * 64 + min(nz - 1 - z, 3) * 16 + min(nx - 1 - x, 3) * 4) * 16 + still
    out[7] = ((ends[3] + 8) * 16 + still) * 16 + bit_length(min(since, 32767))
    for k in range(QUIET):
        out[k] = hashed(k + 277, out[k])


@njit(cache=True, allocates=False)
def fill_break_contexts(
    at: int, k: int, still: int, value: int, last: int, ends: Int64, out: Int64
) -> None:
    """Contexts of whether a quiet stretch that is broken is so at row `at`, k above its last."""
    slope = (ends[1] + 3) * 8 + ends[2] + 3
    moved = 0 if ends[3] == 9 else ends[3]
    away = min(max(at - ends[0] - moved, -12), 3)
    out[0] = k
    out[1] = away * 32 + moved
    out[2] = away * 64 + slope
    out[3] = hashed(at - ends[0], last)
    out[4] = k * 64 + slope
    out[5] = hashed(at, value)
    out[6] = k * 16 + still
    out[7] = (away * 32 + ends[3]) * 16 + min(k, 15)
    for i in range(QUIET):
        out[i] = hashed(i + 377, out[i])


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
    clamped. `out` (4,) ends with a class of in how many columns it was followed, 0 for none.
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


@njit(cache=True, allocates=False)
def _differences(near: Int64) -> int:
    """A hash of how three values around differ from the one above."""
    above = near[ABOVE]
    found = hashed(near[LEFT] - above, near[CORNER] - above)
    return hashed(found, near[BELOW] - above)


@njit(cache=True, allocates=False)
def _pattern(near: Int64) -> int:
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
def fill_like_contexts(
    codes: Int64, near: Int64, steps: Int64, runs: Int64, place: Int64, kind: int, plain: int,
    next_plain: int, follower: int, ahead: Int64, deviation: int, image: Int64, fine: int, out: Int64,
) -> None:  # fmt: skip
    """Contexts of whether a sample is like a candidate. `codes` are those of the context network's
    features, `place` (4,) x, z and the columns to the right and samples below, `plain` and
    `next_plain` the values between which the present interface leads, `follower` that after the one
    above in the column before.
    """
    above, left, corner, below = near[ABOVE], near[LEFT], near[CORNER], near[BELOW]
    end, second_end, third_end = codes[0], codes[1], codes[2]
    alike, beside = codes[23], codes[13]
    run = min(codes[11], 20) if codes[11] >= 0 else 21
    x, z, right, under = place
    # How interfaces went: ends, tops, thicknesses of layers in the columns before.
    out[0] = ((kind * 32 + end) * 32 + second_end) * 32 + third_end
    out[1] = hashed((end * 32 + second_end) * 32 + third_end, codes[3] * 32 + codes[4])
    out[2] = hashed(out[1], (codes[5] * 32 + codes[6]) * 8 + beside)
    out[3] = ((end * 32 + second_end) * 16 + codes[7]) * 16 + codes[8]
    out[4] = ((kind * 32 + end) * 64 + alike) * 8 + beside
    out[5] = ((end * 32 + codes[15]) * 32 + codes[16]) * 32 + run
    out[6] = ((end * 16 + codes[14]) * 32 + codes[12]) * 8 + beside
    out[7] = (run * 32 + codes[12]) * 64 + end
    out[8] = (alike * 48 + codes[24]) * 8 + beside
    out[9] = (end * 128 + min(z, 127)) * 4 + min(under, 3)
    thick = ((codes[15] * 32 + codes[16]) * 32 + codes[17]) * 32 + codes[18]
    out[10] = hashed(thick, end)
    across, down = size_class(abs(above - left), 20), size_class(abs(below - left), 20)
    out[11] = (across * 24 + down) * 24 + size_class(abs(near[SECOND] - above), 20)
    out[11] = out[11] * 8 + beside
    out[12] = (((kind * 32 + end) * 32 + codes[21]) * 32 + codes[22]) * 8 + beside
    # Which values are equal, by how much they differ, what they are.
    out[13] = _pattern(near)
    out[14] = _differences(near)
    out[15] = hashed(hashed(out[14], near[SECOND] - above), near[FAR_LEFT] - above)
    out[16] = hashed(hashed(out[15], near[FAR_CORNER] - above), near[FAR_BELOW] - above)
    out[16] = hashed(out[16], above)
    out[17] = hashed(above, left)
    out[18] = hashed(hashed(out[17], below), corner)
    out[19] = hashed(hashed(out[17], follower), z)
    out[20] = hashed(hashed(out[18], near[SECOND]), near[LOW])
    out[21] = hashed(hashed(hashed(out[18], near[HIGH]), near[FAR_LEFT]), near[FARTHEST])
    out[22] = hashed(above, x)
    out[23] = ((min(x, 3) * 4 + min(right, 3)) * 4 + min(z, 3)) * 4 + min(under, 3)
    # How the interface below went, column by column, and how long the runs above are.
    went = (end * 64 + steps[0]) * 16 + steps[1] + 8
    out[24] = went
    out[25] = hashed(went, steps[2])
    out[26] = hashed(hashed(out[25], steps[3]), steps[4])
    out[27] = hashed(hashed(went, codes[7]), codes[8])
    out[28] = (run * 32 + min(runs[0], 31)) * 32 + min(runs[1], 31)
    out[28] = (out[28] * 4 + min(beside, 3)) * 32 + end
    out[29] = hashed(hashed(hashed(out[28], runs[2]), runs[3]), above)
    out[30] = hashed(hashed(went, run), runs[0])
    out[31] = hashed(hashed(run, runs[0]), hashed(runs[1], runs[2]))
    # Where in a blurred interface this is.
    way = part_of_way(above, plain, next_plain) * 32 + part_of_way(left, plain, next_plain)
    out[32] = way * 32 + part_of_way(corner, plain, next_plain)
    out[32] = out[32] * 32 + part_of_way(below, plain, next_plain)
    out[33] = way * 32 + part_of_way(near[SECOND], plain, next_plain)
    out[33] = hashed(out[33], size_class(abs(next_plain - plain), 30))
    # Where the interface should be, and how far the one above it was from where it should have been.
    line, few, parabola, followed = ahead[0], ahead[1], ahead[2], ahead[3]
    out[34] = (line * 8 + followed) * 8 + beside
    out[35] = (line * 128 + few) * 8 + followed
    out[36] = (parabola * 8 + followed) * 8 + beside
    out[37] = (line * 64 + deviation) * 8 + followed
    out[38] = hashed((parabola * 64 + deviation) * 8 + followed, end)
    out[39] = hashed(above, run) * 8 + beside
    out[40] = hashed(hashed(above, end), second_end)
    out[41] = hashed(above, z)
    first, second, third = 0, 0, 0
    nz = image.shape[1]
    for row in range(max(z - 3, 0), min(z + 6, nz)):
        if x > 0:
            first = hashed(first, image[x - 1, row] - above + 8)
        if x > 1:
            second = hashed(second, image[x - 2, row] - above + 8)
        if x > 2 and row >= z - 2 and row < z + 4:
            third = hashed(third, image[x - 3, row] - above + 8)
    own = hashed(min(run, 6), near[SECOND] - above)
    out[42] = hashed(first, own)
    out[43] = hashed(hashed(first, second), own)
    out[44] = hashed(hashed(hashed(first, second), own), third)
    out[45] = hashed(hashed(first, run), runs[0])
    fill_fine_contexts(fine, above, near, out[14], line, end, run, beside, out)
    for k in range(46):
        out[k] = hashed(k + 77, out[k])


@njit(cache=True, allocates=False)
def fill_fine_contexts(
    fine: int, value: int, near: Int64, differences: int, line: int, end: int, run: int,
    beside: int, out: Int64,
) -> None:  # fmt: skip
    """Contexts of how far a candidate is from what is foreseen."""
    guess = min(max(fine - (value << 4), -48), 48)
    above, left, corner, below = near[ABOVE], near[LEFT], near[CORNER], near[BELOW]
    out[50] = hashed(hashed(value - above, value - left), value - corner)
    out[51] = hashed(hashed(value - above - left + corner, value - below), min(run, 3))
    out[52] = hashed(hashed(value - left, left - near[FAR_LEFT]), near[FAR_LEFT] - near[FARTHEST])
    out[53] = hashed(hashed(value - above, above - near[SECOND]), hashed(run, value - left))
    out[54] = hashed(hashed(out[50], value - below), value - near[LOW])
    out[46] = guess * 64 + end
    out[47] = (guess * 64 + line) * 8 + beside
    out[48] = hashed(guess, differences)
    out[49] = (guess // 2 * 32 + run) * 8 + beside
    for k in range(46, LIKE):
        out[k] = hashed(k + 77, out[k])



@njit(cache=True, allocates=False)
def steepness(value: int, near: Int64) -> int:
    """How far a value lies from the one above and the one to the left, one number."""
    return difference_class(near[ABOVE] - value) * 64 + difference_class(near[LEFT] - value)
