"""Contexts of the mixed coder's decisions: what lies around a sample, told in many ways at once.

Some contexts tell shapes, of which generated models teach what follows; others tell the values
themselves, which only the stream can teach.
"""

from __future__ import annotations

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length, size_class
from velcodec.formats.sample_coding.mixing.around import (
    ABOVE,
    BELOW,
    CORNER,
    FAR_LEFT,
    FARTHEST,
    HIGH,
    LEFT,
    LOW,
    SECOND,
    differences,
    part_of_way,
    pattern,
)
from velcodec.formats.sample_coding.mixing.interfaces import UNKNOWN
from velcodec.formats.sample_coding.mixing.mixer import hashed

QUIET, LIKE = 8, 46
"""Contexts of whether a quiet stretch is like the sample above, and of whether a sample is like one
of its candidates.
"""

CANDIDATE = 37
"""The first of those that differ between candidates."""

DIFFERENCES = 6
"""The one that tells how three values around differ."""

REMEMBERED_BY = (12, 10, 9)
"""Those by which values are remembered."""

RUNS = 4
"""Lengths of runs above the present one, newest first, that contexts see."""


@njit(cache=True, allocates=False)
def fill_quiet_contexts(
    shape: tuple[int, int], x: int, z: int, value: int, length: int, run: int, breaks: int,
    since: int, ends: Int64, out: Int64,
) -> None:  # fmt: skip
    """Contexts of whether a quiet stretch from sample z of column x of an image (nx, nz) on has the
    `value` above, whose run is so long. `length` is the class of the stretch's length; so many
    stretches (at most 15) broke, the last of them so many samples ago (as a number of bits); `ends`
    is what `fill_ends` found.
    """
    nx, nz = shape
    recent, slope = breaks * 16 + since, (ends[1] + 3) * 8 + ends[2] + 3
    out[0] = length * 32 + bit_length(min(run, 255))
    out[1] = length * 256 + recent
    out[2] = hashed(slope, z)
    out[3] = hashed(value, slope)
    out[4] = hashed(value, x)
    out[5] = recent * 64 + slope
    edge = min(z, 3) * 16 + min(nz - 1 - z, 3) * 4 + min(nx - 1 - x, 3)
    out[6] = edge * 16 + length
    out[7] = ((ends[3] + 8) * 16 + length) * 16 + since
    for k in range(QUIET):
        out[k] = hashed(k + 277, out[k])


@njit(cache=True, allocates=False)
def fill_break_contexts(
    row: int, k: int, length: int, value: int, jump: int, ends: Int64, out: Int64
) -> None:
    """Contexts of whether a quiet stretch that breaks does so at a row, k above its last; the last
    break was `jump` rows below the layer's end in the column before.
    """
    slope = (ends[1] + 3) * 8 + ends[2] + 3
    moved = 0 if ends[3] == UNKNOWN else ends[3]
    away = min(max(row - ends[0] - moved, -12), 3)
    out[0] = k
    out[1] = away * 32 + moved
    out[2] = away * 64 + slope
    out[3] = hashed(row - ends[0], jump)
    out[4] = k * 64 + slope
    out[5] = hashed(row, value)
    out[6] = k * 16 + length
    out[7] = (away * 32 + ends[3]) * 16 + k
    for i in range(QUIET):
        out[i] = hashed(i + 377, out[i])


