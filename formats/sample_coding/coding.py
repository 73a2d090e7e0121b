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


@dataclass(frozen=True)
class ExactCoding:
    """The numbers of the context network and of the sampler of an archive's exact streams, and
    their domains.

    Raises CorruptError.
    """

    network: int
    domains: tuple[Domain, ...]
    sampler: int

    def __post_init__(self) -> None:
        for name, number in (("network", self.network), ("sampler", self.sampler)):
            if not 1 <= number < MAX_NETWORK:
                raise CorruptError(
                    f"exact coding: {name}: found {number}, expected 1 to {MAX_NETWORK - 1}"
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
        return {"n": self.network, "d": domains, "s": self.sampler}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExactCoding:
        """The inverse of `to_dict`. Raises CorruptError, UnknownFeatureError."""
        try:
            check_keys(data, KEYS, "exact coding")
            domains = tuple(Domain.from_list(item) for item in sequence(data["d"]))
            return cls(integer(data["n"]), domains, integer(data["s"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptError(f"exact coding in the header: {error}") from error
