"""Index pages: the lengths of consecutive records, and columns beside them.

A page is unpacked in parts: lengths when a record is looked up; keys, measured quality and fields
on request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.budget import OBJECT_BYTES, Budget
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
"""Payloads of this size or more have a checksum of four bytes: two bytes would miss some single-bit
errors in a longer payload.
"""

MIN_RECORD_BYTES = 3
MAX_KEY_BYTES = 1024
MAX_RECORD_BYTES = 1 << 31
MAX_KEYS_BYTES = 1 << 26
MAX_FIELDS = 256
MAX_FIELD_NAME_BYTES = 256
MAX_HEADERS = 1 << 16
"""The maximum number of headers; even the shortest checksum tells them apart."""

MAX_PAGE_RECORDS = 1 << 16
MAX_PAGE_VALUES = 3 * MAX_PAGE_RECORDS + (1 << 14)
"""Values in a page's mapping: three for each run, some for each field."""

QualityCodes = NDArray[np.uint8]
"""Codes of measured quality, (4, records); see `quality`."""


@dataclass(frozen=True)
class Run:
    """Consecutive records with no section between them: bytes of sections before the run, number of
    records, number of their header.
    """

    gap: int
    count: int
    header: int


@dataclass(frozen=True)
class Page:
    """Payload lengths of a page's records, (n,) int64, in runs; keys, quality codes and fields for
    all of them or for none. `first` is the number of the first record.
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
        """Bytes of each record's entry: length prefix, payload, checksum."""
        return entry_bytes(self.lengths)

    @lazy_property
    def places(self) -> NDArray[np.int64]:
        """Where each record's entry begins, relative to the page's first record."""
        before = np.cumsum(self.entry_bytes) - self.entry_bytes
        gaps = np.cumsum([run.gap for run in self.runs], dtype=np.int64)
        return before + np.repeat(gaps, [run.count for run in self.runs])

    @lazy_property
    def headers(self) -> NDArray[np.int64]:
        """The number of each record's header."""
        return np.repeat(
            np.array([run.header for run in self.runs], dtype=np.int64),
            [run.count for run in self.runs],
        )

    @property
    def span(self) -> int:
        """Bytes from the start of the first record to the end of the last."""
        return int(self.entry_bytes.sum()) + sum(run.gap for run in self.runs)

    def to_bytes(self) -> bytes:
        """Msgpack with short keys; byte columns are compressed where that is shorter.

        Raises `OptionError` for keys with more text than a reader accepts.
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
            # The kinds of figures have different distributions, and compress best separately.
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
    """Bytes of the entries of records with these payload lengths."""
    prefix = np.ones_like(lengths)
    for k in range(1, 5):
        prefix += lengths + 1 >= 1 << (7 * k)
    checksum = np.where(lengths < LONG_RECORD_BYTES, SHORT_CHECKSUM_BYTES, LONG_CHECKSUM_BYTES)
    return prefix + lengths + checksum


def checksum_bytes(length: int) -> int:
    """Bytes of the checksum of a record with this payload length."""
    return SHORT_CHECKSUM_BYTES if length < LONG_RECORD_BYTES else LONG_CHECKSUM_BYTES


class StoredPage:
    """A page as stored in a file; its parts are unpacked on request.

    Unpacked parts are kept and take `held` bytes. Opening raises CorruptError for impossible
    lengths and runs, or for more than `most` records, and UnknownFeatureError for a part that must
    be understood and is not; the other parts raise CorruptError on request.
    """

    def __init__(self, body: bytes, most: int, place: str) -> None:
        self._place, self._size = place, len(body)
        self.held = 0
        self._keys: tuple[str, ...] | None = None
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
        """See `Page`."""
        return self._skeleton.runs

    @property
    def places(self) -> NDArray[np.int64]:
        """See `Page.places`."""
        return self._skeleton.places

    @property
    def headers(self) -> NDArray[np.int64]:
        """See `Page.headers`."""
        return self._skeleton.headers

    @property
    def span(self) -> int:
        """See `Page.span`."""
        return self._skeleton.span

    @property
    def has_keys(self) -> bool:
        """Whether records have keys other than their numbers."""
        return self._data.get("k") is not None

    @property
    def keys(self) -> tuple[str, ...] | None:
        """Keys of all records. Raises CorruptError for impossible ones."""
        if self._keys is None:
            budget = Budget(self._size, self._place, self.held)
            self._keys = self.unpack_keys(budget)
            self.held = budget.taken
        return self._keys

    def unpack_keys(self, budget: Budget) -> tuple[str, ...] | None:
        """Like `keys`, but charged to `budget` and not kept."""
        if not self.has_keys or self._keys is not None:
            return self._keys
        count = len(self)
        budget.take(count * OBJECT_BYTES)
        most = min(count * (MAX_KEY_BYTES + 5) + 5, MAX_KEYS_BYTES)
        raw = expand(self._data["k"], most, self._place, budget)
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

    def forget(self) -> None:
        """Drop everything unpacked."""
        self.held, self._keys = 0, None
        self._columns.clear()

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of this page's fields."""
        found = self._data.get("f", {})
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            raise CorruptError(f"{self._place}: fields: expected a mapping with text keys")
        if len(found) > MAX_FIELDS:
            raise CorruptError(
                f"{self._place}: fields: found {len(found)}, expected at most {MAX_FIELDS}"
            )
        return tuple(found)

    def field(self, name: str) -> Column | None:
        """The column of this name or None; it is kept."""
        if name not in self._columns:
            budget = Budget(self._size, self._place, self.held)
            column = self.unpack_field(name, budget)
            if column is None:
                return None
            self._columns[name] = column
            self.held = budget.taken
        return self._columns[name]

    def unpack_field(self, name: str, budget: Budget) -> Column | None:
        """Like `field`, but charged to `budget` and not kept."""
        if name in self._columns or name not in self.field_names:
            return self._columns.get(name)
        place = f"{self._place}: field {name!r}"
        return unpack_column(self._data["f"][name], len(self), place, budget)

    def whole(self) -> Page:
        """The page with every part unpacked."""
        columns = {name: self.field(name) for name in self.field_names}
        fields = {name: column for name, column in columns.items() if column is not None}
        return Page(self.lengths, self._skeleton.runs, self.keys, self.quality, fields, self.first)
