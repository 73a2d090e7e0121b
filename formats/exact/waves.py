"""An image of integers coded as wavelet coefficients, with corrections where those miss the bound.

For smooth models within wide bounds. The coefficients are quantised; each is coded by adaptive bits
whose probability is a sum over features of its neighbourhood: the coefficients already known beside
it, in the coarser band and in the sister bands. The sums begin as learned from generated models and
go on learning. Integer arithmetic throughout. Sources: context modelling of wavelet coefficients is
that of Wu, "ECECOW" (1997); outliers are those of Li, Lindstrom and Clyne, "SPERR" (2023).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptError
from .misses import bit_length
from .symbols import (
    DECODING,
    Coder,
    code_among,
    code_bit,
    code_bits,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from .wavelet import (
    BOTTOM,
    FIRST_SISTER,
    KIND,
    LEFT,
    LEVEL,
    PARENT,
    RIGHT,
    SECOND_SISTER,
    TOP,
    analyse,
    bands,
    splits,
    steps_of,
    synthesise,
)

Int64 = NDArray[np.int64]

MAX_SPAN = 1 << 30
FRACTION = 6
"""Bits of the image below one, so that the rounding of the transform is negligible."""

MOST_BITS = 48
STAGES = 12
FEATURES = 10
SIZES = (16, 10, 14, 14, 14, 16, 30, 36, 18, 6)
ROWS = sum(SIZES)
SIGN_FEATURES = 4
SIGN_SIZES = (27, 9, 9, 9)
SIGN_ROWS = sum(SIGN_SIZES)

WEIGHTS = np.zeros((STAGES + 1, ROWS), dtype=np.int64)
SIGN_WEIGHTS = np.zeros((1, SIGN_ROWS), dtype=np.int64)
RATE = 5


def _half_powers() -> Int64:
    """Frequencies of a 0 bit, of 2^16, by its logit in 1/64 bit from -12 to 12."""
    import math

    out = []
    for i in range(-12 * 64, 12 * 64 + 1):
        # 2^(i / 64) in 2^-40, by exact integer roots.
        power = 1 << (40 * 64 + i)
        for _ in range(6):
            power = math.isqrt(power)
        out.append(min(max((power << 16) // (power + (1 << 40)), 24), (1 << 16) - 24))
    return np.array(out, dtype=np.int64)


FREQUENCIES = _half_powers()


@njit(cache=True)
def _code_learned(
    bit: int, row: Int64, found: Int64, frequencies: Int64, rate: int, coder: Coder
) -> int:
    """A bit, whose logit of being 0 is the sum of the weights of the features `found`."""
    total = 0
    for i in range(len(found)):
        total += row[found[i]]
    place = min(max((total >> 10) + 768, 0), 1536)
    pair = np.empty(2, dtype=np.int64)
    pair[0] = frequencies[place]
    pair[1] = (1 << 16) - pair[0]
    bit = code_among(bit, pair, coder)
    miss = (0 if bit else 1 << 16) - pair[0]
    for i in range(len(found)):
        row[found[i]] += miss * rate >> 8
    return bit


@njit(cache=True)
def _class(energy: int, most: int) -> int:
    """Half octaves."""
    if energy < 3:
        return min(energy, most)
    bits = bit_length(energy)
    return min(2 * bits - 1 + ((energy >> (bits - 2)) & 1), most)


@njit(cache=True)
def _around(sizes: Int64, band: Int64, r: int, c: int) -> int:
    """Four times the magnitude at row r and column c of a band plus that of its neighbours."""
    top, bottom, left, right = band[TOP], band[BOTTOM], band[LEFT], band[RIGHT]
    z, x = min(top + r, bottom - 1), min(left + c, right - 1)
    total = 4 * abs(sizes[z, x])
    total += abs(sizes[max(z - 1, top), x]) + abs(sizes[min(z + 1, bottom - 1), x])
    return total + abs(sizes[z, max(x - 1, left)]) + abs(sizes[z, min(x + 1, right - 1)])


@njit(cache=True)
def _find_features(
    q: Int64, all_bands: Int64, number: int, z: int, x: int, found: Int64, sign: Int64
) -> None:
    band = all_bands[number]
    top, left, right = band[TOP], band[LEFT], band[RIGHT]
    r, c = z - top, x - left
    n = q[z - 1, x] if r > 0 else 0
    w = q[z, x - 1] if c > 0 else 0
    nw = q[z - 1, x - 1] if r > 0 and c > 0 else 0
    ne = q[z - 1, x + 1] if r > 0 and x + 1 < right else 0
    nn = q[z - 2, x] if r > 1 else 0
    ww = q[z, x - 2] if c > 1 else 0
    near = 2 * (abs(n) + abs(w)) + abs(nw) + abs(ne)
    far = abs(nn) + abs(ww)
    parent, ps = 0, 0
    if band[PARENT] >= 0:
        coarse = all_bands[band[PARENT]]
        parent = _around(q, coarse, r // 2, c // 2)
        ps = q[
            min(coarse[TOP] + r // 2, coarse[BOTTOM] - 1),
            min(coarse[LEFT] + c // 2, coarse[RIGHT] - 1),
        ]
    first, second, s1, s2 = 0, 0, 0, 0
    if band[FIRST_SISTER] >= 0:
        sister = all_bands[band[FIRST_SISTER]]
        first = _around(q, sister, r, c)
        s1 = q[min(sister[TOP] + r, sister[BOTTOM] - 1), min(sister[LEFT] + c, sister[RIGHT] - 1)]
    if band[SECOND_SISTER] >= 0:
        sister = all_bands[band[SECOND_SISTER]]
        second = _around(q, sister, r, c)
        s2 = q[min(sister[TOP] + r, sister[BOTTOM] - 1), min(sister[LEFT] + c, sister[RIGHT] - 1)]
    kind = band[KIND]
    level = min(band[LEVEL], 9)
    total = 4 * near + 4 * far + 2 * parent + 2 * first + 2 * second
    place = 0
    found[0] = place + _class(near, 15)
    place += 16
    found[1] = place + _class(far, 9)
    place += 10
    found[2] = place + _class(parent, 13)
    place += 14
    found[3] = place + _class(first, 13)
    place += 14
    found[4] = place + _class(second, 13)
    place += 14
    found[5] = place + 4 * min(abs(n), 3) + min(abs(w), 3)
    place += 16
    found[6] = place + 3 * level + kind
    place += 30
    found[7] = place + 6 * min(_class(near, 15) // 2, 5) + min(_class(parent, 15) // 2, 5)
    place += 36
    found[8] = place + _class(total // 4, 17)
    place += 18
    found[9] = place + 3 * int(r == 0 or c == 0) + kind
    sn, sw = _sign(n), _sign(w)
    sign[0] = 9 * kind + 3 * (sn + 1) + sw + 1
    sign[1] = 27 + 3 * kind + _sign(ps) + 1
    sign[2] = 36 + 3 * kind + _sign(s1) + 1
    sign[3] = 45 + 3 * kind + _sign(s2) + 1


@njit(cache=True)
def _sign(value: int) -> int:
    return int(value > 0) - int(value < 0)


@njit(cache=True)
def _code_value(
    value: int, weights: Int64, signs: Int64, tails: Int64, found: Int64, sign: Int64,
    frequencies: Int64, rate: int, coder: Coder,
) -> int:  # fmt: skip
    """A signed integer: its number of bits, the bits below the leading one, its sign."""
    size = abs(value)
    wanted = bit_length(size)
    bits = 0
    while bits < MOST_BITS:
        row = weights[min(bits, STAGES - 1)]
        if not _code_learned(int(wanted > bits), row, found, frequencies, rate, coder):
            break
        bits += 1
    if bits == 0:
        return 0
    now = 1
    left = bits - 1
    if left > 0:
        left -= 1
        bit = (size >> left) & 1
        if bits == 2:
            bit = _code_learned(bit, weights[STAGES], found, frequencies, rate, coder)
        else:
            bit = code_bit(bit, tails[bits], coder)
        now = 2 | bit
    now = code_bits(size, now, left, coder)
    negative = _code_learned(int(value < 0), signs[0], sign, frequencies, rate, coder)
    return -now if negative else now


@njit(cache=True)
def _code_size(value: int, stops: Int64, coder: Coder) -> int:
    """An integer that is not negative, of which nothing is known but those before it."""
    wanted = bit_length(value)
    bits = 0
    while bits < MOST_BITS and code_bit(int(wanted > bits), stops[bits], coder):
        bits += 1
    return code_bits(value, 1, bits - 1, coder) if bits > 0 else 0


@njit(cache=True)
def _code_signed(value: int, stops: Int64, coder: Coder) -> int:
    size = _code_size(abs(value), stops, coder)
    return -size if size > 0 and code_bits(int(value < 0), 0, 1, coder) else size


@njit(cache=True)
def _code_coefficients(
    q: Int64, low_z: int, low_x: int, all_bands: Int64, weights: Int64, signs: Int64,
    frequencies: Int64, rate: int, most: int, coder: Coder,
) -> bool:  # fmt: skip
    decoding = coder[DECODING]
    stops = np.full((MOST_BITS + 1, 2), 1 << 15, dtype=np.int64)
    stops[:, 1] = 1
    tails = stops.copy()
    first = stops.copy()
    for z in range(low_z):
        for x in range(low_x):
            guess = 0
            if z > 0 and x > 0:
                guess = (q[z - 1, x] + q[z, x - 1]) // 2
            elif z > 0:
                guess = q[z - 1, x]
            elif x > 0:
                guess = q[z, x - 1]
            value = 0 if decoding else q[z, x] - guess
            value = guess + _code_signed(value, first if z + x == 0 else stops, coder)
            if abs(value) > most:
                return False
            q[z, x] = value
    found = np.zeros(FEATURES, dtype=np.int64)
    sign = np.zeros(SIGN_FEATURES, dtype=np.int64)
    empty = np.full((3, 2), 1 << 15, dtype=np.int64)
    empty[:, 1] = 1
    for number in range(len(all_bands)):
        band = all_bands[number]
        some = 0
        if not decoding:
            inside = q[band[TOP] : band[BOTTOM], band[LEFT] : band[RIGHT]]
            some = int(np.any(inside != 0))
        if not code_bit(some, empty[0], coder):
            continue
        for z in range(band[TOP], band[BOTTOM]):
            for x in range(band[LEFT], band[RIGHT]):
                _find_features(q, all_bands, number, z, x, found, sign)
                value = 0 if decoding else q[z, x]
                value = _code_value(
                    value, weights, signs, tails, found, sign, frequencies, rate, coder
                )
                if abs(value) > most:
                    return False
                q[z, x] = value
    return True


@njit(cache=True)
def _dequantise(q: Int64, steps: Int64) -> Int64:
    out = np.zeros_like(q)
    for z in range(q.shape[0]):
        for x in range(q.shape[1]):
            value = q[z, x]
            if value != 0:
                step = steps[z, x]
                size = abs(value) * step - (step >> SHRINK)
                out[z, x] = size if value > 0 else -size
    return out


SHRINK = 5


@njit(cache=True)
def _code_corrections(corrections: Int64, coder: Coder) -> None:
    """`corrections` (nz, nx): how many units to add to each sample."""
    decoding = coder[DECODING]
    nz, nx = corrections.shape
    which = np.zeros((12, 2), dtype=np.int64)
    which[:, 0] = 64000
    which[:, 1] = 8
    signs = np.full((9, 2), 1 << 15, dtype=np.int64)
    more = np.zeros((MOST_BITS + 1, 2), dtype=np.int64)
    more[:, 0] = 60000
    for z in range(nz):
        for x in range(nx):
            n = corrections[z - 1, x] if z > 0 else 0
            w = corrections[z, x - 1] if x > 0 else 0
            value = 0 if decoding else corrections[z, x]
            context = min(abs(n) + abs(w), 2)
            if not code_bit(int(value != 0), which[context], coder):
                continue
            negative = code_bit(int(value < 0), signs[3 * (_sign(n) + 1) + _sign(w) + 1], coder)
            size = 1 + _code_size(abs(value) - 1, more, coder)
            corrections[z, x] = -size if negative else size


STEP_BITS = 5
"""Significant bits of a step that the stream keeps."""


@njit(cache=True)
def _code_integer(value: int, coder: Coder) -> int:
    """A positive integer, of which the highest STEP_BITS bits are kept."""
    bits = code_even(bit_length(value) - 1, 32, coder) + 1
    kept = min(bits, STEP_BITS)
    value = code_bits(value >> (bits - kept), 1, kept - 1, coder)
    return value << (bits - kept)


def _short(value: int) -> int:
    drop = max(value.bit_length() - STEP_BITS, 0)
    return value >> drop << drop


def _reconstruct(q: Int64, steps: Int64, offset: Int64 | int, span: int) -> Int64:
    image = synthesise(_dequantise(q, steps))
    whole = (image + (1 << (FRACTION - 1))) >> FRACTION
    return np.clip(whole + offset, 0, span - 1)


def _low(shape: tuple[int, int]) -> tuple[int, int]:
    return splits(shape)[-1]


def _encode(allowed: Int64, span: int, step: int, guide: Int64 | None, dead: int) -> bytes:
    shape = (allowed.shape[0], allowed.shape[1])
    least, preferred, greatest = allowed[..., 0], allowed[..., 1], allowed[..., 2]
    step = _short(step)
    offset = span // 2 if guide is None else np.clip(guide, 0, span - 1)
    steps = steps_of(shape, step << FRACTION)
    coefficients = analyse((preferred - offset) << FRACTION)
    rounding = steps * dead >> 8
    low_z, low_x = _low(shape)
    rounding[:low_z, :low_x] = steps[:low_z, :low_x] >> 1
    q = np.sign(coefficients) * ((np.abs(coefficients) + rounding) // steps)
    image = _reconstruct(q, steps, offset, span)
    over = (image < least) | (image > greatest)
    coder = new_encoder(80 * q.size + 400)
    _code_integer(step, coder)
    _code_coefficients(
        q,
        low_z,
        low_x,
        bands(shape),
        WEIGHTS.copy(),
        SIGN_WEIGHTS.copy(),
        FREQUENCIES,
        RATE,
        LARGEST // (step << FRACTION),
        coder,
    )
    code_bits(int(over.any()), 0, 1, coder)
    if over.any():
        unit = _short(int((greatest - least)[over].min()) + 1)
        distance = np.where(image < least, least - image, image - greatest)
        count = -(-distance // unit)
        corrections = np.where(over, np.where(image < least, count, -count), 0)
        _code_integer(unit, coder)
        _code_corrections(corrections, coder)
    return finish_encoder(coder)


LARGEST = 1 << 50
"""What coefficients come to at most, in the units of the transform."""


def fits(span: int) -> bool:
    """Whether images of integers in [0, span) can be coded."""
    return 1 <= span <= MAX_SPAN


def encode_waves(
    allowed: Int64, span: int, step: int | None = None, guide: Int64 | None = None
) -> bytes:
    """The stream of an image within `allowed` (nz, nx, 3): least, preferred and greatest integer of
    each sample, in [0, span). `step` is that of the quantiser, found where None. `guide` (nz, nx)
    are integers that a reader has too. Raises ValueError where the span is too great.
    """
    if not fits(span):
        raise ValueError(f"waves: span: found {span}, expected 1 to {MAX_SPAN}")
    if step is not None:
        return _encode(allowed, span, step, guide, 110)
    bound = int(np.median(allowed[..., 2] - allowed[..., 0])) // 2 + 1
    found = [
        _encode(allowed, span, max(bound * k // 8, 1), guide, 110) for k in (10, 12, 14, 16, 18)
    ]
    return min(found, key=len)


def decode_waves(
    stream: bytes, shape: tuple[int, int], span: int, guide: Int64 | None = None
) -> Int64:
    """The image (nz, nx) that `encode_waves` was given. Raises CorruptError."""
    coder = new_decoder(stream)
    step = _code_integer(0, coder)
    q = np.zeros(shape, dtype=np.int64)
    low_z, low_x = _low(shape)
    if not _code_coefficients(
        q,
        low_z,
        low_x,
        bands(shape),
        WEIGHTS.copy(),
        SIGN_WEIGHTS.copy(),
        FREQUENCIES,
        RATE,
        LARGEST // (step << FRACTION),
        coder,
    ):
        raise CorruptError("exact stream: found a coefficient out of range")
    offset = span // 2 if guide is None else np.clip(guide, 0, span - 1)
    image = _reconstruct(q, steps_of(shape, step << FRACTION), offset, span)
    if code_bits(0, 0, 1, coder):
        unit = _code_integer(0, coder)
        corrections = np.zeros(shape, dtype=np.int64)
        _code_corrections(corrections, coder)
        image = np.clip(image + unit * corrections, 0, span - 1)
    finish_decoder(coder)
    return image
