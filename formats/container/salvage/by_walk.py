"""Find records that no page lists: walk from one record to the next, and after damage try every
byte.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from velcodec.formats.container.framing import START, TAIL_BYTES, checksums_by_number, entry_span
from velcodec.formats.container.page import MAX_HEADERS, checksum_bytes
from velcodec.formats.container.salvage.found import (
    SURE_BITS,
    Bytes,
    Found,
    Work,
    header_of,
    is_tail,
)
from velcodec.formats.container.salvage.sections import NO_HEADER, header_number, section_at
from velcodec.formats.container.sections import HEADER, MARKER, USE, Section
from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.varint import MAX_BYTES, decode_varint

NUMBERS_TRIED = 64
"""After damage a record may have the expected number or one of this many after it."""

NUMBERS_OF_STEP = 8
"""Numbers whose checksums are computed in one step of work."""

HEADERS_TRIED = 16
"""After damage a record may belong to the current header or one of this many after it."""

BYTES_TRIED, LONGEST_SOUGHT = 1 << 19, 1 << 16
"""How many bytes of a file may be tried as the beginning of a record, and the largest payload
tried. When the tries run out, the walk continues after the next section.
"""


LENGTHS_KEPT = 1024
"""Payload lengths for which the table from checksums to numbers is kept."""


@dataclass
class _Walker:
    """The state of a walk: the archive's stamp, the numbers of its headers in order, the next
    record's number, the current header, and how many bytes may still be tried; `differences` caches
    the results of `_differences`.
    """

    stamp: bytes
    headers: Sequence[int]
    work: Work
    number: int = 0
    header: int = 0
    tries: int = BYTES_TRIED
    differences: dict[tuple[int, int], dict[int, list[int]]] = field(default_factory=dict)


def walk_records(
    data: Bytes,
    sections: list[Section],
    known: Mapping[int, Found],
    headers: Collection[int],
    stamp: bytes,
    work: Work,
    *,
    at: int = len(START),
    number: int = 0,
) -> Iterator[Found]:
    """Records in the gaps that no page accounts for, from byte `at` on, where record `number` is
    expected.
    """
    state = _Walker(stamp, sorted(headers), work, number)
    stops: list[tuple[int, int, Section | Found]] = [(s.at, s.end, s) for s in sections]
    for record in known.values():
        stops.append((record.begin, record.end, record))
    stops.sort(key=lambda stop: stop[:2])
    numbers = sorted(known)
    for begin, end, what in [*stops, (len(data), len(data), None)]:
        if begin > at:
            before = bisect_right(numbers, state.number)
            most = numbers[before] if before < len(numbers) else None
            yield from _walk_gap(data, at, begin, state, most)
        if isinstance(what, Found):
            state.number, state.header = what.number + 1, what.header
        elif what is not None and what.kind == HEADER:
            number = header_number(what, stamp)
            state.header = number if number in headers else NO_HEADER
        elif what is not None and what.kind == USE:
            state.header = _used_header(what)
        at = max(at, end)


def _used_header(section: Section) -> int:
    try:
        return decode_varint(section.body, 0, "header number")[0]
    except (CorruptError, TruncatedError):
        return NO_HEADER


def _walk_gap(data: Bytes, at: int, end: int, state: _Walker, most: int | None) -> Iterator[Found]:
    """Records from byte `at` up to `end`, where something known begins or the file ends.

    Their numbers stay below `most`.
    """
    while at < end:
        if is_tail(data, at):
            at += TAIL_BYTES
            continue
        if data[at : at + 1] == MARKER:
            kind = bytes(data[at + 1 : at + 2])
            section = section_at(data, at, kind, state.stamp, state.work)
            if isinstance(section, Section) and section.end <= end:  # a writer's note
                at = section.end
                continue
        span = _entry(data, at, end)
        told = None if span is None else _header_of(data, span, state.number, state)
        if span is not None and told == state.header:
            yield Found(state.number, *span, state.header)
            state.number += 1
            at = span[1] + checksum_bytes(span[1] - span[0])
            continue
        place = _resume(data, at, end, state, most)
        if place is None:
            return
        at, state.number, state.header = place


def _resume(
    data: Bytes, at: int, end: int, state: _Walker, most: int | None
) -> tuple[int, int, int] | None:
    """Where records continue after damage at `at`: byte, record number and header number."""
    likely = _likely_headers(state)
    header = _sure_header(data, at, end, state, state.number, likely)
    if header is not None:
        return at, state.number, header
    # A record with a damaged payload still says where the next one begins.
    place, last = at, state.number + NUMBERS_TRIED
    for number in range(state.number + 1, last if most is None else min(last, most)):
        claimed = _entry(data, place, end)
        if claimed is None:
            break
        place = claimed[1] + checksum_bytes(claimed[1] - claimed[0])
        span = _entry(data, place, end)
        next_one = number == state.number + 1  # one place is tried: as sure as a reader
        told = None if span is None else _header_of(data, span, number, state)
        if next_one and told is not None and told == state.header:
            return place, number, state.header
        if place < end:
            header = _sure_header(data, place, end, state, number, likely)
            if header is not None:
                return place, number, header
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
        if not state.work.allows(length):
            return None
        stored = bytes(data[span[1] : span[1] + checksum_bytes(length)])
        total = zlib.crc32(bytes(data[slice(*span)])).to_bytes(4, "little")[: len(stored)]
        difference = int.from_bytes(total, "little") ^ int.from_bytes(stored, "little")
        known = _differences(state, length, window)
        for told in likely:
            for number in known.get(difference ^ told, ()):
                if number not in numbers:
                    continue
                header = _sure_header(data, place, end, state, number, likely)
                if header is not None:
                    return place, number, header
    return None


def _likely_headers(state: _Walker) -> list[int]:
    """Headers that may apply after damage, which may have hit a header itself."""
    known, now = state.headers, max(state.header, 0)
    behind = bisect_right(known, now)
    after, known = known[behind : behind + HEADERS_TRIED], known[:HEADERS_TRIED]
    return list(dict.fromkeys([now, now + 1, *after, *known]))[:HEADERS_TRIED]


def _differences(state: _Walker, length: int, window: int) -> Mapping[int, list[int]]:
    """Record numbers in this window of 2 NUMBERS_TRIED (it begins at NUMBERS_TRIED times `window`),
    by the XOR of the record's checksum under header 0 and the payload's plain CRC-32. That XOR
    depends only on the payload's length and the archive's stamp.
    """
    found = state.differences.get((length, window))
    if found is not None:
        return found
    if not state.work.allows(2 * NUMBERS_TRIED * length, 2 * NUMBERS_TRIED // NUMBERS_OF_STEP):
        return {}
    if len(state.differences) == LENGTHS_KEPT:
        state.differences.clear()
    found = state.differences[length, window] = {}
    nothing = bytes(length)
    plain = zlib.crc32(nothing) & ((1 << 8 * checksum_bytes(length)) - 1)
    first = window * NUMBERS_TRIED
    numbers = range(first, first + 2 * NUMBERS_TRIED)
    own = checksums_by_number(state.stamp, numbers, nothing)
    for number, checksum in zip(numbers, own, strict=True):
        found.setdefault(checksum ^ plain, []).append(number)
    return found


def _header_of(data: Bytes, span: tuple[int, int], number: int, state: _Walker) -> int | None:
    return header_of(data, *span, number, state.stamp, state.work)


def _entry(data: Bytes, at: int, end: int) -> tuple[int, int] | None:
    """Where the payload of a record at `at` begins and ends, or None if it does not fit before
    `end`.
    """
    try:
        start, stop = entry_span(bytes(data[at : at + MAX_BYTES]), "record")
    except (CorruptError, TruncatedError):
        return None
    fits = at + stop + checksum_bytes(stop - start) <= end
    return (at + start, at + stop) if fits else None


def _sure_header(
    data: Bytes, at: int, end: int, state: _Walker, number: int, likely: Collection[int]
) -> int | None:
    """The header of the records that follow at `at`, from this number on, if enough of them agree
    to rule out chance; else None.
    """
    header: int | None = None
    bits = 0
    while at < end and bits < SURE_BITS:
        span = _entry(data, at, end)
        if span is None:
            return None
        told = _header_of(data, span, number, state)
        if told is None or told >= MAX_HEADERS or (header is not None and told != header):
            return None
        size = checksum_bytes(span[1] - span[0])
        bits += 8 * size
        if header is None and told not in likely:
            bits -= 16  # so far any of MAX_HEADERS would fit
        header = told
        at, number = span[1] + size, number + 1
        if at == end < len(data) and header == state.header:
            bits += 16  # it ends where something intact begins
    return header if bits >= SURE_BITS else None
