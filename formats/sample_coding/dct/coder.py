"""Images of integers as quantised DCT coefficients, with corrections of outliers.

For smooth models within wide bounds, or in the mean. The decoder uses integer arithmetic, so every
machine gets the same image. Source of coding outliers beside a transform: Li, Lindstrom and Clyne,
"Lossy scientific data compression with SPERR" (2023).
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.entropy.symbols import (
    Coder,
    code_bits,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.base import Image, Request, SampleCoder
from velcodec.formats.sample_coding.coders import DCT
from velcodec.formats.sample_coding.dct.coefficients import code_coefficients, order_of
from velcodec.formats.sample_coding.dct.outliers import code_outliers
from velcodec.formats.sample_coding.dct.start import Models, first_models
from velcodec.formats.sample_coding.dct.transform import analyse, synthesise
from velcodec.formats.sample_coding.domain import Domain

MAX_SPAN = 1 << 26
FRACTION = 4
"""Fractional bits of the image, so that the transform's rounding is negligible."""

LARGEST = 1 << 41
"""Largest dequantised coefficient, with the fraction: the transform's sums fit into 64 bits."""

MAX_SIDE, MAX_SAMPLES = 1 << 10, 1 << 18
"""Larger images are not coded: their transform is slow, and they are seldom smooth."""

MAX_STEP = 1 << 31

RATE = 4
"""Learning rate of the weights within a stream."""

SIGNIFICANT_BITS = 5
"""Highest bits of a step or an outlier unit that the stream keeps."""

ZEROED = 0.59
"""Dead zone, in steps: smaller coefficients become 0, larger ones round up at this fraction."""

STEPS = (1.25, 1.6, 2.0, 2.4, 2.75, 3.125, 3.625, 4.25)
"""Quantiser steps tried, over the bound."""

REFINED = 2
"""Number of steps for which RDOQ is run, from the shortest stream's upwards."""

SYMBOLS = 64
"""Most symbols per sample, for its coefficient and its outlier."""


MOST_GAIN = 1.25
"""Refining saves no more than this factor."""


def fits(shape: tuple[int, int], span: int) -> bool:
    """Whether images (nz, nx) of integers in [0, span) can be coded."""
    return 1 <= span <= MAX_SPAN and max(shape) <= MAX_SIDE and shape[0] * shape[1] <= MAX_SAMPLES


