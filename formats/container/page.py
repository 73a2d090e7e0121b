"""Pages of the index: for some neighbouring records their lengths, and columns beside them.

A page is unpacked by parts: lengths when a record is looked for, keys, measured quality and fields
when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.columns import (
    Column,
    expand,
    pack_column,
    squeeze,
    take_fields,
    unpack_column,
)
from velcodec.formats.container.quality import COLUMNS
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.storage.checked_msgpack import (
    check_keys,
    integer,
    sequence,
    unpack_mapping,
    unpack_texts,
)
from velcodec.formats.storage.locks import lazy_property

KEYS = ("b", "x", "w", "r", "k", "q", "f")
SHORT_CHECKSUM_BYTES, LONG_CHECKSUM_BYTES = 2, 4
LONG_RECORD_BYTES = 1 << 10
"""Payloads from here on have a checksum of four bytes: of a longer one, two bytes would miss some
single bits.
"""

MIN_RECORD_BYTES = 3
MAX_KEY_BYTES = 1024
MAX_RECORD_BYTES = 1 << 31
MAX_KEYS_BYTES = 1 << 26
MAX_FIELDS = 256
MAX_FIELD_NAME_BYTES = 256
MAX_HEADERS = 1 << 16
"""An archive has no more, so that the shortest checksum tells each of them."""

MAX_PAGE_RECORDS = 1 << 16
MAX_PAGE_VALUES = 3 * MAX_PAGE_RECORDS + (1 << 14)
"""Values in a page's mapping: three for each of its runs, some for each of its fields."""

QualityCodes = NDArray[np.uint8]
"""Codes of measured quality, (4, records); see `quality`."""


@dataclass(frozen=True)
class Run:
    """Records that follow each other without a section between: bytes of sections before the run,
    number of records, number of their header.
    """

    gap: int
    count: int
    header: int


@dataclass(frozen=True)
class Page:
    """Payload lengths of all records of a page, (n,) int64, in runs; keys, quality codes and fields
    for all of them or for none. `first` is the number of its first record.
    """

    lengths: NDArray[np.int64]
    runs: tuple[Run, ...]
    keys: tuple[str, ...] | None = None
    quality: QualityCodes | None = None
    fields: Mapping[str, Column] = field(default_factory=dict)
    first: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @lazy_property
    def entry_bytes(self) -> NDArray[np.int64]:
        """Bytes that each record takes: length prefix, payload, checksum."""
        return entry_bytes(self.lengths)

    @lazy_property
    def places(self) -> NDArray[np.int64]:
        """Where each record's entry begins, counted from where the page's records begin."""
        before = np.cumsum(self.entry_bytes) - self.entry_bytes
        gaps = np.cumsum([run.gap for run in self.runs], dtype=np.int64)
        return before + np.repeat(gaps, [run.count for run in self.runs])

    @lazy_property
    def headers(self) -> NDArray[np.int64]:
        """Number of the header of each record."""
        return np.repeat(
            np.array([run.header for run in self.runs], dtype=np.int64),
            [run.count for run in self.runs],
        )

    @property
    def span(self) -> int:
        """Bytes from the first record's beginning to the last one's end."""
        return int(self.entry_bytes.sum()) + sum(run.gap for run in self.runs)

    def to_bytes(self) -> bytes:
        """Msgpack with short keys; byte columns compressed where that is shorter.

        Raises `OptionError` for more text in keys than a reader takes.
        """
        longest = int(self.lengths.max(initial=0))
        width = 1 if longest < 2**8 else 2 if longest < 2**16 else 4
        column = self.lengths.astype(f"<u{width}")
        data: dict[str, Any] = {"x": squeeze(column.tobytes())}
        if width > 1:
            data["w"] = width
        if self.first:
            data["b"] = self.first
        if self.runs != (Run(0, len(self), 0),):
            data["r"] = [value for run in self.runs for value in (run.gap, run.count, run.header)]
        if self.keys is not None:
            keys = msgpack.packb(list(self.keys))
            if len(keys) > MAX_KEYS_BYTES:
                raise OptionError(
                    f"keys: found {len(keys)} bytes, expected at most {MAX_KEYS_BYTES}"
                )
            data["k"] = squeeze(keys)
        if self.quality is not None:
            # Each kind of figure has its own distribution, and compresses best alone.
            data["q"] = [squeeze(row.tobytes()) for row in self.quality]
        if self.fields:
            data["f"] = {name: pack_column(column) for name, column in self.fields.items()}
        packed: bytes = msgpack.packb(data)
        return packed

    def part(self, rows: NDArray[np.int64]) -> tuple[
        list[str | None], QualityCodes | None, dict[str, Column]
    ]:  # fmt: skip
        """Keys, quality codes and fields of some records."""
        keys = [None] * len(rows) if self.keys is None else [self.keys[i] for i in rows.tolist()]
        quality = None if self.quality is None else self.quality[:, rows]
        return keys, quality, take_fields(self.fields, rows)


