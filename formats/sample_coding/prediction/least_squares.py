"""An image of integers coded as misses of linear predictions fitted to what lies around.

For smooth models bit for bit and within narrow bounds. The predictions are blended by how well each
did nearby; what is known of a miss beforehand is a sum over features of the misses before it, which
begins as learned from generated models and goes on learning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    DECODING,
    Coder,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.dct.coefficients import (
    code_below,
    code_learned,
    sign_of,
    size_class,
)
from velcodec.formats.sample_coding.prediction.blended import blend
from velcodec.formats.sample_coding.prediction.regression import (
    FRACTION,
    GUESSES,
    MAX_SPAN,
    MOST_ORDER,
    PADDING,
    Float64,
    close_column,
    fill_guesses,
    open_column,
    padded,
)
from velcodec.formats.sample_coding.prediction.start import (
    CLASSES,
    FEW,
    JOINT,
    SIGN_SIZES,
    SIZE_SIZES,
    STAGES,
    Start,
    first_models,
)
from velcodec.formats.sample_coding.residuals import bit_length

Int64 = NDArray[np.int64]

MOST_BITS = 27
MAX_SAMPLES = 1 << 20
"""Images of more samples are not coded: each takes some microseconds."""

RATE = 4
"""How fast the weights learn from one stream."""

AROUND = 2
"""Errors so many columns and rows away tell of the next one."""

COLUMNS = AROUND + 1


def fits(shape: tuple[int, int], span: int) -> bool:
    """Whether images (nz, nx) of integers in [0, span) can be coded."""
    return 1 <= span <= MAX_SPAN and shape[0] * shape[1] <= MAX_SAMPLES


def _found(shape: tuple[int, ...], span: int) -> str:
    return f"found {shape[0]} x {shape[1]} samples of span {span}, too great"


@njit(cache=True)
def _nearby(errors: Int64, x: int, z: int) -> int:
    """Sum of the errors before (x, z) and nearby; `errors` has the last COLUMNS, and a border."""
    total = 0
    for i in range(AROUND + 1):
        for j in range(-AROUND, AROUND + 1):
            if i == 0 and j >= 0:
                break
            square = i * i + j * j
            share = 4 if square == 1 else 2 if square == 2 else 1
            total += share * errors[(x - i) % COLUMNS, z + AROUND + j]
    return total


@njit(cache=True)
def _power(error: int) -> int:
    """About `error` to the power of 3/2, so that weights go with the inverse of its third one."""
    raised = error + 8
    return raised * int(np.sqrt(raised))


@njit(cache=True)
def _shares(x: int, z: int, nz: int) -> int:
    """Sum of the shares that `_nearby` gives to errors that exist."""
    total = 0
    for i in range(min(AROUND, x) + 1):
        for j in range(max(-AROUND, -z), min(AROUND, nz - 1 - z) + 1):
            if i == 0 and j >= 0:
                break
            square = i * i + j * j
            total += 4 if square == 1 else 2 if square == 2 else 1
    return total


@njit(cache=True)
def _roughness(image: Float64, x: int, z: int) -> int:
    """How far apart four samples before (x, z) are."""
    above, left = image[x + PADDING, z + PADDING - 1], image[x + PADDING - 1, z + PADDING]
    corner, below = image[x + PADDING - 1, z + PADDING - 1], image[x + PADDING - 1, z + PADDING + 1]
    most = max(max(above, left), max(corner, below))
    return int(most - min(min(above, left), min(corner, below)))


@njit(cache=True)
def _code_miss(
    miss: int, weights: Int64, signs: Int64, tails: Int64, found: Int64, of_sign: Int64,
    rate: int, coder: Coder,
) -> int:  # fmt: skip
    """A signed integer: whether it is 0, its sign, its number of bits, those below the first."""
    size = abs(miss)
    wanted = bit_length(size)
    if not code_learned(int(wanted > 0), weights[0], found, rate, coder):
        return 0
    negative = code_learned(int(miss < 0), signs, of_sign, rate, coder)
    bits = 1
    while bits < MOST_BITS:
        row = weights[min(bits, STAGES - 1)]
        if not code_learned(int(wanted > bits), row, found, rate, coder):
            break
        bits += 1
    now = code_below(size, bits, weights[STAGES], tails, found, rate, coder)
    return -now if negative else now


@njit(cache=True)
def _code_samples(
    columns: Int64, image: Float64, span: int, prior: Float64, weights: Int64, signs: Int64,
    rate: int, coder: Coder,
) -> bool:  # fmt: skip
    """Code every sample of `columns` (nx, nz); False where one leaves [0, span)."""
    decoding = coder[DECODING]
    width, height = columns.shape
    half = 1 << (FRACTION - 1)
    errors = np.zeros((GUESSES + 1, COLUMNS, height + 2 * AROUND), dtype=np.int64)
    misses = np.zeros((2, height + 1), dtype=np.int64)
    tails = np.full((MOST_BITS + 1, 2), 1 << 15, dtype=np.int64)
    tails[:, 1] = 1
    guesses = np.zeros(GUESSES, dtype=np.int64)
    energy = np.zeros(GUESSES, dtype=np.int64)
    system, right = np.empty((MOST_ORDER, MOST_ORDER)), np.empty(MOST_ORDER)
    found = np.zeros(len(SIZE_SIZES), dtype=np.int64)
    of_sign = np.zeros(len(SIGN_SIZES), dtype=np.int64)
    for x in range(width):
        open_column(image, x)
        now = x % COLUMNS
        for z in range(height):
            fill_guesses(image, x, z, span, prior, system, right, guesses)
            for k in range(GUESSES):
                energy[k] = _power(_nearby(errors[k], x, z))
            fine = min(max(blend(guesses, energy), 0), (span - 1) << FRACTION)
            guess = (fine + half) >> FRACTION
            part = fine - (guess << FRACTION)
            own = errors[GUESSES]
            near = size_class(4 * _nearby(own, x, z) // max(_shares(x, z, height), 1), CLASSES - 1)
            latest = max(own[now, z + AROUND - 1], own[(x - 1) % COLUMNS, z + AROUND])
            spread = abs(guesses[0] - guesses[1]) + abs(guesses[2] - guesses[1])
            spread_class = size_class(spread, CLASSES - 1)
            rough_class = size_class(_roughness(image, x, z) << 2, CLASSES - 1)
            few = min(near // 2, FEW - 1)
            found[0] = near
            found[1] = size_class(latest, CLASSES - 1)
            found[2] = spread_class
            found[3] = rough_class
            found[4] = JOINT * (near // 2) + spread_class // 2
            found[5] = JOINT * (near // 2) + rough_class // 2
            found[6] = FEW * abs(part) + few
            start = 0
            for k in range(len(SIZE_SIZES)):
                found[k] += start
                start += SIZE_SIZES[k]
            last, beside = misses[x & 1, z], misses[1 - (x & 1), z + 1]
            of_sign[0] = FEW * (part + half) + few
            of_sign[1] = 3 * (sign_of(last) + 1) + sign_of(beside) + 1
            of_sign[2] = 3 * (sign_of(guesses[0] - fine) + 1) + sign_of(guesses[2] - fine) + 1
            of_sign[1] += SIGN_SIZES[0]
            of_sign[2] += SIGN_SIZES[0] + SIGN_SIZES[1]
            miss = 0 if decoding else columns[x, z] - guess
            miss = _code_miss(miss, weights, signs, tails, found, of_sign, rate, coder)
            value = guess + miss
            if not 0 <= value < span:
                return False
            columns[x, z] = value
            image[x + PADDING, z + PADDING] = value
            misses[x & 1, z + 1] = miss
            for k in range(GUESSES):
                errors[k, now, z + AROUND] = abs(guesses[k] - (value << FRACTION))
            own[now, z + AROUND] = abs(fine - (value << FRACTION))
        close_column(image, x)
    return True


def encode_least_squares(codes: Int64, span: int) -> bytes:
    """The stream of an image (nz, nx) of integers in [0, span). Raises ValueError where it does not
    fit.
    """
    return write(codes, span, first_models(), RATE)


def write(codes: Int64, span: int, start: Start, rate: int) -> bytes:
    """The same from such a start, which learns."""
    if not fits((codes.shape[0], codes.shape[1]), span):
        raise ValueError(f"least squares: {_found(codes.shape, span)}")
    columns = np.ascontiguousarray(codes.T)
    coder = new_encoder((2 * MOST_BITS + 2) * codes.size)
    image = padded(columns, span)
    _code_samples(columns, image, span, start.prior, start.weights, start.signs, rate, coder)
    return finish_encoder(coder)


def decode_least_squares(stream: bytes, shape: tuple[int, int], span: int) -> Int64:
    """The image (nz, nx) that `encode_least_squares` was given. Raises CorruptError."""
    if not fits(shape, span):
        raise CorruptError(f"exact stream: least squares: {_found(shape, span)}")
    columns = np.zeros(shape[::-1], dtype=np.int64)
    coder, start = new_decoder(stream), first_models()
    image = padded(columns, span)
    if not _code_samples(
        columns, image, span, start.prior, start.weights, start.signs, RATE, coder
    ):
        raise CorruptError(f"exact stream: found a value outside 0 to {span - 1}")
    finish_decoder(coder)
    return np.ascontiguousarray(columns.T)
