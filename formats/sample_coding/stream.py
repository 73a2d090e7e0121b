"""A model's exact stream in an archive: which domain, which coder, the bytes.

What holds for all of an archive's exact streams stands in its header: the domains, the number of
the context network, and the sampler that renders the samples at other grids. Every released network
and sampler stays in the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard

from velcodec.formats.errors import CorruptError, UnknownFeatureError
from velcodec.formats.sample_coding import work_limit
from velcodec.formats.sample_coding.domain import RAW, Domain, Int64, Samples
from velcodec.formats.storage.checked_msgpack import check_keys, integer, sequence

EXACT_NETWORK = 3
"""Number of the context network that encoders use for exact samples and those within a bound."""

MEAN_ERROR_NETWORK = 5
"""The one for samples whose errors count in the mean."""

CODERS = 4
LABELS, NUMBERS, WAVES, LEAST_SQUARES = range(4)
"""Coders known, of as many as a record can tell apart."""

KEYS = ("n", "d", "s")
MAX_DOMAINS = 1 << 10
MAX_VALUES = 1 << 16
"""Values of all palettes together."""

MAX_NETWORK = 1 << 16
"""Numbers of networks and of samplers are less."""

DIGEST_BYTES = 4
"""Of a sampler's hash, a header has so many bytes."""

SAMPLES_PER_BYTE = {LABELS: 1 << 10, NUMBERS: 1 << 12, WAVES: 1 << 10, LEAST_SQUARES: 1 << 8}
"""Samples that a byte of a stream may stand for, by its coder: time is paid for in bytes. A stream
that needs fewer stands behind zeros; no stream begins with one.
"""

MOST_LABELLED = 0.9
"""Share of distinct values in a model above which labels are not tried."""


@dataclass(frozen=True)
class SamplerName:
    """Which sampler: its number, and the first bytes of the SHA-256 of its file."""

    number: int
    digest: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.number < MAX_NETWORK:
            raise CorruptError(
                f"exact coding: sampler: found {self.number}, expected 1 to {MAX_NETWORK - 1}"
            )
        if not (isinstance(self.digest, bytes) and len(self.digest) == DIGEST_BYTES):
            raise CorruptError(
                f"exact coding: hash of the sampler: found {self.digest!r}, expected "
                f"{DIGEST_BYTES} bytes"
            )