def entry_bytes(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the entries of records whose payloads have these lengths."""
    prefix = np.ones_like(lengths)
    for k in range(1, 5):
        prefix += lengths + 1 >= 1 << (7 * k)
    checksum = np.where(lengths < LONG_RECORD_BYTES, SHORT_CHECKSUM_BYTES, LONG_CHECKSUM_BYTES)
    return prefix + lengths + checksum


def checksum_bytes(length: int) -> int:
    """Bytes of the checksum of a record whose payload has this length."""
    return SHORT_CHECKSUM_BYTES if length < LONG_RECORD_BYTES else LONG_CHECKSUM_BYTES


class StoredPage:
    """A page as it stands in a file; parts are unpacked when asked for.

    Opening it raises CorruptError for lengths and runs that cannot be, with `most` records at most,
    and UnknownFeatureError for a part that must be known; the other parts raise CorruptError when
    they are asked for.
    """

    def __init__(self, body: bytes, most: int, place: str) -> None:
        self._place = place
        self._data = unpack_mapping(body, place, MAX_PAGE_VALUES)
        check_keys(self._data, KEYS, place)
        self._columns: dict[str, Column] = {}
        try:
            self.first = integer(self._data.get("b", 0))
            if not 0 <= self.first < 1 << 62:
                raise ValueError(f"found {self.first} as the number of the first record")
            self.lengths, runs = self._read_lengths(most)
            self._skeleton = Page(self.lengths, runs)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{place}: {error}") from error

    def __len__(self) -> int:
        return len(self.lengths)

    def _read_lengths(self, most: int) -> tuple[NDArray[np.int64], tuple[Run, ...]]:
        data, place = self._data, self._place
        width = integer(data.get("w", 1))
        if width not in (1, 2, 4):
            raise CorruptError(f"{place}: found lengths of {width} bytes, expected 1, 2 or 4")
        raw = expand(data["x"], min(most, MAX_PAGE_RECORDS) * width, place)
        lengths = np.frombuffer(raw, dtype=f"<u{width}").astype(np.int64)
        count = len(lengths)
        if not count or lengths.max() >= MAX_RECORD_BYTES:
            raise CorruptError(
                f"{place}: found {count} lengths, expected 1 or more under {MAX_RECORD_BYTES}"
            )
        flat = [integer(v) for v in sequence(data.get("r", [0, count, 0]))]
        runs = tuple(Run(*row) for row in zip(flat[::3], flat[1::3], flat[2::3], strict=True))
        places = all(0 <= r.gap < 1 << 62 and r.count >= 1 for r in runs)
        if not places or not all(0 <= r.header < MAX_HEADERS for r in runs):
            raise CorruptError(f"{place}: found runs {flat[:12]}, expected counts of 1 or more")
        if sum(run.count for run in runs) != count:
            raise CorruptError(f"{place}: found runs of other than {count} records")
        return lengths, runs

    @property
    def runs(self) -> tuple[Run, ...]:
        """As of `Page`."""
        return self._skeleton.runs

    @property
    def places(self) -> NDArray[np.int64]:
        """As `Page.places`."""
        return self._skeleton.places

    @property
    def headers(self) -> NDArray[np.int64]:
        """As `Page.headers`."""
        return self._skeleton.headers

    @property
    def span(self) -> int:
        """As `Page.span`."""
        return self._skeleton.span

    @property
    def has_keys(self) -> bool:
        """Whether records have keys other than their numbers."""
        return self._data.get("k") is not None

    @lazy_property
    def keys(self) -> tuple[str, ...] | None:
        """Keys of all records; CorruptError where they cannot be."""
        if not self.has_keys:
            return None
        count = len(self)
        most = min(count * (MAX_KEY_BYTES + 5) + 5, MAX_KEYS_BYTES)
        raw = expand(self._data["k"], most, self._place)
        keys = unpack_texts(raw, count, MAX_KEY_BYTES, f"{self._place}: keys")
        if len(set(keys)) != count:
            raise CorruptError(f"{self._place}: keys: found one twice, expected each once")
        return keys

    @lazy_property
    def quality(self) -> QualityCodes | None:
        """Codes of measured quality, (4, n)."""
        data = self._data.get("q")
        if data is None:
            return None
        if not isinstance(data, list) or len(data) != COLUMNS:
            raise CorruptError(f"{self._place}: quality: expected {COLUMNS} columns")
        rows = [expand(row, len(self), self._place) for row in data]
        if any(len(row) != len(self) for row in rows):
            raise CorruptError(f"{self._place}: quality: expected a byte of each for every record")
        return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(COLUMNS, -1)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields that this page has."""
        found = self._data.get("f", {})
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            raise CorruptError(f"{self._place}: fields: expected a mapping with text keys")
        if len(found) > MAX_FIELDS:
            raise CorruptError(
                f"{self._place}: fields: found {len(found)}, expected at most {MAX_FIELDS}"
            )
        return tuple(found)

    def field(self, name: str) -> Column | None:
        """The column of this name, if the page has it."""
        if name not in self.field_names:
            return None
        if name not in self._columns:
            place = f"{self._place}: field {name!r}"
            self._columns[name] = unpack_column(self._data["f"][name], len(self), place)
        return self._columns[name]

    def whole(self) -> Page:
        """Everything unpacked."""
        columns = {name: self.field(name) for name in self.field_names}
        fields = {name: column for name, column in columns.items() if column is not None}
        return Page(self.lengths, self._skeleton.runs, self.keys, self.quality, fields, self.first)
