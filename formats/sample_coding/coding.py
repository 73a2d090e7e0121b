"""The part of an archive's header that all its sample streams share: domains, context network, and
the sampler that renders samples at other grids.

Every released network and sampler stays in the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.storage.checked_msgpack import check_keys, integer, sequence

KEYS = ("n", "d", "s")
MAX_DOMAINS = 1 << 10
MAX_VALUES = 1 << 16
"""Most values in all palettes together."""

MAX_NETWORK = 1 << 16
"""Bound on the numbers of networks and samplers."""

DIGEST_BYTES = 4
"""Bytes of a sampler's hash in a header."""


@dataclass(frozen=True)
class SamplerName:
    """A sampler's number, and the first bytes of the SHA-256 of its file. Raises CorruptError."""

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
    """The context network's number, the domains and the sampler of an archive's exact streams.

    Raises CorruptError.
    """

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
