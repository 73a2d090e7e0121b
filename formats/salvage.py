"""Getting out of a damaged archive every record that is intact.

Sections prove themselves by their checksums wherever they stand, pages say which records there
should be, and records tell by theirs what number they have. What no page leads to is found by
walking from record to record, and by trying every byte behind a damage. Bytes in, records out: this
module knows no models, and never changes a file.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from mmap import mmap
from typing import Any

import numpy as np

from .directory import Directory
from .errors import CorruptError, RepairError, TruncatedError, UnknownFeatureError
from .header import MAX_HEADER_BYTES, Header
from .packed import unpack_mapping
from .page import MAX_PAGE_RECORDS, MAX_RECORD_BYTES, StoredPage, checksum_bytes
from .reader import check_start
from .sections import (
    CHECKSUM_BYTES,
    DECODER,
    DIRECTORY,
    HEADER,
    LONGEST_HEAD,
    MARKER,
    PAGE,
    USE,
    Section,
    check_section,
    is_critical,
    section_size,
)
from .varint import MAX_BYTES, decode_varint, encode_varint
from .vlat import END_SIGNATURE, SIGNATURE, START, TAIL_BYTES, record_checksum
from .writer import MAX_DECODER_BYTES

Bytes = bytes | mmap

SECTION = re.compile(rb"\x00[HUDPL]")
LONG_SECTION = 1 << 16
WORK = 8
"""Long stretches that only look like sections are hashed up to so many times the file's size."""

NUMBERS_TRIED = 64
"""Behind a damage a record may have the number expected there, or one of so many after it."""

BYTES_TRIED, LONGEST_SOUGHT = 1 << 19, 1 << 16
"""So many bytes of a file may be tried as the beginning of a record of at most such a size; where
that is not enough, records go on behind the next section.
"""

SURE_BITS = 32
"""A record found in the middle of anything is believed for so many bits of checksums in a row."""

SAMPLED, PLACES_TRIED, LOOKED_AT, MOVES = 16, 64, 1 << 24, 3
"""Records of a page that tell where it lies; places where most of their lengths fit; bytes among
which these are sought; and how often that is done for one page.
"""


@dataclass(frozen=True)
class Found:
    """An intact record: its number, where its payload stands, the number of its header (`presumed`
    where a damage before it may have held another), its row in a page if one is there.
    """

    number: int
    start: int
    stop: int
    header: int
    presumed: bool = False
    page: StoredPage | None = None
    row: int = 0