@njit(cache=True, allocates=False)
def fill_like_contexts(
    codes: Int64, near: Int64, steps: Int64, runs: Int64, place: Int64, kind: int, plain: int,
    next_plain: int, follower: int, ahead: Int64, deviation: int, image: Int64, out: Int64,
) -> None:  # fmt: skip
    """Contexts of whether a sample is like any candidate. `codes` are those of the context
    network's features, `place` (4,) x, z and the columns to the right and samples below, `plain`
    and `next_plain` the values between which the present interface leads, `follower` that after the
    one above in the column before; `ahead` is what `extrapolate_end` found, `deviation` how far the
    interface above was from there.
    """
    above, left, corner, below = near[ABOVE], near[LEFT], near[CORNER], near[BELOW]
    end, second_end, third_end = codes[0], codes[1], codes[2]
    alike, beside = codes[23], codes[13]
    run = min(codes[11], 20) if codes[11] >= 0 else 21
    x, z = place[0], place[1]
    # How interfaces went: ends, tops, thicknesses of layers in the columns before.
    ends = hashed((end * 32 + second_end) * 32 + third_end, codes[3] * 32 + codes[4])
    out[0] = hashed(ends, kind)
    out[1] = hashed(ends, (codes[5] * 32 + codes[6]) * 8 + beside)
    out[2] = ((end * 32 + second_end) * 16 + codes[7]) * 16 + codes[8]
    out[3] = ((end * 32 + codes[15]) * 32 + codes[16]) * 32 + run
    out[4] = ((end * 16 + codes[14]) * 32 + codes[12]) * 8 + beside
    out[5] = (run * 32 + codes[12]) * 64 + end
    # Which values are equal, by how much they differ, what they are.
    out[DIFFERENCES] = differences(near)
    out[7] = hashed(hashed(out[DIFFERENCES], near[SECOND] - above), near[FAR_LEFT] - above)
    out[8] = pattern(near)
    out[9] = hashed(above, left)
    out[10] = hashed(hashed(out[9], follower), z)
    out[11] = hashed(hashed(out[9], below), corner)
    out[12] = hashed(hashed(hashed(out[11], near[HIGH]), near[FAR_LEFT]), near[FARTHEST])
    out[13] = hashed(hashed(out[11], near[SECOND]), near[LOW])
    out[14] = hashed(above, x)
    out[15] = hashed(above, run) * 8 + beside
    out[16] = hashed(hashed(above, end), second_end)
    out[17] = hashed(above, z)
    out[18] = (alike * 48 + codes[24]) * 8 + beside
    across, down = size_class(abs(above - left), 20), size_class(abs(below - left), 20)
    out[19] = (across * 24 + down) * 24 + size_class(abs(near[SECOND] - above), 20)
    out[19] = out[19] * 8 + beside
    # How the interface below went, column by column, and how long the runs above are.
    went = (end * 64 + steps[0]) * 16 + steps[1] + 8
    out[20] = went
    out[21] = hashed(went, steps[2])
    out[22] = hashed(hashed(out[21], steps[3]), steps[4])
    out[23] = hashed(hashed(went, codes[7]), codes[8])
    out[24] = (run * 32 + min(runs[0], 31)) * 32 + min(runs[1], 31)
    out[24] = (out[24] * 4 + min(beside, 3)) * 32 + end
    # Where in a blurred interface this is.
    way = part_of_way(above, plain, next_plain) * 32 + part_of_way(left, plain, next_plain)
    out[25] = way * 32 + part_of_way(corner, plain, next_plain)
    out[25] = out[25] * 32 + part_of_way(below, plain, next_plain)
    out[26] = way * 32 + part_of_way(near[SECOND], plain, next_plain)
    out[26] = hashed(out[26], size_class(abs(next_plain - plain), 30))
    # Where the interface should be.
    line, few, parabola, followed = ahead[0], ahead[1], ahead[2], ahead[3]
    out[27] = (line * 8 + followed) * 8 + beside
    out[28] = (line * 128 + few) * 8 + followed
    out[29] = (parabola * 8 + followed) * 8 + beside
    out[30] = (line * 64 + deviation) * 8 + followed
    out[31] = hashed((parabola * 64 + deviation) * 8 + followed, end)
    # All that differs from the sample above in the columns before.
    _fill_column_contexts(image, x, z, above, hashed(min(run, 6), near[SECOND] - above), out)
    out[35] = hashed(hashed(out[36], run), runs[0])
    for k in range(CANDIDATE):
        out[k] = hashed(k + 77, out[k])


@njit(cache=True, allocates=False)
def _fill_column_contexts(image: Int64, x: int, z: int, above: int, own: int, out: Int64) -> None:
    """Hashes of how three, two and one columns before differ from the sample above, with one of the
    `own` column.
    """
    first, second, third, nz = 0, 0, 0, image.shape[1]
    for row in range(max(z - 3, 0), min(z + 6, nz)):
        if x > 0:
            first = hashed(first, image[x - 1, row] - above)
        if x > 1:
            second = hashed(second, image[x - 2, row] - above)
        if x > 2 and z - 2 <= row < z + 4:
            third = hashed(third, image[x - 3, row] - above)
    out[32] = hashed(first, own)
    out[33] = hashed(hashed(first, second), own)
    out[34] = hashed(out[33], third)
    out[36] = first


@njit(cache=True, allocates=False)
def fill_candidate_contexts(
    value: int, fine: int, near: Int64, line: int, end: int, run: int, beside: int, out: Int64
) -> None:
    """Contexts of whether a sample is like a candidate of this value, `fine` (in 1/16) being
    foreseen; the others as for `fill_like_contexts`, whose contexts are there.
    """
    above, left, corner, below = near[ABOVE], near[LEFT], near[CORNER], near[BELOW]
    far_left = near[FAR_LEFT]
    away = min(max(fine - (value << 4), -48), 48)
    at = CANDIDATE
    out[at] = away * 64 + end
    out[at + 1] = (away * 64 + line) * 8 + beside
    out[at + 2] = hashed(away, out[DIFFERENCES])
    out[at + 3] = ((away >> 1) * 32 + run) * 8 + beside
    out[at + 4] = hashed(hashed(value - above, value - left), value - corner)
    out[at + 5] = hashed(hashed(out[at + 4], value - below), value - near[LOW])
    out[at + 6] = hashed(hashed(value - above - left + corner, value - below), min(run, 3))
    out[at + 7] = hashed(hashed(value - left, left - far_left), far_left - near[FARTHEST])
    out[at + 8] = hashed(hashed(value - above, above - near[SECOND]), hashed(run, value - left))
    for k in range(at, LIKE):
        out[k] = hashed(k + 77, out[k])
