"""A model's exact stream in an archive: which domain, which coder, the bytes.

What holds for all of an archive's exact streams stands in its header: the domains, and the number
of the context network, of which every released one stays in the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from ..errors import CorruptError, UnknownFeatureError
from ..packed import check_keys, integer, sequence
from .domain import RAW, Domain, Int64, Samples

NEWEST_NETWORKS = (3, 4)
"""Numbers of the context networks that encoders use: alone, and beside a latent's rendering."""

MEAN_ERROR_NETWORK = 5
"""The one for samples alone whose errors count in the mean."""

CODERS = 4
LABELS, NUMBERS, WAVES, LEAST_SQUARES = range(4)
"""Coders known, of as many as a record can tell apart."""

KEYS = ("n", "d", "g")
MAX_DOMAINS = 1 << 10
MAX_VALUES = 1 << 16
"""Values of all palettes together."""

MAX_NETWORK = 1 << 16

MOST_LABELLED = 0.9
"""Share of distinct values in a model above which labels are not tried."""


@dataclass(frozen=True)
class ExactCoding:
    """What a header says of the exact streams: number of the context network, domains; number of
    the network of streams that are coded against a latent's rendering, or 0 where none is.
    """

    network: int
    domains: tuple[Domain, ...]
    guided: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.network < MAX_NETWORK and 0 <= self.guided < MAX_NETWORK):
            raise CorruptError(f"exact coding: networks: found {self.network} and {self.guided}")
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
        guided = {"g": self.guided} if self.guided else {}
        return {"n": self.network, "d": [domain.to_list() for domain in self.domains]} | guided

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExactCoding:
        """The inverse of `to_dict`. Raises CorruptError, UnknownFeatureError."""
        try:
            check_keys(data, KEYS, "exact coding")
            domains = tuple(Domain.from_list(item) for item in sequence(data["d"]))
            return cls(integer(data["n"]), domains, integer(data.get("g", 0)))
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptError(f"exact coding in the header: {error}") from error


@dataclass(frozen=True)
class ExactStream:
    """One model's samples: number of the domain, coder (LABELS, NUMBERS, WAVES or LEAST_SQUARES),
    bytes; `guided` where they were coded against the rendering of the latent beside them, which
    LEAST_SQUARES never are. In a RAW domain the bytes are a zstd frame of the samples, and the
    coder is LABELS.
    """

    domain: int
    coder: int
    data: bytes
    guided: bool = False


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


def encode_exact(
    allowed: Int64, number: int, coding: ExactCoding, guide: Int64 | None = None
) -> list[Made]:
    """Streams of labels, where they serve, and of numbers of a model, within `allowed` (nz, nx, 3)
    of domain `number`: least, preferred and greatest integer of each sample. `guide` (nz, nx) are
    the domain's integers about the latent's rendering, if there is one; each comes with and without
    it.
    """
    from .numbers import encode_numbers

    span, preferred = coding.domains[number].span, allowed[..., 1]
    found = []
    for own in [None] if guide is None else [None, guide]:
        labels = encode_as_labels(allowed, number, coding, own)
        found += [] if labels is None else [labels]
        data = encode_numbers(preferred, span, own)
        found.append(Made(ExactStream(number, NUMBERS, data, own is not None), preferred))
    return found


def encode_as_labels(
    allowed: Int64, number: int, coding: ExactCoding, guide: Int64 | None,
    original: Int64 | None = None, price: float = 0.0,
) -> Made | None:  # fmt: skip
    """The stream of labels, as `encode_exact`; None for a model of hardly any equal samples.

    Where errors count in the mean, `price` is what the square of one against `original` (nz, nx) is
    worth in bits.
    """
    from .labels import encode_labels
    from .network import network_of

    preferred = allowed[..., 1]
    if len(np.unique(preferred)) > MOST_LABELLED * preferred.size:
        return None
    domain = coding.domains[number]
    network = network_of(coding.network if guide is None else coding.guided)
    labels = encode_labels(
        allowed, domain.span, domain.bound, network, guide, original=original, price=price
    )
    if labels is None:
        return None
    return Made(ExactStream(number, LABELS, labels[0], guide is not None), labels[1])


def encode_as_waves(
    allowed: Int64, number: int, coding: ExactCoding, guide: Int64 | None, step: int | None = None
) -> Made | None:
    """The stream of waves, as `encode_exact`, with a quantiser of `step` integers or the one that
    suits the bound; None for a model that they do not fit.
    """
    from .waves import decode_waves, encode_waves, fits

    shape, span = (allowed.shape[0], allowed.shape[1]), coding.domains[number].span
    if not fits(shape, span):
        return None
    data = encode_waves(allowed, span, step, guide)
    stream = ExactStream(number, WAVES, data, guide is not None)
    return Made(stream, decode_waves(data, shape, span, guide))


def encode_as_least_squares(made: Made, coding: ExactCoding) -> Made | None:
    """The stream of least squares of what a stream of numbers holds; None where it does not fit."""
    from .least_squares import encode_least_squares, fits

    number, codes = made.stream.domain, made.codes
    span = coding.domains[number].span
    if not fits((codes.shape[0], codes.shape[1]), span):
        return None
    return Made(ExactStream(number, LEAST_SQUARES, encode_least_squares(codes, span)), codes)


def decode_exact(
    stream: ExactStream, coding: ExactCoding, shape: tuple[int, int], dtype: np.dtype[np.generic],
    rendering: NDArray[np.float64] | None = None,
) -> Samples:  # fmt: skip
    """The samples (nz, nx) of a stream, in `dtype`. `rendering` (nz, nx) is that of the latent, in
    the samples' units, where the stream was coded against it.

    Raises CorruptError, ContextNetworkError, UnknownFeatureError.
    """
    from .labels import decode_labels
    from .least_squares import decode_least_squares
    from .network import network_of
    from .numbers import decode_numbers
    from .waves import decode_waves

    if stream.domain >= len(coding.domains):
        raise CorruptError(
            f"exact stream: domain: found {stream.domain}, expected less than {len(coding.domains)}"
        )
    domain = coding.domains[stream.domain]
    if domain.kind == RAW:
        return _decode_raw(stream.data, shape, dtype)
    guide = None if rendering is None else domain.codes_near(rendering, dtype)
    if stream.coder == LABELS:
        network = network_of(coding.network if guide is None else coding.guided)
        codes = decode_labels(stream.data, shape, domain.span, domain.bound, network, guide)
    elif stream.coder == NUMBERS:
        codes = decode_numbers(stream.data, shape, domain.span, guide)
    elif stream.coder == WAVES:
        codes = decode_waves(stream.data, shape, domain.span, guide)
    elif stream.coder == LEAST_SQUARES and guide is None:
        codes = decode_least_squares(stream.data, shape, domain.span)
    else:
        beside = "" if guide is None else " beside a rendering"
        raise UnknownFeatureError(
            f"exact stream: coder: found {stream.coder}{beside}, expected 0 to "
            f"{CODERS - 1 if guide is None else CODERS - 2}"
        )
    return domain.samples(codes, dtype)
