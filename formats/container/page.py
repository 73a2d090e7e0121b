"""Index pages: the sizes of consecutive blocks of records, and columns beside them.

A page is unpacked in parts: sizes when a record is looked up; keys, measured quality and fields
on request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.block import LEAST_BLOCK_BYTES, MAX_RECORD_BYTES, MOST_RECORDS
from velcodec.formats.container.budget import OBJECT_BYTES, Budget
from velcodec.formats.container.columns import (
    Column,
    expand,
    pack_column,
    squeeze,
    take_fields,
    unpack_column,
)
from velcodec.formats.container.quality import pack_quality, unpack_quality
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.storage.checked_msgpack import (
    check_keys,
    integer,
    pack,
    sequence,
    unpack_mapping,
    unpack_texts,
)
from velcodec.formats.storage.locks import lazy_property

KEYS = ("b", "x", "w", "c", "r", "k", "q", "f")
MAX_KEY_BYTES = 1024
MAX_BLOCK_BYTES = MAX_RECORD_BYTES + 1024
MAX_KEYS_BYTES = 1 << 26
MAX_FIELDS = 256
MAX_FIELD_NAME_BYTES = 256
MAX_HEADERS = 1 << 16
"""The maximum number of headers."""

MAX_PAGE_RECORDS = 1 << 16
MAX_PAGE_VALUES = 3 * MAX_PAGE_RECORDS + (1 << 14)
"""Values in a page's mapping: three for each run, some for each field."""

QualityCodes = NDArray[np.uint8]
"""Codes of measured quality, (4, records); see `quality`."""


@dataclass(frozen=True)
class Run:
    """Consecutive blocks with no section between them: bytes of sections before the run, number of
    blocks, number of their header.
    """

    gap: int
    count: int
    header: int


