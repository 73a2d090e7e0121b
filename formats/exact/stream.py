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

from ..errors import CorruptError
from ..packed import integer, sequence
from .domain import RAW, Domain, Int64, Samples

NEWEST_NETWORK = 1
"""Number of the context network that encoders use."""

LABELS, NUMBERS = range(2)
MAX_DOMAINS = 1 << 10
MAX_NETWORK = 1 << 16

MOST_LABELLED = 0.9
"""Share of distinct values in a model above which labels are not tried."""


@dataclass(frozen=True)
class ExactCoding:
    """What a header says of the exact streams: number of the context network, domains."""

    network: int
    domains: tuple[Domain, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.network < MAX_NETWORK:
            raise CorruptError(f"exact coding: network: found {self.network}")
        if not 1 <= len(self.domains) <= MAX_DOMAINS:
            raise CorruptError(
                f"exact coding: found {len(self.domains)} domains, expected 1 to {MAX_DOMAINS}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As the header keeps it."""
        return {"n": self.network, "d": [domain.to_list() for domain in self.domains]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExactCoding:
        """The inverse of `to_dict`. Raises CorruptError."""
        try:
            domains = tuple(Domain.from_list(item) for item in sequence(data["d"]))
            return cls(integer(data["n"]), domains)
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptError(f"exact coding in the header: {error}") from error


@dataclass(frozen=True)
class ExactStream:
    """One model's samples: number of the domain, coder (LABELS or NUMBERS), bytes. In a RAW domain
    the bytes are a zstd frame of the samples, and the coder is LABELS.
    """

    domain: int
    coder: int
    data: bytes


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


def encode_exact(allowed: Int64, number: int, coding: ExactCoding) -> ExactStream:
    """The shorter of both coders' streams of a model, within `allowed` (nz, nx, 3) of domain
    `number`: least, preferred and greatest integer of each sample.
    """
    from .labels import encode_labels
    from .network import network_of
    from .numbers import encode_numbers

    domain = coding.domains[number]
    preferred = allowed[..., 1]
    found = ExactStream(number, NUMBERS, encode_numbers(preferred, domain.span))
    if len(np.unique(preferred)) <= MOST_LABELLED * preferred.size:
        network = network_of(coding.network)
        labels = encode_labels(allowed, domain.span, domain.bound, network)
        if labels is not None and len(labels) <= len(found.data):
            found = ExactStream(number, LABELS, labels)
    return found


def decode_exact(
    stream: ExactStream, coding: ExactCoding, shape: tuple[int, int], dtype: np.dtype[np.generic]
) -> Samples:
    """The samples (nz, nx) of a stream, in `dtype`. Raises CorruptError, ContextNetworkError."""
    from .labels import decode_labels
    from .network import network_of
    from .numbers import decode_numbers

    if stream.domain >= len(coding.domains):
        raise CorruptError(
            f"exact stream: domain: found {stream.domain}, expected less than {len(coding.domains)}"
        )
    domain = coding.domains[stream.domain]
    if domain.kind == RAW:
        return _decode_raw(stream.data, shape, dtype)
    if stream.coder == LABELS:
        network = network_of(coding.network)
        codes = decode_labels(stream.data, shape, domain.span, domain.bound, network)
    else:
        codes = decode_numbers(stream.data, shape, domain.span)
    return domain.samples(codes, dtype)
