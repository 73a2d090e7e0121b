"""Images of integers as residuals of blended predictions.

For smooth and noisy models, whose samples are seldom equal. Eight simple predictors are weighted by
how well each did nearby; the residual is coded by adaptive bits in contexts of recent residuals.
Integer arithmetic throughout. Sources: blending, Meyer and Tischer, "TMW" (1997) and "Glicbawls"
(2001); binarisation, an exponential Golomb code with adaptive bits.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
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
from velcodec.formats.sample_coding.coders import BLENDED
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.residuals import (
    OTHER_SYMBOLS,
    code_residual,
    energy_class,
    first_models,
)

PREDICTORS = 8

MOST_ERROR = 1 << 56
"""Errors are clamped to this, so that their sums fit into 64 bits."""

WEIGHT_BITS = 40


@njit(cache=True)
def _fill_predictions(columns: Int64, x: int, z: int, out: Int64) -> None:
    """Fill `out` (PREDICTORS,) for sample z of column x of `columns` (nx, nz)."""
    height = columns.shape[1]
    above = columns[x, z - 1] if z > 0 else columns[x - 1, z] if x > 0 else 0
    left = columns[x - 1, z] if x > 0 else above
    corner = columns[x - 1, z - 1] if x > 0 and z > 0 else left
    below = columns[x - 1, z + 1] if x > 0 and z < height - 1 else left
    second_above = columns[x, z - 2] if z > 1 else above
    second_left = columns[x - 2, z] if x > 1 else left
    plane = above + left - corner
    out[0] = above
    out[1] = left
    out[2] = plane
    out[3] = above + below - left
    out[4] = 2 * above - second_above
    out[5] = 2 * left - second_left
    out[6] = (above + left) // 2
    out[7] = min(max(plane, min(above, left)), max(above, left))


@njit(cache=True)
def blend(predictions: Int64, energy: Int64) -> int:
    """The mean of the predictions, weighted by the inverse square of each one's `energy` nearby."""
    least = energy[0]
    for k in range(1, len(predictions)):
        least = min(least, energy[k])
    shift = max(0, bit_length(least) - 12)
    base = predictions[0]
    weights, total = 0, 0
    for k in range(len(predictions)):
        size = min((energy[k] >> shift) + 1, 1 << 18)
        weight = (1 << WEIGHT_BITS) // (size * size)
        weight = min(weight, 1 << 24)
        if weight == 0:
            continue
        weights += weight
        total += weight * min(max(predictions[k] - base, -(1 << 34)), 1 << 34)
    return base + (2 * total + weights) // (2 * weights) if weights > 0 else base


@njit(cache=True)
def _sign(value: int) -> int:
    return int(value > 0) - int(value < 0)


@njit(cache=True)
def _code_samples(columns: Int64, span: int, coder: Coder) -> bool:
    """Code every sample of `columns` (nx, nz); False where one leaves [0, span)."""
    decoding = coder[DECODING]
    width, height = columns.shape
    errors = np.zeros((2, height, PREDICTORS), dtype=np.int64)
    residuals = np.zeros((2, height), dtype=np.int64)
    stops, signs, tails = first_models()
    predictions = np.zeros(PREDICTORS, dtype=np.int64)
    energy = np.zeros(PREDICTORS, dtype=np.int64)
    for x in range(width):
        now, before = errors[x & 1], errors[1 - (x & 1)]
        residuals_now, residuals_before = residuals[x & 1], residuals[1 - (x & 1)]
        for z in range(height):
            _fill_predictions(columns, x, z, predictions)
            up, down = max(z - 1, 0), min(z + 1, height - 1)
            for k in range(PREDICTORS):
                energy[k] = before[z, k] + before[up, k] + before[down, k]
                if z > 0:
                    energy[k] += 2 * now[up, k]
                if z > 1:
                    energy[k] += now[z - 2, k]
            prediction = min(max(blend(predictions, energy), 0), span - 1)
            recent = (
                2 * abs(residuals_before[z])
                + abs(residuals_before[up])
                + abs(residuals_before[down])
            )
            last = 0
            if z > 0:
                last = residuals_now[up]
                recent += 2 * abs(last)
            if z > 1:
                recent += abs(residuals_now[z - 2])
            tilt = 3 * (_sign(last) + 1) + _sign(residuals_before[z]) + 1
            residual = 0 if decoding else columns[x, z] - prediction
            residual = code_residual(
                residual, energy_class(recent), tilt, stops, signs, tails, coder
            )
            value = prediction + residual
            if not 0 <= value < span:
                return False
            columns[x, z] = value
            residuals_now[z] = min(max(residual, -MOST_ERROR), MOST_ERROR)
            for k in range(PREDICTORS):
                now[z, k] = min(abs(predictions[k] - value), MOST_ERROR)
    return True


def encode_blended(codes: Int64, span: int) -> bytes:
    """The stream of an image (nz, nx) of integers in [0, span)."""
    columns = np.ascontiguousarray(codes.T)
    bits = (span - 1).bit_length() + 1
    coder = new_encoder((bits + OTHER_SYMBOLS) * codes.size)
    _code_samples(columns, span, coder)
    return finish_encoder(coder)


def decode_blended(stream: bytes, shape: tuple[int, int], span: int) -> Int64:
    """The inverse of `encode_blended`, (nz, nx). Raises CorruptError."""
    columns = np.zeros(shape[::-1], dtype=np.int64)
    coder = new_decoder(stream)
    if not _code_samples(columns, span, coder):
        raise CorruptError(f"exact stream: found a value outside 0 to {span - 1}")
    finish_decoder(coder)
    return np.ascontiguousarray(columns.T)


class BlendedCoder(SampleCoder):
    """Any image: residuals of a blend of predictions from neighbours."""

    number, name, samples_per_byte = BLENDED, "blended prediction", 1 << 12

    def encode(self, request: Request, domain: Domain, network: int) -> Image:
        """Codes the preferred integers of any image."""
        return Image(encode_blended(request.preferred, domain.span), request.preferred)

    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """Raises CorruptError."""
        return decode_blended(data, shape, domain.span)