def encode_dct(
    allowed: Int64, span: int, step: int | None = None, enough: int | None = None
) -> bytes:
    """The stream of an image within `allowed` (nz, nx, 3): least, preferred and greatest integer of
    each sample, in [0, span). The integers should be much finer than the bound. `step` is the
    quantiser step; None searches for one. A stream that takes clearly more than `enough` bytes is
    not refined, which takes long.

    Raises ValueError if `fits` is false.
    """
    shape = allowed.shape[0], allowed.shape[1]
    if not fits(shape, span):
        raise ValueError(f"DCT: found {shape[0]} x {shape[1]} samples of span {span}, too great")
    from velcodec.formats.sample_coding.dct.rdoq import refine_in_the_mean, refine_within

    coefficients = analyse((allowed[..., 1] - span // 2) << FRACTION)

    def stream_of(q: Int64, s: int) -> bytes:
        return write(q, s, allowed, span, first_models(), RATE)

    if step is not None and not (allowed[..., 0].any() or (allowed[..., 2] < span - 1).any()):
        step = _kept_step(step)
        q = quantise(coefficients, step)
        refine_in_the_mean(q, coefficients / (step << FRACTION))
        return stream_of(q, step)
    bound = max(float(np.median(allowed[..., 2] - allowed[..., 0])) / 2, 0.5)
    candidates = [bound * s for s in STEPS] if step is None else [step]
    steps = [_kept_step(round(s)) for s in candidates]
    streams = [stream_of(quantise(coefficients, s), s) for s in steps]
    best = min(range(len(steps)), key=lambda k: len(streams[k]))
    if enough is not None and len(streams[best]) > MOST_GAIN * enough:
        return streams[best]
    for s in steps[best : best + REFINED]:
        q = quantise(coefficients, s)
        image = reconstruct(q, s, span)
        refine_within(q, coefficients / (s << FRACTION), image, allowed, s)
        streams.append(stream_of(q, s))
    return min(streams, key=len)


def _kept_step(step: int) -> int:
    return short_integer(min(max(step, 1), MAX_STEP))


def decode_dct(stream: bytes, shape: tuple[int, int], span: int) -> Int64:
    """The image (nz, nx) of a stream of `encode_dct`. Raises CorruptError."""
    if not fits(shape, span):
        raise CorruptError(f"DCT: found {shape[0]} x {shape[1]} samples of span {span}, too great")
    coder = new_decoder(stream)
    step = _code_integer(0, coder)
    models = first_models()
    q = np.zeros(shape, dtype=np.int64)
    most = LARGEST // (step << FRACTION)
    if not code_coefficients(q, order_of(shape), models.weights, models.more, RATE, most, coder):
        raise CorruptError("DCT: found a coefficient out of range")
    image = reconstruct(q, step, span)
    if code_bits(0, 0, 1, coder):
        unit = _code_integer(0, coder)
        outliers = np.zeros(shape, dtype=np.int64)
        code_outliers(outliers, 16 * step // unit, models.which, models.side, RATE, coder)
        limit = span // unit + 1
        image = np.clip(image + unit * np.clip(outliers, -limit, limit), 0, span - 1)
    finish_decoder(coder)
    return image


def write(q: Int64, step: int, allowed: Int64, span: int, models: Models, rate: int) -> bytes:
    """The stream of coefficients `q` (nz, nx) and the outliers they leave. Updates `models`."""
    least, greatest = allowed[..., 0], allowed[..., 2]
    coder = new_encoder(SYMBOLS * q.size + SYMBOLS)
    _code_integer(step, coder)
    most = LARGEST // (step << FRACTION)
    code_coefficients(q, order_of(q.shape), models.weights, models.more, rate, most, coder)
    image = reconstruct(q, step, span)
    over = (image < least) | (image > greatest)
    code_bits(int(over.any()), 0, 1, coder)
    if over.any():
        # A unit no wider than the allowed interval has a multiple that leads into it.
        unit = short_integer(int((greatest - least)[over].min()) + 1)
        up, down = np.maximum(least - image, 0), np.maximum(image - greatest, 0)
        outliers = -(-up // unit) + (-down // unit)
        _code_integer(unit, coder)
        code_outliers(outliers, 16 * step // unit, models.which, models.side, rate, coder)
    return finish_encoder(coder)


def quantise(coefficients: Int64, step: int) -> Int64:
    """Quantised coefficients, with a dead zone; same shape."""
    fine = step << FRACTION
    rounding = round((1 - ZEROED) * fine)
    return np.sign(coefficients) * ((np.abs(coefficients) + rounding) // fine)


def reconstruct(q: Int64, step: int, span: int) -> Int64:
    """The image (nz, nx) of quantised coefficients, before outliers are corrected."""
    fine = synthesise(q * (step << FRACTION))
    whole = (fine + (1 << (FRACTION - 1))) >> FRACTION
    image: Int64 = np.clip(whole + span // 2, 0, span - 1)
    return image


def short_integer(value: int) -> int:
    """`value` rounded down to SIGNIFICANT_BITS bits, as the stream keeps it."""
    drop = max(value.bit_length() - SIGNIFICANT_BITS, 0)
    return value >> drop << drop


def _code_integer(value: int, coder: Coder) -> int:
    """Code the highest SIGNIFICANT_BITS bits of a positive integer under 2^32."""
    bits = code_even(bit_length(value) - 1, 32, coder) + 1
    drop = max(bits - SIGNIFICANT_BITS, 0)
    return code_bits(value >> drop, 1, bits - 1 - drop, coder) << drop


class DctCoder(SampleCoder):
    """Smooth images within wide bounds, or in the mean: a DCT, with outliers corrected."""

    number, name, samples_per_byte = DCT, "DCT", 1 << 10

    def encode(self, request: Request, domain: Domain, network: int) -> Image | None:
        """None if the image is too large or its span too wide."""
        if not fits(request.shape, domain.span):
            return None
        data = encode_dct(request.allowed, domain.span, request.step, request.enough)
        return Image(data, decode_dct(data, request.shape, domain.span))

    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """Raises CorruptError."""
        return decode_dct(data, shape, domain.span)
