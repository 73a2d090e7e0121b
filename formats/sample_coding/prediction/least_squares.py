"""Images of integers as residuals of linear predictions, fitted by least squares at every sample.

For smooth models, lossless and within narrow bounds. Predictions are weighted by how well each did
nearby. The residual's bits are learned bits, whose features are errors nearby; their weights start
as learned from generated models and adapt within the stream.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.learned_bits import code_learned
from velcodec.formats.entropy.magnitudes import bit_length, code_below, sign_of, size_class
from velcodec.formats.entropy.symbols import (
    DECODING,
    Coder,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.base import Image, Request, SampleCoder
from velcodec.formats.sample_coding.coders import LEAST_SQUARES
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.prediction.blended import blend
from velcodec.formats.sample_coding.prediction.regression import (
    FRACTION,
    MAX_SPAN,
    MOST_ORDER,
    PADDING,
    PREDICTIONS,
    close_column,
    fill_predictions,
    open_column,
    padded,
)
from velcodec.formats.sample_coding.prediction.start import (
    CLASSES,
    JOINT,
    NEAR_CLASSES,
    SIGN_SIZES,
    SIZE_SIZES,
    STAGES,
    Start,
    first_models,
)

MOST_BITS = 27
MAX_SAMPLES = 1 << 20
"""Larger images are not coded: each sample takes some microseconds."""

RATE = 4
"""Learning rate of the weights within a stream."""

ERROR_REACH = 2
"""Errors up to this many columns and rows away are features."""

COLUMNS = ERROR_REACH + 1


def fits(shape: tuple[int, int], span: int) -> bool:
    """Whether images (nz, nx) of integers in [0, span) can be coded."""
    return 1 <= span <= MAX_SPAN and shape[0] * shape[1] <= MAX_SAMPLES


def _found(shape: tuple[int, ...], span: int) -> str:
    return f"found {shape[0]} x {shape[1]} samples of span {span}, too great"


@njit(cache=True)
def nearby_error(errors: Int64, x: int, z: int) -> int:
    """Weighted sum of the errors near and before (x, z). `errors` has the last COLUMNS columns,
    with a border above and below.
    """
    total = 0
    for i in range(ERROR_REACH + 1):
        for j in range(-ERROR_REACH, ERROR_REACH + 1):
            if i == 0 and j >= 0:
                break
            square = i * i + j * j
            share = 4 if square == 1 else 2 if square == 2 else 1
            total += share * errors[(x - i) % COLUMNS, z + ERROR_REACH + j]
    return total


@njit(cache=True)
def raised_error(error: int) -> int:
    """About `error` to the power of 3/2, which `blend` squares: weights are inverse cubes."""
    raised = error + 8
    return raised * int(np.sqrt(raised))


@njit(cache=True)
def nearby_weights(x: int, z: int, nz: int) -> int:
    """Sum of the weights of `nearby_error` over samples that exist."""
    total = 0
    for i in range(min(ERROR_REACH, x) + 1):
        for j in range(max(-ERROR_REACH, -z), min(ERROR_REACH, nz - 1 - z) + 1):
            if i == 0 and j >= 0:
                break
            square = i * i + j * j
            total += 4 if square == 1 else 2 if square == 2 else 1
    return total


@njit(cache=True)
def _roughness(image: Float64, x: int, z: int) -> int:
    """The range of the four nearest samples before (x, z)."""
    above, left = image[x + PADDING, z + PADDING - 1], image[x + PADDING - 1, z + PADDING]
    corner, below = image[x + PADDING - 1, z + PADDING - 1], image[x + PADDING - 1, z + PADDING + 1]
    most = max(max(above, left), max(corner, below))
    return int(most - min(min(above, left), min(corner, below)))


@njit(cache=True)
def _code_residual(
    residual: int, weights: Int64, signs: Int64, tails: Int64, features: Int64,
    sign_features: Int64, rate: int, coder: Coder,
) -> int:  # fmt: skip
    """Code a residual: whether it is 0, sign, number of bits, the bits below the leading 1."""
    size = abs(residual)
    wanted = bit_length(size)
    if not code_learned(int(wanted > 0), weights[0], features, rate, coder):
        return 0
    negative = code_learned(int(residual < 0), signs, sign_features, rate, coder)
    bits = 1
    while bits < MOST_BITS:
        row = weights[min(bits, STAGES - 1)]
        if not code_learned(int(wanted > bits), row, features, rate, coder):
            break
        bits += 1
    now = code_below(size, bits, weights[STAGES], tails, features, rate, coder)
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
    errors = np.zeros((PREDICTIONS + 1, COLUMNS, height + 2 * ERROR_REACH), dtype=np.int64)
    residuals = np.zeros((2, height + 1), dtype=np.int64)
    tails = np.full((MOST_BITS + 1, 2), 1 << 15, dtype=np.int64)
    tails[:, 1] = 1
    predictions = np.zeros(PREDICTIONS, dtype=np.int64)
    energy = np.zeros(PREDICTIONS, dtype=np.int64)
    system, right = np.empty((MOST_ORDER, MOST_ORDER)), np.empty(MOST_ORDER)
    features = np.zeros(len(SIZE_SIZES), dtype=np.int64)
    sign_features = np.zeros(len(SIGN_SIZES), dtype=np.int64)
    for x in range(width):
        open_column(image, x)
        now = x % COLUMNS
        for z in range(height):
            fill_predictions(image, x, z, span, prior, system, right, predictions)
            for k in range(PREDICTIONS):
                energy[k] = raised_error(nearby_error(errors[k], x, z))
            fine = min(max(blend(predictions, energy), 0), (span - 1) << FRACTION)
            prediction = (fine + half) >> FRACTION
            part = fine - (prediction << FRACTION)
            blend_errors = errors[PREDICTIONS]
            near = size_class(
                4 * nearby_error(blend_errors, x, z) // max(nearby_weights(x, z, height), 1),
                CLASSES - 1,
            )
            latest = max(
                blend_errors[now, z + ERROR_REACH - 1],
                blend_errors[(x - 1) % COLUMNS, z + ERROR_REACH],
            )
            spread = abs(predictions[0] - predictions[1]) + abs(predictions[2] - predictions[1])
            spread_class = size_class(spread, CLASSES - 1)
            rough_class = size_class(_roughness(image, x, z) << 2, CLASSES - 1)
            near_class = min(near // 2, NEAR_CLASSES - 1)
            features[0] = near
            features[1] = size_class(latest, CLASSES - 1)
            features[2] = spread_class
            features[3] = rough_class
            features[4] = JOINT * (near // 2) + spread_class // 2
            features[5] = JOINT * (near // 2) + rough_class // 2
            features[6] = NEAR_CLASSES * abs(part) + near_class
            start = 0
            for k in range(len(SIZE_SIZES)):
                features[k] += start
                start += SIZE_SIZES[k]
            last, beside = residuals[x & 1, z], residuals[1 - (x & 1), z + 1]
            sign_features[0] = NEAR_CLASSES * (part + half) + near_class
            sign_features[1] = 3 * (sign_of(last) + 1) + sign_of(beside) + 1
            sign_features[2] = (
                3 * (sign_of(predictions[0] - fine) + 1) + sign_of(predictions[2] - fine) + 1
            )
            sign_features[1] += SIGN_SIZES[0]
            sign_features[2] += SIGN_SIZES[0] + SIGN_SIZES[1]
            residual = 0 if decoding else columns[x, z] - prediction
            residual = _code_residual(
                residual, weights, signs, tails, features, sign_features, rate, coder
            )
            value = prediction + residual
            if not 0 <= value < span:
                return False
            columns[x, z] = value
            image[x + PADDING, z + PADDING] = value
            residuals[x & 1, z + 1] = residual
            for k in range(PREDICTIONS):
                errors[k, now, z + ERROR_REACH] = abs(predictions[k] - (value << FRACTION))
            blend_errors[now, z + ERROR_REACH] = abs(fine - (value << FRACTION))
        close_column(image, x)
    return True


def encode_least_squares(codes: Int64, span: int) -> bytes:
    """The stream of an image (nz, nx) of integers in [0, span). Raises ValueError if `fits` is
    false.
    """
    return write(codes, span, first_models(), RATE)


def write(codes: Int64, span: int, start: Start, rate: int) -> bytes:
    """As `encode_least_squares`, from `start`, whose weights are updated."""
    if not fits((codes.shape[0], codes.shape[1]), span):
        raise ValueError(f"least squares: {_found(codes.shape, span)}")
    columns = np.ascontiguousarray(codes.T)
    coder = new_encoder((2 * MOST_BITS + 2) * codes.size)
    image = padded(columns, span)
    _code_samples(columns, image, span, start.prior, start.weights, start.signs, rate, coder)
    return finish_encoder(coder)


def decode_least_squares(stream: bytes, shape: tuple[int, int], span: int) -> Int64:
    """The inverse of `encode_least_squares`, (nz, nx). Raises CorruptError."""
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


class LeastSquaresCoder(SampleCoder):
    """Smooth images: residuals of linear predictions fitted at every sample."""

    number, name, samples_per_byte = LEAST_SQUARES, "least squares", 1 << 8

    def encode(self, request: Request, domain: Domain, network: int) -> Image | None:
        """Codes the preferred integers; None if the image is too large or its span too wide."""
        if not fits(request.shape, domain.span):
            return None
        return Image(encode_least_squares(request.preferred, domain.span), request.preferred)

    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """Raises CorruptError."""
        return decode_least_squares(data, shape, domain.span)