@dataclass(frozen=True)
class Page:
    """Of a page's blocks their bytes `sizes` (b,) and numbers of records `counts` (b,), int64, in
    runs; of its records keys, quality codes and fields, for all or for none. `first` is the number
    of the first record.
    """

    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    runs: tuple[Run, ...]
    keys: tuple[str, ...] | None = None
    quality: QualityCodes | None = None
    fields: Mapping[str, Column] = field(default_factory=dict)
    first: int = 0

    def __len__(self) -> int:
        return int(self.counts.sum())

    @lazy_property
    def rows(self) -> NDArray[np.int64]:
        """The row of each block's first record."""
        return np.cumsum(self.counts) - self.counts

    @lazy_property
    def places(self) -> NDArray[np.int64]:
        """Where each block begins, relative to the first."""
        before = np.cumsum(self.sizes) - self.sizes
        gaps = np.cumsum([run.gap for run in self.runs], dtype=np.int64)
        return before + np.repeat(gaps, [run.count for run in self.runs])

    @lazy_property
    def headers(self) -> NDArray[np.int64]:
        """The number of each block's header."""
        return np.repeat(
            np.array([run.header for run in self.runs], dtype=np.int64),
            [run.count for run in self.runs],
        )

    @property
    def span(self) -> int:
        """Bytes from the start of the first block to the end of the last."""
        return int(self.sizes.sum()) + sum(run.gap for run in self.runs)

    def to_bytes(self) -> bytes:
        """Msgpack with short keys; byte columns are compressed where that is shorter.

        Raises `OptionError` for keys with more text than a reader accepts.
        """
        return pack(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """What `to_bytes` packs."""
        data: dict[str, Any] = {}
        if len(self.sizes) == 1:
            data["x"] = int(self.sizes[0])
            if self.counts[0] > 1:
                data["c"] = int(self.counts[0])
        else:
            longest = int(self.sizes.max(initial=0))
            width = 1 if longest < 2**8 else 2 if longest < 2**16 else 4
            data["x"] = squeeze(self.sizes.astype(f"<u{width}").tobytes())
            if width > 1:
                data["w"] = width
            if (self.counts != 1).any():
                data["c"] = squeeze(self.counts.astype(np.uint8).tobytes())
        if self.first:
            data["b"] = self.first
        if self.runs != (Run(0, len(self.sizes), 0),):
            data["r"] = [value for run in self.runs for value in (run.gap, run.count, run.header)]
        if self.keys is not None:
            keys = msgpack.packb(list(self.keys))
            if len(keys) > MAX_KEYS_BYTES:
                raise OptionError(
                    f"keys: found {len(keys)} bytes, expected at most {MAX_KEYS_BYTES}"
                )
            data["k"] = squeeze(keys)
        if self.quality is not None:
            data["q"] = pack_quality(self.quality)
        if self.fields:
            data["f"] = {name: pack_column(column) for name, column in self.fields.items()}
        return data

    def part(self, rows: NDArray[np.int64]) -> tuple[
        list[str | None], QualityCodes | None, dict[str, Column]
    ]:  # fmt: skip
        """Keys, quality codes and fields of some records."""
        keys = [None] * len(rows) if self.keys is None else [self.keys[i] for i in rows.tolist()]
        quality = None if self.quality is None else self.quality[:, rows]
        return keys, quality, take_fields(self.fields, rows)


class StoredPage:
    """A page as stored in a file; its parts are unpacked on request.

    Unpacked parts are kept and take `held` bytes. Opening raises CorruptError for impossible sizes,
    counts and runs, or for more than `most` blocks, and UnknownFeatureError for a part that must be
    understood and is not; the other parts raise CorruptError on request.
    """

    def __init__(self, body: bytes, most: int, place: str) -> None:
        self._begin(unpack_mapping(body, place, MAX_PAGE_VALUES), len(body), most, place)

    @classmethod
    def of_mapping(cls, data: dict[str, Any], size: int, most: int, place: str) -> StoredPage:
        """The page of an unpacked mapping, which took `size` bytes."""
        page = cls.__new__(cls)
        page._begin(data, size, most, place)
        return page

    def _begin(self, data: dict[str, Any], size: int, most: int, place: str) -> None:
        self._place, self._size = place, size
        self.held = 0
        self._keys: tuple[str, ...] | None = None
        self._data = data
        check_keys(self._data, KEYS, place)
        self._columns: dict[str, Column] = {}
        try:
            self.first = integer(self._data.get("b", 0))
            if not 0 <= self.first < 1 << 62:
                raise ValueError(f"found {self.first} as the number of the first record")
            self._skeleton = Page(*self._read_blocks(most))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{place}: {error}") from error

    def __len__(self) -> int:
        return self._records

    def _read_blocks(
        self, most: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[Run, ...]]:
        place = self._place
        sizes, counts = self._sizes_and_counts(most)
        count = len(sizes)
        if not count or sizes.max() >= MAX_BLOCK_BYTES or sizes.min() < LEAST_BLOCK_BYTES:
            raise CorruptError(
                f"{place}: found {count} sizes of blocks, expected 1 or more from "
                f"{LEAST_BLOCK_BYTES} to {MAX_BLOCK_BYTES}"
            )
        several = counts > 1
        if len(counts) != count or not 1 <= counts.min() <= counts.max() <= MOST_RECORDS:
            raise CorruptError(
                f"{place}: found {len(counts)} counts of records, expected 1 to {MOST_RECORDS} for "
                f"each of {count} blocks"
            )
        # At least a bit of each record stands in a block.
        if (sizes[several] < LEAST_BLOCK_BYTES + 1 + (counts[several] + 7) // 8).any():
            raise CorruptError(f"{place}: found more records than the sizes of blocks allow")
        self._records = int(counts.sum())
        if self._records > MAX_PAGE_RECORDS:
            raise CorruptError(
                f"{place}: found {self._records} records, expected at most {MAX_PAGE_RECORDS}"
            )
        flat = [integer(v) for v in sequence(self._data.get("r", [0, count, 0]))]
        runs = tuple(Run(*row) for row in zip(flat[::3], flat[1::3], flat[2::3], strict=True))
        places = all(0 <= r.gap < 1 << 62 and r.count >= 1 for r in runs)
        if not places or not all(0 <= r.header < MAX_HEADERS for r in runs):
            raise CorruptError(f"{place}: found runs {flat[:12]}, expected counts of 1 or more")
        if sum(run.count for run in runs) != count:
            raise CorruptError(f"{place}: found runs of other than {count} blocks")
        return sizes, counts, runs

    def _sizes_and_counts(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As stated: one number each of a single block, else columns."""
        data, place = self._data, self._place
        if type(data["x"]) is int:
            single = data["x"], integer(data.get("c", 1))
            if not (most >= 1 and all(0 <= value < 1 << 62 for value in single)):
                raise CorruptError(f"{place}: found a block of {single[0]} bytes")
            size, records = (np.array([value], dtype=np.int64) for value in single)
            return size, records
        width = integer(data.get("w", 1))
        if width not in (1, 2, 4):
            raise CorruptError(f"{place}: found sizes of {width} bytes, expected 1, 2 or 4")
        raw = expand(data["x"], min(most, MAX_PAGE_RECORDS) * width, place)
        sizes = np.frombuffer(raw, dtype=f"<u{width}").astype(np.int64)
        if "c" not in data:
            return sizes, np.ones(len(sizes), dtype=np.int64)
        counts = np.frombuffer(expand(data["c"], len(sizes), place), np.uint8)
        return sizes, counts.astype(np.int64)

    @property
    def runs(self) -> tuple[Run, ...]:
        """See `Page`."""
        return self._skeleton.runs

    @property
    def sizes(self) -> NDArray[np.int64]:
        """See `Page`."""
        return self._skeleton.sizes

    @property
    def counts(self) -> NDArray[np.int64]:
        """See `Page`."""
        return self._skeleton.counts

    @property
    def rows(self) -> NDArray[np.int64]:
        """See `Page.rows`."""
        return self._skeleton.rows

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
        if not isinstance(data, bytes):
            raise CorruptError(f"{self._place}: quality: found {type(data).__name__}")
        return unpack_quality(data, len(self), self._place)

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
        return Page(self.sizes, self.counts, self.runs, self.keys, self.quality, fields, self.first)
