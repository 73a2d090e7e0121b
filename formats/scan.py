"""Reading an archive from front to back: down a pipe, or where its index is lost.

Nothing here seeks, and no more than one record or section is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .errors import CorruptError, TruncatedError, UnknownFeatureError
from .header import Header
from .page import checksum_bytes
from .sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    MARKER,
    TYPE_BYTES,
    USE,
    Section,
    check_known,
    check_section,
    section_size,
)
from .varint import MAX_BYTES, decode_varint
from .vlat import START, TAIL_BYTES, check_record, check_start, entry_span, pack_tail

READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FoundRecord:
    """A record: its number, the header it comes under, its payload."""

    number: int
    header: Header
    payload: bytes


@dataclass(frozen=True)
class FoundHeader(Section):
    """A section that holds a header."""

    header: Header


def scan(stream: BinaryIO, name: str = "archive") -> Iterator[FoundRecord | Section]:
    """Every record in order, and the sections that are no headers, all checksums verified.

    Raises NotVlatError, VersionError, UnknownFeatureError, CorruptError, and TruncatedError where
    the bytes end elsewhere than behind a tail: within a record or a section, or before the index.
    """
    for found in walk(stream, name):
        if isinstance(found, FoundRecord) or found.kind not in (HEADER, USE):
            yield found


def walk(stream: BinaryIO, name: str = "archive") -> Iterator[FoundRecord | Section]:
    """As `scan`, with headers and changes of the header too."""
    ahead = _Ahead(stream, name)
    check_start(ahead.take(len(START), "signature", short=True), name)
    headers: list[Header] = []
    current: Header | None = None
    number, closed = 0, False
    while not ahead.at_end():
        if ahead.peek(1) == MARKER:
            section = _section(ahead)
            if section.kind == HEADER:
                current = _header(section, headers, name)
                headers.append(current)
                closed = False
                yield FoundHeader(section.kind, section.body, section.at, section.end, current)
                continue
            if section.kind == USE:
                which, end = decode_varint(section.body, 0, f"{name}: header number")
                if which >= len(headers) or end != len(section.body):
                    raise CorruptError(f"{name}: found header number {which} of {len(headers)}")
                current = headers[which]
            yield section
            closed = section.kind == DIRECTORY
            if closed:
                _check_tail(ahead, section)
            continue
        payload = _payload(ahead, number)
        if current is None:
            raise CorruptError(f"{name}: record {number}: found it before any header")
        yield FoundRecord(number, current, payload)
        number, closed = number + 1, False
    if not closed:
        raise TruncatedError(
            f"{name}: found the end at byte {ahead.at} behind {number} records, expected an index"
        )


def _header(section: Section, known: list[Header], name: str) -> Header:
    try:
        return Header.from_bytes(section.body, known[0] if known else None, len(known))
    except (CorruptError, UnknownFeatureError) as error:
        raise type(error)(f"{name}: {error}") from error


def _check_tail(ahead: _Ahead, directory: Section) -> None:
    tail = ahead.take(TAIL_BYTES, "end signature")
    if tail != pack_tail(directory.end - directory.at):
        raise CorruptError(f"{ahead.name}: end signature: found {tail!r} behind the directory")


def _section(ahead: _Ahead) -> Section:
    start = ahead.peek(len(MARKER) + TYPE_BYTES + MAX_BYTES)
    kind = start[len(MARKER) : len(MARKER) + TYPE_BYTES]
    at = ahead.at
    place = f"{ahead.name}: section {kind!r} at byte {at}"
    body, end = section_size(kind, start, place)
    data = ahead.take(end + CHECKSUM_BYTES, f"section {kind!r}")
    check_section(data, place)
    # Only now: a type that was altered is damage, not a feature.
    check_known(kind, place)
    return Section(kind, data[body:end], at, ahead.at)


def _payload(ahead: _Ahead, number: int) -> bytes:
    place = f"{ahead.name}: record {number}"
    start, stop = entry_span(ahead.peek(MAX_BYTES), place)
    data = ahead.take(stop + checksum_bytes(stop - start), f"record {number}")
    payload = data[start:stop]
    check_record(number, payload, data[stop:], ahead.name)
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