@dataclass(frozen=True)
class ExactCoding:
    """What a header says of the exact streams: number of the context network, domains, sampler."""

    network: int
    domains: tuple[Domain, ...]
    sampler: SamplerName

    def __post_init__(self) -> None:
        if not 1 <= self.network < MAX_NETWORK:
            raise CorruptError(
                f"exact coding: network: found {self.network}, expected 1 to {MAX_NETWORK - 1}"
            )
        if not 1 <= len(self.domains) <= MAX_DOMAINS:
            raise CorruptError(
                f"exact coding: found {len(self.domains)} domains, expected 1 to {MAX_DOMAINS}"
            )
        values = sum(len(domain.values) for domain in self.domains)
        if values > MAX_VALUES:
            raise CorruptError(
                f"exact coding: found {values} values in palettes, expected at most {MAX_VALUES}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As the header keeps it."""
        domains = [domain.to_list() for domain in self.domains]
        return {"n": self.network, "d": domains, "s": [self.sampler.number, self.sampler.digest]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExactCoding:
        """The inverse of `to_dict`. Raises CorruptError, UnknownFeatureError."""
        try:
            check_keys(data, KEYS, "exact coding")
            domains = tuple(Domain.from_list(item) for item in sequence(data["d"]))
            number, digest = sequence(data["s"])
            return cls(integer(data["n"]), domains, SamplerName(integer(number), digest))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptError(f"exact coding in the header: {error}") from error


@dataclass(frozen=True)
class ExactStream:
    """One model's samples: number of the domain, coder (LABELS, NUMBERS, WAVES or LEAST_SQUARES),
    bytes. In a RAW domain they are a zstd frame of the samples, and the coder is LABELS.
    """

    domain: int
    coder: int
    data: bytes


def paid_for(coder: int, data: bytes, samples: int) -> bytes:
    """A stream of this coder, with what it lacks in bytes for so many samples before it."""
    return work_limit.paid_for(data, samples // SAMPLES_PER_BYTE[coder])


def _bare(stream: ExactStream, samples: int) -> bytes:
    """The inverse of `paid_for`. Raises CorruptError where bytes are missing, or zeros too many."""
    least = samples // SAMPLES_PER_BYTE[stream.coder]
    return work_limit.bare(stream.data, samples, least, "exact stream")


def encode_raw(model: Samples, number: int) -> ExactStream:
    """The stream of samples too far apart for integers, domain `number` being RAW."""
    native = np.ascontiguousarray(model.astype(model.dtype.newbyteorder("<")))
    return ExactStream(
        number, LABELS, zstandard.ZstdCompressor(level=19).compress(native.tobytes())
    )


def _decode_raw(data: bytes, shape: tuple[int, int], dtype: np.dtype[np.generic]) -> Samples:
    size = shape[0] * shape[1] * dtype.itemsize
    try:
        if zstandard.frame_content_size(data) != size:
            raise CorruptError(f"exact stream: raw samples: expected {size} bytes")
        plain = zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise CorruptError(f"exact stream: raw samples: {error}") from error
    return np.frombuffer(plain, dtype.newbyteorder("<")).reshape(shape).astype(dtype)


@dataclass(frozen=True)
class Made:
    """A stream, and the integers (nz, nx) of its domain that it holds."""

    stream: ExactStream
    codes: Int64


def encode_exact(allowed: Int64, number: int, coding: ExactCoding) -> list[Made]:
    """Streams of labels, where they serve, and of numbers of a model, within `allowed` (nz, nx, 3)
    of domain `number`: least, preferred and greatest integer of each sample.
    """
    from velcodec.formats.sample_coding.prediction.blended import encode_numbers

    preferred = allowed[..., 1]
    data = encode_numbers(preferred, coding.domains[number].span)
    labels = encode_as_labels(allowed, number, coding)
    data = paid_for(NUMBERS, data, preferred.size)
    numbers = Made(ExactStream(number, NUMBERS, data), preferred)
    return [numbers] if labels is None else [labels, numbers]


def encode_as_labels(
    allowed: Int64, number: int, coding: ExactCoding, original: Int64 | None = None,
    price: float = 0.0,
) -> Made | None:  # fmt: skip
    """The stream of labels, as `encode_exact`; None for a model of hardly any equal samples.

    Where errors count in the mean, `price` is what the square of one against `original` (nz, nx) is
    worth in bits.
    """
    from velcodec.formats.sample_coding.label_map.coder import encode_labels
    from velcodec.formats.sample_coding.label_map.network import network_of

    preferred = allowed[..., 1]
    if len(np.unique(preferred)) > MOST_LABELLED * preferred.size:
        return None
    domain = coding.domains[number]
    network = network_of(coding.network)
    labels = encode_labels(
        allowed, domain.span, domain.bound, network, original=original, price=price
    )
    if labels is None:
        return None
    data = paid_for(LABELS, labels[0], preferred.size)
    return Made(ExactStream(number, LABELS, data), labels[1])


def encode_as_waves(
    allowed: Int64, number: int, coding: ExactCoding, step: int | None = None
) -> Made | None:
    """The stream of waves, as `encode_exact`, with a quantiser of `step` integers or the one that
    suits the bound; None for a model that they do not fit.
    """
    from velcodec.formats.sample_coding.dct.coder import decode_waves, encode_waves, fits

    shape, span = (allowed.shape[0], allowed.shape[1]), coding.domains[number].span
    if not fits(shape, span):
        return None
    data = encode_waves(allowed, span, step)
    codes = decode_waves(data, shape, span)
    return Made(ExactStream(number, WAVES, paid_for(WAVES, data, codes.size)), codes)


def encode_as_least_squares(made: Made, coding: ExactCoding) -> Made | None:
    """The stream of least squares of what a stream of numbers holds; None where it does not fit."""
    from velcodec.formats.sample_coding.prediction.least_squares import encode_least_squares, fits

    number, codes = made.stream.domain, made.codes
    span = coding.domains[number].span
    if not fits((codes.shape[0], codes.shape[1]), span):
        return None
    data = paid_for(LEAST_SQUARES, encode_least_squares(codes, span), codes.size)
    return Made(ExactStream(number, LEAST_SQUARES, data), codes)


def decode_exact(
    stream: ExactStream, coding: ExactCoding, shape: tuple[int, int], dtype: np.dtype[np.generic]
) -> Samples:
    """The samples (nz, nx) of a stream, in `dtype`.

    Raises CorruptError, ContextNetworkError, UnknownFeatureError.
    """
    from velcodec.formats.sample_coding.dct.coder import decode_waves
    from velcodec.formats.sample_coding.label_map.coder import decode_labels
    from velcodec.formats.sample_coding.label_map.network import network_of
    from velcodec.formats.sample_coding.prediction.blended import decode_numbers
    from velcodec.formats.sample_coding.prediction.least_squares import decode_least_squares

    if stream.domain >= len(coding.domains):
        raise CorruptError(
            f"exact stream: domain: found {stream.domain}, expected less than {len(coding.domains)}"
        )
    domain = coding.domains[stream.domain]
    if domain.kind == RAW:
        return _decode_raw(stream.data, shape, dtype)
    if stream.coder not in SAMPLES_PER_BYTE:
        raise UnknownFeatureError(
            f"exact stream: coder: found {stream.coder}, expected 0 to {CODERS - 1}"
        )
    data = _bare(stream, shape[0] * shape[1])
    if stream.coder == LABELS:
        network = network_of(coding.network)
        codes = decode_labels(data, shape, domain.span, domain.bound, network)
    elif stream.coder == NUMBERS:
        codes = decode_numbers(data, shape, domain.span)
    elif stream.coder == WAVES:
        codes = decode_waves(data, shape, domain.span)
    else:
        codes = decode_least_squares(data, shape, domain.span)
    return domain.samples(codes, dtype)
