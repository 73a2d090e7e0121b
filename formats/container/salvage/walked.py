"""Records that nothing leads to: found by walking from one to the next, and by trying every byte
behind a damage.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from velcodec.formats.container.framing import (
    START,
    TAIL_BYTES,
    Belongs,
    entry_span,
    record_checksum,
)
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import MAX_HEADERS, checksum_bytes
from velcodec.formats.container.salvage.found import SURE_BITS, Bytes, Found, header_of, is_tail
from velcodec.formats.container.salvage.parts import NO_HEADER, header_number, section_at
from velcodec.formats.container.sections import HEADER, MARKER, USE, Section
from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.varint import MAX_BYTES, decode_varint

NUMBERS_TRIED = 64
"""Behind a damage a record may have the number expected there, or one of so many after it."""

HEADERS_TRIED = 16
"""Behind a damage a record may come under the header in force, or one of so many after it."""

BYTES_TRIED, LONGEST_SOUGHT = 1 << 19, 1 << 16
"""So many bytes of a file may be tried as the beginning of a record of at most such a size; where
that is not enough, records go on behind the next section.
"""


@dataclass
class _Walker:
    """Where a walk is: the archive's stamp and the numbers of its headers, the number of the record
    that comes next, the header in force, and how many bytes may still be tried.
    """

    stamp: bytes
    headers: Collection[int]
    number: int = 0
    header: int = 0
    tries: int = BYTES_TRIED


def walk(
    data: Bytes,
    sections: list[Section],
    known: Mapping[int, Found],
    headers: Mapping[int, Header],
    stamp: bytes,
) -> Iterator[Found]:
    """Records in the stretches that no page accounts for."""
    state = _Walker(stamp, headers)
    stops: list[tuple[int, int, Section | Found]] = [(s.at, s.end, s) for s in sections]
    for record in known.values():
        stops.append((record.begin, record.end, record))
    stops.sort(key=lambda stop: stop[:2])
    at = len(START)
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
    """Records from byte `at` up to `end`, which is known to begin something, or to be the end.

    `most` is a number that they do not reach.
    """
    while at < end:
        if is_tail(data, at):
            at += TAIL_BYTES
            continue
        if data[at : at + 1] == MARKER:
            kind = bytes(data[at + 1 : at + 2])
            section = section_at(data, at, kind, state.stamp)
            if isinstance(section, Section) and section.end <= end:  # a note to somebody else
                at = section.end
                continue
        span = _entry(data, at, end)
        if span is not None and header_of(data, *span, state.number, state.stamp) == state.header:
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
    """The next byte from a damage at `at` on where records follow again, the number there, and that
    of the header.
    """
    likely = _likely_headers(state)
    header = _sure_header(data, at, end, state, state.number, likely)
    if header is not None:
        return at, state.number, header
    # Records whose payloads alone are damaged still say where the next one begins.
    place, last = at, state.number + NUMBERS_TRIED
    for number in range(state.number + 1, last if most is None else min(last, most)):
        claimed = _entry(data, place, end)
        if claimed is None:
            break
        place = claimed[1] + checksum_bytes(claimed[1] - claimed[0])
        span = _entry(data, place, end)
        next_one = number == state.number + 1  # as sure as what a reader reads: one place tried
        told = None if span is None else header_of(data, *span, number, state.stamp)
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
        stored = bytes(data[span[1] : span[1] + checksum_bytes(length)])
        total = zlib.crc32(bytes(data[slice(*span)])).to_bytes(4, "little")[: len(stored)]
        difference = int.from_bytes(total, "little") ^ int.from_bytes(stored, "little")
        known = _differences(state.stamp, length, window)
        for told in likely:
            for number in known.get(difference ^ told, ()):
                if number not in numbers:
                    continue
                header = _sure_header(data, place, end, state, number, likely)
                if header is not None:
                    return place, number, header
    return None


def _likely_headers(state: _Walker) -> list[int]:
    """Headers that may be in force behind a damage, which may have been a header's own."""
    known = sorted(state.headers)
    now = max(state.header, 0)
    after = known[bisect_right(known, now) :]
    return list(dict.fromkeys([now, now + 1, *after, *known]))[:HEADERS_TRIED]


@lru_cache(maxsize=1024)
def _differences(stamp: bytes, length: int, window: int) -> dict[int, list[int]]:
    """Numbers of records, NUMBERS_TRIED times the window and twice so many, by how their checksums
    under header 0 differ from a plain CRC-32 of the payload: that depends on nothing but its length
    and the archive's stamp.
    """
    nothing = bytes(length)
    plain = zlib.crc32(nothing).to_bytes(4, "little")[: checksum_bytes(length)]
    found: dict[int, list[int]] = {}
    first = window * NUMBERS_TRIED
    for number in range(first, first + 2 * NUMBERS_TRIED):
        own = int.from_bytes(record_checksum(Belongs(stamp, number, 0), nothing), "little")
        found.setdefault(own ^ int.from_bytes(plain, "little"), []).append(number)
    return found


def _entry(data: Bytes, at: int, end: int) -> tuple[int, int] | None:
    """Where the payload of a record at `at` begins and ends, if it ends before `end`."""
    try:
        start, stop = entry_span(bytes(data[at : at + MAX_BYTES]), "record")
    except (CorruptError, TruncatedError):
        return None
    fits = at + stop + checksum_bytes(stop - start) <= end
    return (at + start, at + stop) if fits else None


def _sure_header(
    data: Bytes, at: int, end: int, state: _Walker, number: int, likely: Collection[int]
) -> int | None:
    """The header under which records from this number on follow at `at`, beyond what chance would
    give; None where they do not.
    """
    header: int | None = None
    bits = 0
    while at < end and bits < SURE_BITS:
        span = _entry(data, at, end)
        if span is None:
            return None
        told = header_of(data, *span, number, state.stamp)
        if told is None or told >= MAX_HEADERS or (header is not None and told != header):
            return None
        size = checksum_bytes(span[1] - span[0])
        bits += 8 * size
        if header is None and told not in likely:
            bits -= 16  # so far any of MAX_HEADERS would do
        header = told
        at, number = span[1] + size, number + 1
        if at == end < len(data) and header == state.header:
            bits += 16  # it ends where something that is intact begins
    return header if bits >= SURE_BITS else None