@dataclass
class Salvage:
    """What is intact of an archive: headers by number, records in order of their numbers, decoders.

    `expected` is how many records there were, as far as anything says; where no directory does,
    they are `uncounted`, and more may have followed; `ancillary` are the sections
    that copies keep, where the directory that lists them is there; `gaps` are the bytes (begin,
    end) that tell nothing.
    """

    data: Bytes
    headers: dict[int, Header]
    records: list[Found]
    decoders: list[bytes]
    expected: int
    ancillary: list[tuple[bytes, bytes]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    uncounted: bool = False

    def payload(self, found: Found) -> bytes:
        """The payload of a record."""
        return bytes(self.data[found.start : found.stop])

    @cached_property
    def lost(self) -> list[tuple[int, int]]:
        """Numbers of records that are gone, as ranges: the first, and one behind the last."""
        there = [record.number for record in self.records]
        ends = zip([-1, *there], [*there, self.expected], strict=True)
        return [(a + 1, b) for a, b in ends if b > a + 1]

    @property
    def has_keys(self) -> bool:
        """Whether the archive had keys of its own."""
        return any(record.page is not None and record.page.has_keys for record in self.records)


def salvage(data: Bytes, name: str, *, any_version: bool = False) -> Salvage:
    """Everything intact in an archive's bytes.

    Raises RepairError where no model can be had: no header, or no record, is intact;
    UnknownFeatureError for what must be understood and is not known; VersionError for another
    version behind an intact signature, unless `any_version` says that this byte is damaged.
    """
    if bytes(data[: len(SIGNATURE)]) == SIGNATURE and not any_version:
        check_start(bytes(data[: len(START)]).ljust(len(START), b"\1"), name)
    sections = list(find_sections(data))
    headers = _headers(sections, name)
    if 0 not in headers:
        raise RepairError(
            f"{name}: the first header is damaged, and no model can be decoded without it"
        )
    directory = _directory(sections, name)
    pages = _pages(sections, name)
    found: dict[int, Found] = {}
    # A file that says where everything is says so of its headers too.
    alone = directory is not None and not directory.headers
    _take_pages(data, sections, pages, directory, found)
    for record in _walk(data, sections, found, headers, alone):
        found.setdefault(record.number, record)
    records = [found[number] for number in sorted(found) if found[number].header in headers]
    if not records and (directory is None or directory.models):
        raise RepairError(f"{name}: found no intact record")
    told = [page.first + len(page) for page, _ in pages]
    last = [record.number + 1 for record in records[-1:]]
    expected = max([*last, *told, directory.models if directory else 0])
    others = _others(data, directory, name)
    decoders = dict.fromkeys(
        section.body
        for section in sections
        if section.kind == DECODER and len(section.body) <= MAX_DECODER_BYTES
    )
    return Salvage(
        data,
        headers,
        records,
        list(decoders),
        expected,
        [(section.kind, section.body) for section in others],
        list(_gaps(data, [*sections, *others], found.values())),
        directory is None or directory.models < expected,
    )


# --- sections -------------------------------------------------------------------------------------


def find_sections(data: Bytes) -> Iterator[Section]:
    """Every section whose checksum holds, in order, wherever it stands; none within another."""
    at, budget = 0, WORK * len(data)
    while (match := SECTION.search(data, at)) is not None:
        at = match.start()
        section = _section_at(data, at, match.group()[1:], budget)
        if isinstance(section, int):
            budget -= section
            at += 1
        else:
            yield section
            at = section.end


def _section_at(data: Bytes, at: int, kind: bytes, budget: int = 1 << 62) -> Section | int:
    """The section at a place, or how many bytes were looked at in vain."""
    try:
        body, end = section_size(kind, bytes(data[at : at + LONGEST_HEAD]), "section")
    except (CorruptError, TruncatedError):
        return 0
    size = end + CHECKSUM_BYTES
    if at + size > len(data) or (size > LONG_SECTION and size > budget):
        return 0
    whole = bytes(data[at : at + size])
    try:
        check_section(whole, "section")
    except CorruptError:
        return size
    return Section(kind, whole[body:end], at, at + size)


def _headers(sections: list[Section], name: str) -> dict[int, Header]:
    """Every header that can be made whole, by its number."""
    bodies: dict[int, bytes] = {}
    for section in sections:
        if section.kind == HEADER and len(section.body) <= MAX_HEADER_BYTES:
            try:
                number = unpack_mapping(section.body, name).get("b", 0)
            except CorruptError:
                continue
            if isinstance(number, int) and number >= 0:
                bodies.setdefault(number, section.body)
    headers: dict[int, Header] = {}
    for number in sorted(bodies):
        if number and 0 not in headers:
            break
        try:
            headers[number] = Header.from_bytes(bodies[number], headers.get(0), number)
        except CorruptError:
            continue
    return headers


def _directory(sections: list[Section], name: str) -> Directory | None:
    """What the last directory says."""
    for section in reversed(sections):
        if section.kind == DIRECTORY:
            try:
                return Directory.from_bytes(section.body, section.at, name)
            except CorruptError:
                continue
    return None


def _others(data: Bytes, directory: Directory | None, name: str) -> list[Section]:
    """The intact ones of the ancillary sections that the directory lists."""
    found = []
    for kind, place in directory.others if directory is not None else ():
        if is_critical(kind):
            raise UnknownFeatureError(
                f"{name}: section {kind!r} at byte {place.at}: found a type that this reader does "
                "not know and must: a later version may read it"
            )
        section = _section_at(data, place.at, kind)
        if isinstance(section, Section) and section.end == place.at + place.size:
            found.append(section)
    return found


def _pages(sections: list[Section], name: str) -> list[tuple[StoredPage, Section]]:
    """Pages in order of their records, each once."""
    found: dict[int, tuple[StoredPage, Section]] = {}
    for section in sections:
        if section.kind == PAGE:
            try:
                page = StoredPage(section.body, MAX_PAGE_RECORDS, f"{name}: index")
            except CorruptError:
                continue
            found[page.first] = page, section
    return [found[first] for first in sorted(found)]


# --- records that a page leads to -----------------------------------------------------------------


def _take_pages(
    data: Bytes,
    sections: list[Section],
    pages: list[tuple[StoredPage, Section]],
    directory: Directory | None,
    found: dict[int, Found],
) -> None:
    """Find the records of every page; where they lie the directory says, or they themselves do."""
    told = {}
    if directory is not None:
        told = {entry.place.at: entry.records_at for entry in directory.pages}
    ends = {section.at: section.end for section in sections}
    behind = before = len(START)
    bases: dict[int, int] = {}
    work = WORK * len(data)

    def take(page: StoredPage, rows: list[int], base: int) -> int:
        """Take in what is intact of a page, should it begin at `base`; where that ends."""
        records = [r for row in rows if (r := _record_of(data, page, base, row)) is not None]
        found.update((record.number, record) for record in records)
        if records:
            bases[page.first] = base
        return max((record.stop for record in records), default=0)

    for page, section in pages:
        # Where the directory says, behind what was found last, where the page before should end,
        # or, in a journal, before the page itself.
        near = [_past_sections(data, ends, at) for at in (behind, before)]
        likely = dict.fromkeys([told.get(section.at, near[0]), *near, section.at - page.span])
        for base in (*likely, *[None] * MOVES):
            rows = [row for row in range(len(page)) if page.first + row not in found]
            if base is None and rows and work > 0:
                # Bytes were put in or taken out before, or within, the page's records.
                work -= min(LOOKED_AT, len(data))
                base = _sought(data, page, rows, behind)
            if base is None or not rows:
                break
            behind = max(behind, take(page, rows, base))
        before = bases.get(page.first, before) + page.span
    # What is left may tell its place by the page behind it.
    for (page, _), (after, _) in reversed(list(pairwise(pages))):
        rows = [row for row in range(len(page)) if page.first + row not in found]
        if rows and after.first in bases:
            take(page, rows, _before_sections(sections, bases[after.first]) - page.span)


def _record_of(data: Bytes, page: StoredPage, base: int, row: int) -> Found | None:
    """The record of a page's row, if it is intact."""
    length, number = int(page.lengths[row]), page.first + row
    at = base + int(page.places[row])
    prefix = encode_varint(length + 1)
    start, stop = at + len(prefix), at + len(prefix) + length
    if bytes(data[at:start]) != prefix or not _checksum_holds(data, start, stop, number):
        return None
    return Found(number, start, stop, int(page.headers[row]), False, page, row)


def _sought(data: Bytes, page: StoredPage, rows: list[int], lowest: int) -> int | None:
    """Where a page's records would begin so that some of `rows` stand where they should, from byte
    `lowest` on, by their lengths and checksums.
    """
    some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, SAMPLED).astype(np.int64))]
    places = page.places[some]
    first = lowest - int(places[0])
    window = np.frombuffer(data, dtype=np.uint8)
    score = np.zeros(min(LOOKED_AT, max(0, len(data) - lowest)), dtype=np.uint8)
    for place, length in zip(places.tolist(), page.lengths[some].tolist(), strict=True):
        begin = first + place
        here = window[begin : begin + len(score)] == encode_varint(length + 1)[0]
        score[: len(here)] += here
    del window  # a mapped file cannot be closed while it is looked at
    likely = np.flatnonzero(score >= (len(some) + 1) // 2)
    order = likely[np.argsort(score[likely], kind="stable")[::-1][:PLACES_TRIED]]
    for at in order.tolist():
        base = first + at
        good = (record for row in some if (record := _record_of(data, page, base, row)))
        if sum(8 * checksum_bytes(record.stop - record.start) for record in good) >= SURE_BITS:
            return base
    return None


def _past_sections(data: Bytes, ends: Mapping[int, int], at: int) -> int:
    """Where the sections that stand at `at`, one behind the other, and tails, end; `ends` tells it
    of each section by its beginning.
    """
    while True:
        if at in ends:
            at = ends[at]
        elif bytes(data[at + 4 : at + TAIL_BYTES]) == END_SIGNATURE:
            at += TAIL_BYTES
        else:
            return at


def _before_sections(sections: list[Section], at: int) -> int:
    """Where the sections that end at `at`, one behind the other, begin."""
    begins = {section.end: section.at for section in sections}
    while at in begins:
        at = begins[at]
    return at


# --- records that nothing leads to ----------------------------------------------------------------


@dataclass
class _Walker:
    """Where a walk is: the number that comes next, the header in force, whether that is presumed,
    and how many bytes may still be tried.
    """

    number: int = 0
    header: int = 0
    presumed: bool = False
    tries: int = BYTES_TRIED


def _walk(
    data: Bytes,
    sections: list[Section],
    known: Mapping[int, Found],
    headers: Mapping[int, Header],
    alone: bool,
) -> Iterator[Found]:
    """Records in the stretches that no page accounts for."""
    state = _Walker()
    stops: list[tuple[int, int, Section | Found]] = [(s.at, s.end, s) for s in sections]
    for record in known.values():
        begin = record.start - len(encode_varint(record.stop - record.start + 1))
        length = record.stop - record.start
        stops.append((begin, record.stop + checksum_bytes(length), record))
    stops.sort(key=lambda stop: stop[:2])
    at = len(START)
    numbers = sorted(known)
    for begin, end, what in [*stops, (len(data), len(data), None)]:
        if begin > at:
            before = bisect_right(numbers, state.number)
            most = numbers[before] if before < len(numbers) else None
            yield from _walk_gap(data, at, begin, state, most, alone)
        if isinstance(what, Found):
            state.number, state.header, state.presumed = what.number + 1, what.header, False
        elif what is not None and what.kind == HEADER:
            _follow_header(what, state, headers)
        elif what is not None and what.kind == USE:
            state.header, state.presumed = _used_header(what), False
        at = max(at, end)


def _used_header(section: Section) -> int:
    try:
        return decode_varint(section.body, 0, "header number")[0]
    except (CorruptError, TruncatedError):
        return -1


def _follow_header(section: Section, state: _Walker, headers: Mapping[int, Header]) -> None:
    try:
        number = unpack_mapping(section.body, "header").get("b", 0)
    except CorruptError:
        number = -1
    state.header = number if number in headers else -1
    state.presumed = False


def _walk_gap(
    data: Bytes, at: int, end: int, state: _Walker, most: int | None, alone: bool
) -> Iterator[Found]:
    """Records from byte `at` up to `end`, which is known to begin something, or to be the end.

    `most` is a number that they do not reach.
    """
    while at < end:
        if bytes(data[at + 4 : at + TAIL_BYTES]) == END_SIGNATURE:
            at += TAIL_BYTES
            continue
        if data[at : at + 1] == MARKER:
            section = _section_at(data, at, bytes(data[at + 1 : at + 2]))
            if isinstance(section, Section) and section.end <= end:  # a note to somebody else
                at = section.end
                continue
        span = _entry(data, at, end)
        if span is not None and _checksum_holds(data, *span, state.number):
            yield Found(state.number, *span, state.header, state.presumed)
            state.number += 1
            at = span[1] + checksum_bytes(span[1] - span[0])
            continue
        state.presumed = state.presumed or not alone
        place = _resume(data, at, end, state, most)
        if place is None:
            return
        at, state.number = place


def _resume(
    data: Bytes, at: int, end: int, state: _Walker, most: int | None
) -> tuple[int, int] | None:
    """The next byte from a damage at `at` on where records follow again, and the number there."""
    # Records whose payloads alone are damaged still say where the next one begins.
    place, last = at, state.number + NUMBERS_TRIED
    for number in range(state.number + 1, last if most is None else min(last, most)):
        claimed = _entry(data, place, end)
        if claimed is None:
            break
        place = claimed[1] + checksum_bytes(claimed[1] - claimed[0])
        span = _entry(data, place, end)
        next_one = number == state.number + 1  # as sure as what a reader reads: one place tried
        if span is not None and next_one and _checksum_holds(data, *span, number):
            return place, number
        if place < end and _is_sure(data, place, end, number):
            return place, number
    numbers = range(state.number, last if most is None else min(last, most))
    window = state.number // NUMBERS_TRIED
    for place in range(at, end):
        state.tries -= 1
        if state.tries < 0:
            return None
        span = _entry(data, place, end)
        if span is None or span[1] - span[0] > LONGEST_SOUGHT:
            continue
        length = span[1] - span[0]
        stored = bytes(data[span[1] : span[1] + checksum_bytes(length)])
        total = zlib.crc32(bytes(data[slice(*span)])).to_bytes(4, "little")[: len(stored)]
        difference = int.from_bytes(total, "little") ^ int.from_bytes(stored, "little")
        for number in _differences(length, window).get(difference, ()):
            if number in numbers and _is_sure(data, place, end, number):
                return place, number
    return None


@lru_cache(maxsize=1024)
def _differences(length: int, window: int) -> dict[int, list[int]]:
    """Numbers of records, NUMBERS_TRIED times the window and twice so many, by how their checksums
    differ from a plain CRC-32 of the payload: that depends on nothing but its length.
    """
    nothing = bytes(length)
    plain = zlib.crc32(nothing).to_bytes(4, "little")[: checksum_bytes(length)]
    found: dict[int, list[int]] = {}
    first = window * NUMBERS_TRIED
    for number in range(first, first + 2 * NUMBERS_TRIED):
        own = int.from_bytes(record_checksum(number, nothing), "little")
        found.setdefault(own ^ int.from_bytes(plain, "little"), []).append(number)
    return found


def _entry(data: Bytes, at: int, end: int) -> tuple[int, int] | None:
    """Where the payload of a record at `at` begins and ends, if it ends before `end`."""
    try:
        more, start = decode_varint(bytes(data[at : at + MAX_BYTES]), 0, "record")
    except (CorruptError, TruncatedError):
        return None
    length, start = more - 1, at + start
    if not 0 <= length < MAX_RECORD_BYTES or start + length + checksum_bytes(length) > end:
        return None
    return start, start + length


def _is_sure(data: Bytes, at: int, end: int, number: int) -> bool:
    """Whether records from this number on follow at `at`, beyond what chance would give."""
    bits = 0
    while at < end and bits < SURE_BITS:
        span = _entry(data, at, end)
        if span is None or not _checksum_holds(data, *span, number):
            return False
        size = checksum_bytes(span[1] - span[0])
        bits += 8 * size
        at, number = span[1] + size, number + 1
        if at == end:
            bits += 16  # it ends where something that is intact begins
    return bits >= SURE_BITS


def _checksum_holds(data: Bytes, start: int, stop: int, number: int) -> bool:
    size = checksum_bytes(stop - start)
    if stop + size > len(data) or number < 0:
        return False
    return record_checksum(number, bytes(data[start:stop])) == bytes(data[stop : stop + size])


def _gaps(data: Bytes, sections: list[Section], records: Any) -> Iterator[tuple[int, int]]:
    """Bytes that are neither of a section nor of a record nor a tail."""
    spans = [(0, len(START))] if data[: len(START)] == START else []
    spans += [(section.at, section.end) for section in sections]
    for record in records:
        length = record.stop - record.start
        begin = record.start - len(encode_varint(length + 1))
        spans.append((begin, record.stop + checksum_bytes(length)))
    at = 0
    for begin, end in [*sorted(spans), (len(data), len(data))]:
        if begin > at and not (
            begin - at == TAIL_BYTES and bytes(data[begin - 4 : begin]) == END_SIGNATURE
        ):
            yield at, begin
        at = max(at, end)


__all__ = ["Found", "Salvage", "find_sections", "salvage"]
