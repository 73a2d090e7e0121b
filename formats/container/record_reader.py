"""What the readers of one file (`reader`) and of several (`shards`) have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.columns import Column
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import QualityCodes
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.errors import CorruptError

ORDINAL = re.compile(r"0|[1-9][0-9]{0,17}")
"""A key in an archive without keys: the record's number in decimal."""


@dataclass(frozen=True)
class Columns:
    """What the index says of some records: keys, quality codes (4, n), fields, payload bytes."""

    keys: Sequence[str] | None
    quality: QualityCodes | None
    fields: Mapping[str, Column]
    lengths: NDArray[np.int64]


class RecordReader(Protocol):
    """Reads records by number, from one file or from several as one."""

    name: str

    def __len__(self) -> int: ...
    @property
    def header(self) -> Header: ...
    def headers(self) -> list[Header]: ...
    def payload(self, number: int) -> bytes: ...
    def payload_part(self, number: int, start: int, size: int) -> bytes: ...
    def header_of(self, number: int) -> Header: ...
    def header_number(self, number: int) -> int: ...
    def embedded_decoders(self) -> list[bytes]: ...
    def ancillary(self) -> list[tuple[bytes, bytes]]: ...
    def columns_of(self, numbers: Sequence[int]) -> Columns: ...
    def fields_of(self, numbers: Sequence[int]) -> list[dict[str, Any]]: ...
    def key_index(self, key: str) -> int: ...
    def close(self) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def unfinished(self) -> int: ...
    @property
    def has_keys(self) -> bool: ...
    @property
    def keys(self) -> tuple[str, ...] | None: ...
    @property
    def quality_codes(self) -> QualityCodes | None: ...
    @property
    def quality(self) -> tuple[StoredQuality, ...] | None: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def fields(self) -> Mapping[str, Column]: ...


def numbers_of_keys(keys: Sequence[str], name: str) -> dict[str, int]:
    """The number of each key. Raises CorruptError for a duplicate key."""
    found = {key: number for number, key in enumerate(keys)}
    if len(found) < len(keys):
        twice = next(key for number, key in enumerate(keys) if found[key] != number)
        raise CorruptError(f"{name}: keys: found {twice!r} twice, expected each once")
    return found
