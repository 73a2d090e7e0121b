"""How far a sample lies from what is foreseen of it, as mixed decisions.

Linear predictions, fitted nearby and to the whole image, are blended; the miss goes as whether it
is 0, its sign, its number of bits and the bits below the first, each in many contexts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length, size_class
from velcodec.formats.entropy.symbols import Coder, code_bits
from velcodec.formats.sample_coding.label_map.value_features import (
    difference_class,
    relative_position,
)
from velcodec.formats.sample_coding.mixing.around import (
    ABOVE,
    BELOW,
    CORNER,
    FAR_BELOW,
    FAR_CORNER,
    FAR_LEFT,
    KINDS,
    LEFT,
    SECOND,
    part_of_way,
    steepness,
)
from velcodec.formats.sample_coding.mixing.mixer import Mixing, code_mixed, hashed
from velcodec.formats.sample_coding.mixing.nearby import (
    COLUMNS,
    ERROR_REACH,
    nearby_error,
    nearby_weights,
    raised_error,
)
from velcodec.formats.sample_coding.mixing.predictions import Steady, learn_steady, steady_guess
from velcodec.formats.sample_coding.mixing.regression import (
    FRACTION,
    PADDING,
    PREDICTIONS,
    Regression,
    fill_predictions,
    learn_predictions,
)
from velcodec.formats.sample_coding.prediction.blended import blend

MISS = 41
"""Contexts of a miss."""

ALL_GUESSES = PREDICTIONS + 1
"""Those fitted nearby, and the steady one."""

GROUPS = 12
"""Kinds of decisions: zero, sign, another bit (7), the first three bits below the leading one."""

LEARNED_BITS = 5
"""Bits of a miss, with the leading one, that have contexts; those below are as they are."""

NEARNESSES, TILTS, LENGTHS = 16, 16, 8
SELECTORS = GROUPS * (NEARNESSES + TILTS + LENGTHS + KINDS)
REFINERS = GROUPS * 64

IS_ZERO, SIGN, LENGTH, BITS_BELOW = range(4)


class Foresight(NamedTuple):
    """What guesses are made from, and how far off they were: `guesses` and `energy` (ALL_GUESSES,);
    `errors` (ALL_GUESSES + 1, COLUMNS, height and border), the last of the blend; `misses` (2,
    height + 1); the predictions fitted nearby and the steady one; the `last` miss (1,); and room.
    """

    guesses: Int64
    energy: Int64
    errors: Int64
    misses: Int64
    regression: Regression
    steady: Steady
    last: Int64
    coarse: Int64
    off: Int64


def new_foresight(height: int, regression: Regression, steady: Steady) -> Foresight:
    """Before the first sample of an image of such a height."""
    return Foresight(
        np.zeros(ALL_GUESSES, dtype=np.int64),
        np.zeros(ALL_GUESSES, dtype=np.int64),
        np.zeros((ALL_GUESSES + 1, COLUMNS, height + 2 * ERROR_REACH), dtype=np.int64),
        np.zeros((2, height + 1), dtype=np.int64),
        regression,
        steady,
        np.zeros(1, dtype=np.int64),
        np.zeros(ALL_GUESSES, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
    )


@njit(cache=True, allocates=False)
def open_misses(x: int, foresight: Foresight) -> None:
    """Forget what stood in the place of column x."""
    foresight.errors[:, x % COLUMNS] = 0
    foresight.misses[x & 1] = 0


@njit(cache=True, allocates=False)
def _fill_contexts(
    codes: Int64, near: Int64, place: Int64, guess: int, fine: int, errors: Int64, kind: int,
    spanned: int, plain: int, next_plain: int, follower: int, foresight: Foresight, out: Int64,
) -> None:  # fmt: skip
    """Contexts of a miss of `guess`, rounded from `fine`. `errors` (2,) are how far off guesses
    were nearby and lately; the others as for `fill_like_contexts`, `spanned` the bits of the span.
    """
    above, left, corner, below = near[ABOVE], near[LEFT], near[CORNER], near[BELOW]
    guesses, misses = foresight.guesses, foresight.misses
    x, z, right, under = place
    part = fine - (guess << FRACTION) + 8
    off, late = size_class(errors[0], 47), size_class(errors[1], 47)
    spread = abs(guesses[0] - guesses[1]) + abs(guesses[2] - guesses[1])
    spread = size_class(spread, 47)
    most, least = (
        max(max(above, left), max(corner, below)),
        min(min(above, left), min(corner, below)),
    )
    rough = size_class((most - least) << 2, 47)
    up, beside = misses[x & 1, z], misses[1 - (x & 1), z + 1]
    steep = steepness(guess, near)
    to_above, to_left = steep // 64, steep % 64
    coarse_off = min(off // 3, 15)
    # How far off guesses were, and how the values around differ.
    out[0] = (kind * 64 + off) * 2 + int(x == 0 and z == 0)
    out[1] = steep
    out[2] = difference_class(follower - guess) * 64 + to_above
    out[3] = hashed(above - guess, left - guess)
    out[4] = hashed(guess, above)
    out[5] = guess
    out[6] = hashed(out[4], left)
    out[7] = hashed(out[4], follower)
    out[8] = hashed(out[4], z)
    out[9] = codes[23] * 64 + off
    out[10] = (codes[13] * 48 + codes[24]) * 32 + min(max(codes[11], 0), 8)
    out[11] = difference_class(below - left) * 64 + difference_class(left - corner)
    out[11] = out[11] * 64 + to_above
    tilt = relative_position(left, corner, below)
    out[12] = (tilt * 12 + relative_position(left, above, follower)) * 32
    out[12] += size_class(abs(follower - above), 30)
    out[13] = ((spanned * 16 + kind) * 8 + codes[25]) * 4 + int(z == 0) + 2 * int(x == 0)
    out[14] = difference_class(foresight.last[0]) * 64 + to_above
    out[15] = difference_class(near[FAR_LEFT] - left) * 64
    out[15] = (out[15] + difference_class(near[SECOND] - above)) * 64 + to_left
    out[16] = relative_position(near[FAR_LEFT], near[FAR_CORNER], near[FAR_BELOW]) * 144
    out[16] += tilt * 12 + relative_position(guess, above, follower)
    edge = (min(x, 3) * 4 + min(right, 3)) * 16 + min(z, 3) * 4 + min(under, 3)
    out[17] = edge
    out[18] = (off * 64 + spread) * 64 + late // 2
    out[19] = (off * 64 + rough) * 32 + part
    out[20] = (spread * 64 + rough) * 32 + part
    out[21] = part * 32 + off // 2
    signs = max(min(up, 4), -4) * 9 + max(min(beside, 4), -4) + 60
    out[22] = (signs * 32 + part) * 32 + off // 2
    # Where each guess lies about the whole number.
    coarse = foresight.coarse
    for k in range(ALL_GUESSES):
        away = guesses[k] - (guess << FRACTION)
        coarse[k] = min(max(away >> 2, -8), 7) + 8
        out[29 + k] = (k * 64 + min(max(away >> 1, -31), 31) + 31) * 16 + coarse_off
    out[23] = ((coarse[1] * 16 + coarse[4]) * 16 + part) * 8 + coarse_off // 2
    out[24] = ((coarse[0] * 16 + coarse[2]) * 16 + part) * 8 + coarse_off // 2
    out[25] = hashed(out[3], hashed(below - guess, corner - guess))
    out[26] = (late * 64 + rough) * 32 + spread // 2
    out[27] = ((coarse[3] * 16 + coarse[4]) * 16 + coarse[1]) * 8 + coarse_off // 2
    out[28] = (edge * 8 + min(max(above - guess, -3), 3)) * 8 + min(max(left - guess, -3), 3)
    down, across = abs(above - near[SECOND]) << 2, abs(left - near[FAR_LEFT]) << 2
    out[34] = (size_class(down, 47) * 64 + size_class(across, 47)) * 32 + off // 2
    # Where in a blurred interface this is.
    way, way_left = part_of_way(above, plain, next_plain), part_of_way(left, plain, next_plain)
    way_corner = part_of_way(corner, plain, next_plain)
    way_guess = part_of_way(guess, plain, next_plain)
    out[35] = ((way * 32 + way_left) * 32 + way_corner) * 32 + way_guess
    out[36] = (way_left * 32 + way_corner) * 32 + part_of_way(below, plain, next_plain)
    out[36] = out[36] * 32 + way_guess
    out[37] = (way_guess * 32 + part) * 32 + size_class(abs(next_plain - plain), 30)
    between = hashed(plain, next_plain)
    out[38] = hashed(between, hashed(above, guess))
    out[39] = hashed(between, guess)
    out[40] = (way * 32 + part_of_way(near[SECOND], plain, next_plain)) * 32 + way_guess
    for k in range(MISS):
        out[k] = hashed(k + 177, out[k])


@njit(cache=True, allocates=False)
def code_value(
    value: int, codes: Int64, near: Int64, place: Int64, kind: int, span: int, plain: int,
    next_plain: int, follower: int, smooth: bool, image: Float64, foresight: Foresight,
    contexts: Int64, select: Int64, refine: Int64, mixing: Mixing, coder: Coder,
) -> int:  # fmt: skip
    """The value of a sample, of which a decoder is told nothing; `image` is padded as in
    `regression`, `contexts` (MISS,) is room.
    """
    guesses, energy, errors, misses, regression, steady, last, _, off = foresight
    x, z = place[0], place[1]
    nz = errors.shape[2] - 2 * ERROR_REACH
    now, own, top = x % COLUMNS, errors[ALL_GUESSES], (span - 1) << FRACTION
    fill_predictions(image, x, z, span, smooth, regression, guesses[:PREDICTIONS])
    guesses[PREDICTIONS] = steady_guess(image, x, z, span, steady)
    for k in range(ALL_GUESSES):
        energy[k] = raised_error(nearby_error(errors[k], x, z))
    fine = min(max(blend(guesses, energy), 0), top)
    guess = (fine + (1 << (FRACTION - 1))) >> FRACTION
    off[0] = 4 * nearby_error(own, x, z) // max(nearby_weights(x, z, nz), 1)
    off[1] = max(own[now, z + ERROR_REACH - 1], own[(x - 1) % COLUMNS, z + ERROR_REACH])
    _fill_contexts(
        codes, near, place, guess, fine, off, kind, bit_length(span - 1), plain, next_plain,
        follower, foresight, contexts,
    )  # fmt: skip
    nearness = min(size_class(off[0], 47) // 2, NEARNESSES - 1)
    beside = min(codes[13], 3)
    tilt = (codes[24] % 24) // 8 * 4 + beside
    miss = _code_miss(
        value - guess, nearness, tilt, beside, codes[23], kind, bit_length(span - 1), contexts,
        select, refine, mixing, coder,
    )  # fmt: skip
    found = guess + miss
    if 0 <= found < span:
        misses[x & 1, z + 1] = miss
        last[0] = miss
        for k in range(ALL_GUESSES):
            errors[k, now, z + ERROR_REACH] = abs(guesses[k] - (found << FRACTION))
        own[now, z + ERROR_REACH] = abs(fine - (found << FRACTION))
    return found


@njit(cache=True, allocates=False)
def learn_value(
    value: int, x: int, z: int, smooth: bool, image: Float64, foresight: Foresight
) -> None:
    """Learn the value of sample z of column x, whose steady guess was made."""
    wanted = value - image[x + PADDING, z + PADDING - 1]
    learn_steady(wanted, foresight.steady)
    if smooth:
        learn_predictions(wanted, x, z, foresight.regression)


@njit(cache=True, allocates=False)
def _code_miss(
    miss: int, nearness: int, tilt: int, beside: int, alike: int, kind: int, most: int,
    contexts: Int64, select: Int64, refine: Int64, mixing: Mixing, coder: Coder,
) -> int:  # fmt: skip
    """A signed integer of at most so many bits."""
    size = abs(miss)
    wanted = bit_length(size)
    state, bits, found, negative = IS_ZERO, 0, 0, 0
    while True:
        if state == IS_ZERO:
            bit, node, group = int(wanted > 0), 0, 0
        elif state == SIGN:
            bit, node, group = int(miss < 0), 1, 1
        elif state == LENGTH:
            bit, node, group = int(wanted > bits), 2 + bits, 2 + min(bits, 6)
        else:
            known = bit_length(found)
            bit = (size >> (bits - known - 1)) & 1
            node, group = 100 + bits * 64 + found + 8192 * negative, min(8 + known, GROUPS - 1)
        select[0] = group * NEARNESSES + nearness
        select[1] = GROUPS * NEARNESSES + group * TILTS + tilt
        select[2] = GROUPS * (NEARNESSES + TILTS) + group * LENGTHS + min(bits, LENGTHS - 1)
        select[3] = GROUPS * (NEARNESSES + TILTS + LENGTHS) + group * KINDS + kind
        refine[0], refine[1] = group * 64 + alike, group * 64 + nearness * 4 + beside
        bit = code_mixed(bit, contexts, node, group, select, refine, contexts[:0], mixing, coder)
        if state == IS_ZERO:
            if not bit:
                return 0
            state = SIGN
        elif state == SIGN:
            negative, bits = bit, 1
            state = LENGTH
        elif state == LENGTH:
            bits += bit
            if not bit:
                state = BITS_BELOW
        else:
            found = 2 * found + bit
        if state == LENGTH and bits >= most:
            state = BITS_BELOW
        if state == BITS_BELOW:
            found = max(found, 1)
            known = bit_length(found)
            if known in (bits, LEARNED_BITS):
                found = code_bits(size, found, bits - known, coder)
                return -found if negative else found
