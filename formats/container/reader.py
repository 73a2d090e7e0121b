"""Random access to an archive: open it by its end, read each record on request."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.block import (
    LEAST_BLOCK_BYTES,
    LONGEST_HEAD,
    BlockId,
    Head,
    check_block,
    read_head,
)
from velcodec.formats.container.budget import FREE_BYTES, Budget
from velcodec.formats.container.columns import Column, joined
from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.framing import (
    END_SIGNATURE,
    START,
    TAIL_BYTES,
    check_start,
)
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import (
    MAX_FIELDS,
    QualityCodes,
    StoredPage,
)
from velcodec.formats.container.quality import StoredQuality, joined_codes, quality_rows
from velcodec.formats.container.record_reader import ORDINAL, Columns, numbers_of_keys
from velcodec.formats.container.sections import (
    DECODER,
    DIRECTORY,
    HEADER,
    OPENING,
    PAGE,
    Place,
    Section,
    check_known,
    read_section,
)
from velcodec.formats.errors import (
    CorruptError,
    KeyNotFoundError,
    TruncatedError,
    UnknownFeatureError,
)
from velcodec.formats.storage.locks import ForkableLock, lazy_property
from velcodec.formats.storage.source import ByteSource

SEARCHED_AT_ONCE = 1 << 20
PAGES_KEPT = 64
BLOCKS_KEPT, LARGEST_KEPT = 64, 1 << 14
"""Blocks whose payloads are kept for the next record, and the largest of them, in bytes."""

TAIL_WORK = 4
"""The search for a directory may read this many times the bytes of the file in total."""

MAX_TAILS_TRIED = 256
"""A false tail occurs by chance at one of 2^32 places; more than a few are an attack."""


@dataclass(frozen=True)
class StoredBlock:
    """Where a block is in the file, its bytes, its first record, and their number and header."""

    at: int
    size: int
    first: int
    count: int
    header: int

    @property
    def what(self) -> str:
        """How errors call it."""
        if self.count == 1:
            return f"record {self.first}"
        return f"records {self.first} to {self.first + self.count - 1}"


class VlatReader:
    """One archive. Opening it reads the signature, the first header and the directory.

    If the file does not end with a tail, the last one before the end counts, and what follows is an
    unfinished addition of `unfinished` bytes. Raises NotVlatError, VersionError,
    UnknownFeatureError, TruncatedError, CorruptError, InputFileError.
    """

    def __init__(self, source: str | Path | bytes | BinaryIO) -> None:
        self._source = ByteSource(source)
        self.name = self._source.name
        self._pages: OrderedDict[int, StoredPage] = OrderedDict()
        self._blocks: OrderedDict[int, list[bytes]] = OrderedDict()
        self._headers: dict[int, Header] = {}
        self._lock = ForkableLock()
        try:
            self._check_start()
            first = read_section(self._source, len(START), HEADER, "header")
            self.stamp, self._first_end = first.checksum, first.end
            self.header = self._headers[0] = self._header_in(first, 0)
            self.directory, self.end = self._find_directory()
            self._check_others()
        except BaseException:
            self._source.close()
            raise
        ends = np.cumsum([page.count for page in self.directory.pages], dtype=np.int64)
        self._ends: list[int] = ends.tolist()

    def _fail(self, place: str, message: str) -> CorruptError:
        return CorruptError(f"{self.name}: {place}: {message}")

    # Opening

    def _check_start(self) -> None:
        source = self._source
        start = source.read_at(0, min(source.size, len(START)), "signature")
        check_start(start, source.name)

    def _find_directory(self) -> tuple[Directory, int]:
        """The directory that the last valid tail leads to, and where that tail ends."""
        size = self._source.size
        end, work = size, TAIL_WORK * size
        try:
            section = self._directory_before(size, size)
        except (CorruptError, TruncatedError) as error:
            for end in islice(self._tails_before(size), MAX_TAILS_TRIED):
                try:
                    section = self._directory_before(end, work)
                    break
                except (CorruptError, TruncatedError):
                    work -= self._stated_size(end)
            else:
                raise error
        return self._directory_in(section), end

    def _directory_in(self, section: Section) -> Directory:
        own = Place(section.at, section.end - section.at)
        return Directory.from_bytes(section.body, own, self._first_end, self.name)

    def _stated_size(self, end: int) -> int:
        """The size of the directory in bytes, from the tail that ends at `end`."""
        size = int.from_bytes(self._source.read_at(end - TAIL_BYTES, 4, "end signature"), "little")
        return size if size < end else 0

    def _directory_before(self, end: int, most: int) -> Section:
        """The section, of at most `most` bytes, that the tail ending at `end` leads to."""
        source = self._source
        at = end - TAIL_BYTES
        if at < len(START):
            raise TruncatedError(
                f"{source.name}: end signature: found no room for it, expected {END_SIGNATURE!r}"
            )
        tail = source.read_at(at, TAIL_BYTES, "end signature")
        if not tail.endswith(END_SIGNATURE):
            raise TruncatedError(
                f"{source.name}: end signature: found {tail[4:]!r}, expected {END_SIGNATURE!r}: "
                "the archive is cut off or was altered at its end"
            )
        size = int.from_bytes(tail[:4], "little")
        where = at - size
        if where < len(START) or size > most:
            raise self._fail("directory", f"found a size of {size} bytes, more than the file has")
        return self._section(Place(where, size), DIRECTORY, "directory")

    def _check_others(self) -> None:
        """Raise UnknownFeatureError for a critical section of unknown type."""
        for kind, place in self.directory.others:
            check_known(kind, f"{self.name}: section {kind!r} at byte {place.at}")

    def _tails_before(self, end: int) -> Iterator[int]:
        """The ends of possible tails, last one first."""
        overlap = len(END_SIGNATURE) - 1
        while end > len(START):
            at = max(0, end - SEARCHED_AT_ONCE)
            data = self._source.read_at(at, end - at, "search for an end signature")
            found = data.rfind(END_SIGNATURE)
            while found >= 0:
                yield at + found + len(END_SIGNATURE)
                found = data.rfind(END_SIGNATURE, 0, found)
            if at == 0:
                return
            end = at + overlap

    # Headers, pages and everything else that the directory lists

    def _section(self, place: Place, kind: bytes, what: str) -> Section:
        return read_section(self._source, place.at, kind, what, place.size, self.stamp)

    def _header(self, number: int) -> Header:
        found = self._headers.get(number)
        if found is None:
            later = self.directory.headers
            if number > len(later):
                raise self._fail("index", f"found header number {number} of {1 + len(later)}")
            section = self._section(later[number - 1], HEADER, "header")
            found = self._headers[number] = self._header_in(section, number)
        return found

    def _header_in(self, section: Section, number: int) -> Header:
        try:
            if number == 0:
                return Header.from_bytes(section.body[OPENING:])
            return Header.from_bytes(section.body, self.header, number)
        except (CorruptError, UnknownFeatureError) as error:
            raise type(error)(f"{self.name}: {error}") from error

    def _page(self, number: int) -> StoredPage:
        with self._lock:
            page = self._pages.get(number)
            if page is not None:
                self._pages.move_to_end(number)
                self._forget()
                return page
        entry = self.directory.pages[number]
        behind = self.directory.pages[number + 1 : number + 2]
        end = behind[0].records_at if behind else self.end
        page = self._read_page(entry, self._ends[number] - entry.count, end)
        with self._lock:
            self._pages[number] = page
            self._forget()
        return page

    def _forget(self) -> None:
        """Drop the least recently used pages, so that memory is bounded."""
        held = sum(page.held for page in self._pages.values())
        while len(self._pages) > PAGES_KEPT or (held > FREE_BYTES and len(self._pages) > 1):
            held -= self._pages.popitem(last=False)[1].held

    def _read_page(self, entry: PageEntry, first: int, end: int) -> StoredPage:
        """The page whose first record is number `first` and whose records end before byte `end`."""
        room = end - entry.records_at
        page = self.directory.inside
        if not isinstance(page, StoredPage):
            # Only an archive's first page may be inside a directory, as nothing was before it.
            kinds = PAGE + DIRECTORY if first == 0 else PAGE
            section = self._section(entry.place, kinds, "index")
            if section.kind == DIRECTORY:  # an earlier one, from before the last addition
                page = self._directory_in(section).inside
            else:
                page = StoredPage(section.body, room // LEAST_BLOCK_BYTES, f"{self.name}: index")
        if not isinstance(page, StoredPage):
            raise self._fail("index", "found a directory without a page inside")
        if len(page) != entry.count:
            raise self._fail("index", f"found {len(page)} records, expected {entry.count}")
        if page.first != first:
            raise self._fail("index", f"found the page of record {page.first}, not of {first}")
        if page.span > room:
            raise self._fail("index", f"found records of {page.span} bytes in {room}")
        return page

    def _every_page(self) -> list[StoredPage]:
        """All pages; adjacent ones are fetched together."""
        entries = self.directory.pages
        spans: list[tuple[int, int]] = []
        for entry in entries if self.directory.inside is None else ():
            at, end = entry.place.at, entry.place.at + entry.place.size
            if spans and spans[-1][1] == at:
                spans[-1] = spans[-1][0], end
            else:
                spans.append((at, end))
        self._source.fetch(spans)
        pages = [self._page(number) for number in range(len(entries))]
        self._check_keys(pages)
        return pages

    def check_index(self) -> None:
        """Read every page of the index. Raises CorruptError, TruncatedError."""
        self._every_page()

    def _check_keys(self, pages: Sequence[StoredPage]) -> None:
        """Raise CorruptError if only some records have keys."""
        if any(page.has_keys != self.has_keys for page in pages):
            raise self._fail("index", "found keys for some records only")

    def embedded_decoders(self) -> list[bytes]:
        """The bytes of every embedded decoder file."""
        return [
            self._section(place, DECODER, "embedded decoder").body
            for place in self.directory.decoders
        ]

    def ancillary(self) -> list[tuple[bytes, bytes]]:
        """Type and body of every ancillary section in the directory; copies keep them."""
        return [
            (kind, self._section(place, kind, f"section {kind!r}").body)
            for kind, place in self.directory.others
        ]

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Raw bytes of the file. Raises TruncatedError, InputFileError."""
        return self._source.read_at(offset, count, "archive")

    # Records

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def locate(self, number: int) -> StoredBlock:
        """The block with record `number`. Raises KeyNotFoundError for a number out of range."""
        page, row = self._row(number)
        entry = self.directory.pages[bisect_right(self._ends, number)]
        block = int(np.searchsorted(page.rows, row, side="right")) - 1
        return StoredBlock(
            entry.records_at + int(page.places[block]),
            int(page.sizes[block]),
            number - row + int(page.rows[block]),
            int(page.counts[block]),
            int(page.headers[block]),
        )

    def _check_number(self, number: int) -> None:
        if not 0 <= number < len(self):
            raise KeyNotFoundError(
                f"{self.name}: record: found number {number}, expected 0 to {len(self) - 1}"
            )

    def payload(self, number: int) -> bytes:
        """The payload of record `number`, with the checksum of its block verified.

        Raises KeyNotFoundError for a number out of range, CorruptError if the block was altered.
        """
        block = self.locate(number)
        return self._payloads_of(block)[number - block.first]

    def _payloads_of(self, block: StoredBlock) -> list[bytes]:
        """The payloads of a block, verified."""
        with self._lock:
            kept = self._blocks.get(block.first)
            if kept is not None:
                self._blocks.move_to_end(block.first)
                return kept
        data = self._source.read_at(block.at, block.size, block.what)
        head = self._head(block, data[:LONGEST_HEAD])
        check_block(BlockId(self.stamp, block.first, block.header), head, data, self.name)
        payloads = [data[start:stop] for start, stop in head.spans()]
        if block.size <= LARGEST_KEPT:
            with self._lock:
                self._blocks[block.first] = payloads
                while len(self._blocks) > BLOCKS_KEPT:
                    self._blocks.popitem(last=False)
        return payloads

    def _head(self, block: StoredBlock, start: bytes) -> Head:
        """The head of a block, which must be as the index says."""
        head = read_head(start, f"{self.name}: {block.what}")
        for what, found, told in (
            ("records", len(head.lengths), block.count),
            ("bytes", head.block_bytes, block.size),
        ):
            if found != told:
                raise self._fail(block.what, f"found {found} {what}, the index has {told}")
        return head

    def payload_part(self, number: int, start: int, size: int) -> bytes:
        """Bytes `start` to `start + size` of a payload, or up to its end. Of a record that has a
        block of its own nothing else is read, nor its checksum verified: for records whose parts
        have checksums of their own.

        Raises KeyNotFoundError, TruncatedError, CorruptError.
        """
        block = self.locate(number)
        if block.count > 1:
            return self._payloads_of(block)[number - block.first][start : start + size]
        ((begin, end),) = Head.of_single(block.size).spans()
        size = max(0, min(size, end - begin - start))
        return self._source.read_at(block.at + begin + start, size, block.what)

    def payloads(self) -> Iterator[bytes]:
        """Every record's payload in order."""
        return (self.payload(number) for number in range(len(self)))

    def header_of(self, number: int) -> Header:
        """The header of record `number`."""
        return self._header(self.locate(number).header)

    def header_number(self, number: int) -> int:
        """The number of the header of record `number`."""
        return self.locate(number).header

    def headers(self) -> list[Header]:
        """Every header, first one first."""
        return [self._header(number) for number in range(1 + len(self.directory.headers))]

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        return self._source.size

    @property
    def unfinished(self) -> int:
        """Bytes after the last tail: an addition that was never finished."""
        return self._source.size - self.end

    # Columns

    @property
    def has_keys(self) -> bool:
        """Whether records have keys other than their numbers."""
        return len(self) > 0 and self._page(0).has_keys

    @lazy_property
    def keys(self) -> tuple[str, ...] | None:
        """Keys in order, or None if the numbers are the keys."""
        if not self.has_keys:
            return None
        found: list[str] = []
        budget = self._budget()
        for page in self._every_page():
            keys = page.unpack_keys(budget)
            found.extend(keys or ())
        return tuple(found)

    @lazy_property
    def quality_codes(self) -> QualityCodes | None:
        """Codes of measured quality, (4, n), or None; see `quality`."""
        return joined_codes([(len(page), page.quality) for page in self._every_page()])

    @lazy_property
    def quality(self) -> tuple[StoredQuality, ...] | None:
        """The measured quality of each record, or None."""
        codes = self.quality_codes
        return None if codes is None else quality_rows(codes)

    @lazy_property
    def lengths(self) -> NDArray[np.int64]:
        """Payload bytes of every record, (n,), from its block."""
        self._every_page()
        return self._lengths_of(range(len(self)))

    def _lengths_of(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """Payload bytes of some records."""
        found = np.zeros(len(numbers), dtype=np.int64)
        block: StoredBlock | None = None
        lengths: tuple[int, ...] = ()
        for row, number in enumerate(numbers):
            if block is None or not block.first <= number < block.first + block.count:
                block = self.locate(number)
                lengths = Head.of_single(block.size).lengths
                if block.count > 1:
                    lengths = tuple(map(len, self._payloads_of(block)))
            found[row] = lengths[number - block.first]
        return found

    @lazy_property
    def fields(self) -> Mapping[str, Column]:
        """Every field's column, (n,) numbers or texts; missing values as in `columns.joined`."""
        pages, budget = self._every_page(), self._budget()
        return {
            name: joined([(len(page), page.unpack_field(name, budget)) for page in pages], budget)
            for name in self._names(pages)
        }

    def _budget(self) -> Budget:
        """The memory limit of one call for keys and columns."""
        return Budget(self._source.size, f"{self.name}: index")

    def _names(self, pages: Sequence[StoredPage]) -> list[str]:
        """Names of the fields of these pages. Raises CorruptError for more than MAX_FIELDS."""
        names = dict.fromkeys(name for page in pages for name in page.field_names)
        if len(names) > MAX_FIELDS:
            raise self._fail("fields", f"found {len(names)}, expected at most {MAX_FIELDS}")
        return list(names)

    def fields_of(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """The fields of some records; only their pages are read."""
        found = []
        for number in numbers:
            page, row = self._row(number)
            columns = ((name, page.field(name)) for name in page.field_names)
            found.append({name: column[row] for name, column in columns if column is not None})
        return found

    def _row(self, number: int) -> tuple[StoredPage, int]:
        """The page with record `number`, and its row there."""
        self._check_number(number)
        which = bisect_right(self._ends, number)
        return self._page(which), number - (self._ends[which] - self.directory.pages[which].count)

    def columns_of(self, numbers: Sequence[int]) -> Columns:
        """Keys, quality codes and fields of some records; only their pages are read."""
        parts = [(self._page(which), rows) for which, rows in self._by_page(numbers)]
        self._check_keys([page for page, _ in parts])
        # A single page keeps what it unpacked for the next call; several keep nothing.
        budget = self._budget() if len(parts) > 1 else None
        unpacked = [
            (page.unpack_keys(budget) if budget else page.keys, rows) for page, rows in parts
        ]
        keys = [known[row] for known, rows in unpacked if known for row in rows.tolist()]

        def column(page: StoredPage, name: str) -> Column | None:
            return page.unpack_field(name, budget) if budget else page.field(name)

        measured = [(page.quality, rows) for page, rows in parts]
        quality = joined_codes(
            [(len(rows), None if q is None else q[:, rows]) for q, rows in measured]
        )
        fields = {
            name: joined([(len(rows), _rows(column(page, name), rows)) for page, rows in parts])
            for name in self._names([page for page, _ in parts])
        }
        return Columns(keys if self.has_keys else None, quality, fields, self._lengths_of(numbers))

    def _by_page(self, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The pages of these records in order, each with the rows in it."""
        rows: list[int] = []
        last = -1
        for number in numbers:
            self._check_number(number)
            which = bisect_right(self._ends, number)
            if which != last and rows:
                yield last, np.array(rows, dtype=np.int64)
                rows = []
            rows.append(number - (self._ends[which] - self.directory.pages[which].count))
            last = which
        if rows:
            yield last, np.array(rows, dtype=np.int64)

    @lazy_property
    def _number_of_key(self) -> dict[str, int]:
        return numbers_of_keys(self.keys or (), self.name)

    def key_index(self, key: str) -> int:
        """The number of the record with this key. Raises `KeyNotFoundError`."""
        number = self._number_of_key.get(key)
        if number is None and not self.has_keys and ORDINAL.fullmatch(key):
            number = int(key)
        if number is None or number >= len(self):
            raise KeyNotFoundError(f"{self.name}: key: found no model with key {key!r}")
        return number

    def close(self) -> None:
        """Close the file, if the reader opened it."""
        with self._lock:
            self._blocks.clear()
        self._source.close()

    def __enter__(self) -> VlatReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def _rows(column: Column | None, rows: NDArray[np.int64]) -> Column | None:
    return None if column is None else column[rows]
