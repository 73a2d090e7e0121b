"""Reading an archive from front to back: down a pipe, or where its index is lost.

Nothing here seeks, and no more than one record or section is held at a time; of those before it,
places and lengths, until the index says the same of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from velcodec.formats.container.framing import (
    START,
    TAIL_BYTES,
    Belongs,
    check_record,
    check_start,
    entry_span,
    pack_tail,
)
from velcodec.formats.container.header import Header
from velcodec.formats.container.order import Met
from velcodec.formats.container.page import MAX_HEADERS, checksum_bytes
from velcodec.formats.container.sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    MARKER,
    OPENING,
    TYPE_BYTES,
    USE,
    Section,
    check_known,
    check_section,
    section_size,
)
from velcodec.formats.errors import CorruptError, TruncatedError, UnknownFeatureError
from velcodec.formats.storage.varint import MAX_BYTES, decode_varint

READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FoundRecord:
    """A record: its number, the header that it comes under and the number of that, its payload,
    and where its entry begins.
    """

    number: int
    header: Header
    header_number: int
    payload: bytes
    at: int


@dataclass(frozen=True)
class FoundHeader(Section):
    """A section that holds a header; `stamp` is the archive's."""

    header: Header
    stamp: bytes


def scan(stream: BinaryIO, name: str = "archive") -> Iterator[FoundRecord | Section]:
    """Every record in order, and the sections that are no headers, all checksums verified.

    Raises NotVlatError, VersionError, UnknownFeatureError, CorruptError, and TruncatedError where
    the bytes end elsewhere than behind a tail: within a record or a section, or before the index.
    What the index says of records that were given out already is compared when it comes.
    """
    for found in walk(stream, name):
        if isinstance(found, FoundRecord) or found.kind not in (HEADER, USE):
            yield found


def walk(stream: BinaryIO, name: str = "archive") -> Iterator[FoundRecord | Section]:
    """As `scan`, with headers and changes of the header too."""
    ahead = _Ahead(stream, name)
    check_start(ahead.take(len(START), "signature", short=True), name)
    headers: list[Header] = []
    met = Met(name)
    current, closed = -1, False
    while not ahead.at_end():
        if ahead.peek(1) == MARKER:
            section = _section(ahead, met.stamp)
            if section.kind == HEADER:
                header = _header(section, headers, name)
                current, closed = len(headers), False
                headers.append(header)
                met.header(section)
                yield FoundHeader(**vars(section), header=header, stamp=met.stamp)
                continue
            if section.kind == USE:
                which, end = decode_varint(section.body, 0, f"{name}: header number")
                if which >= len(headers) or end != len(section.body):
                    raise CorruptError(f"{name}: found header number {which} of {len(headers)}")
                current = which
            closed = section.kind == DIRECTORY
            if not closed:
                met.section(section)
            yield section
            if closed:
                met.directory(section)
                _check_tail(ahead, section)
            continue
        at = ahead.at
        if current < 0:
            raise CorruptError(f"{name}: record {met.records}: found it before any header")
        payload = _payload(ahead, Belongs(met.stamp, met.records, current))
        found = FoundRecord(met.records, headers[current], current, payload, at)
        met.record(at, len(payload), current)
        closed = False
        yield found
    if not closed:
        raise TruncatedError(
            f"{name}: found the end at byte {ahead.at} behind {met.records} records, expected an "
            "index"
        )


def _header(section: Section, known: list[Header], name: str) -> Header:
    if len(known) == MAX_HEADERS:
        raise CorruptError(f"{name}: found more than {MAX_HEADERS} headers")
    try:
        if not known:
            return Header.from_bytes(section.body[OPENING:])
        return Header.from_bytes(section.body, known[0], len(known))
    except (CorruptError, UnknownFeatureError) as error:
        raise type(error)(f"{name}: {error}") from error


def _check_tail(ahead: _Ahead, directory: Section) -> None:
    tail = ahead.take(TAIL_BYTES, "end signature")
    if tail != pack_tail(directory.end - directory.at):
        raise CorruptError(f"{ahead.name}: end signature: found {tail!r} behind the directory")


def _section(ahead: _Ahead, stamp: bytes) -> Section:
    start = ahead.peek(len(MARKER) + TYPE_BYTES + MAX_BYTES)
    kind = start[len(MARKER) : len(MARKER) + TYPE_BYTES]
    at = ahead.at
    place = f"{ahead.name}: section {kind!r} at byte {at}"
    body, end = section_size(kind, start, place)
    data = ahead.take(end + CHECKSUM_BYTES, f"section {kind!r}")
    check_section(data, place, stamp)
    # Only now: a type that was altered is damage, not a feature.
    check_known(kind, place)
    return Section(kind, data[body:end], at, ahead.at, data[end:])


def _payload(ahead: _Ahead, belongs: Belongs) -> bytes:
    number = belongs.number
    place = f"{ahead.name}: record {number}"
    start, stop = entry_span(ahead.peek(MAX_BYTES), place)
    data = ahead.take(stop + checksum_bytes(stop - start), f"record {number}")
    payload = data[start:stop]
    check_record(belongs, payload, data[stop:], ahead.name)
    return payload


class _Ahead:
    """A stream of which some bytes may be looked at before they are taken."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self.name = stream, name
        self._buffer = b""
        self.at = 0

    def _fill(self, count: int) -> None:
        """Read on until `count` bytes are there, or the end; never much more than arrives."""
        parts, have = [self._buffer], len(self._buffer)
        while have < count:
            part = self._stream.read(min(count - have, READ_AT_ONCE))
            if not part:
                break
            parts.append(part)
            have += len(part)
        self._buffer = b"".join(parts)

    def peek(self, count: int) -> bytes:
        """Up to `count` bytes, which stay to be taken."""
        if len(self._buffer) < count:
            self._fill(max(count, 1 << 14))
        return self._buffer[:count]

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self.peek(1)

    def take(self, count: int, place: str, *, short: bool = False) -> bytes:
        """The next `count` bytes; fewer only with `short`. Raises TruncatedError."""
        if len(self._buffer) < count:
            self._fill(count)
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        self.at += len(data)
        if len(data) < count and not short:
            raise TruncatedError(
                f"{self.name}: {place}: found the end at byte {self.at}, expected {count} bytes"
            )
        return data


__all__ = ["FoundHeader", "FoundRecord", "scan", "walk"]
