"""Read an archive front to back: from a pipe, or without its index.

Nothing here seeks. At most one block or section is in memory, plus the places and sizes of earlier
blocks until the index confirms them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from velcodec.formats.container.block import LONGEST_HEAD, BlockId, check_block, read_head
from velcodec.formats.container.framing import (
    START,
    TAIL_BYTES,
    check_start,
    pack_tail,
)
from velcodec.formats.container.header import Header
from velcodec.formats.container.index_check import IndexCheck
from velcodec.formats.container.page import MAX_HEADERS
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
    """A record: its number, its header and the header's number, its payload, and where its block
    begins.
    """

    number: int
    header: Header
    header_number: int
    payload: bytes
    at: int


@dataclass(frozen=True)
class FoundHeader(Section):
    """A section with a header; `stamp` is the archive's."""

    header: Header
    stamp: bytes


def scan(stream: BinaryIO, name: str = "archive") -> Iterator[FoundRecord | Section]:
    """Every record in order, and the sections other than headers, with all checksums verified.

    Raises NotVlatError, VersionError, UnknownFeatureError, CorruptError; TruncatedError if the
    bytes do not end with a tail but in a record, in a section or before the index. The index comes
    after the records, and is compared with them only then.
    """
    for found in walk(stream, name):
        if isinstance(found, FoundRecord) or found.kind not in (HEADER, USE):
            yield found


def walk(stream: BinaryIO, name: str = "archive") -> Iterator[FoundRecord | Section]:
    """Like `scan`, but also yields headers and changes of the header."""
    ahead = _Ahead(stream, name)
    check_start(ahead.take(len(START), "signature", short=True), name)
    headers: list[Header] = []
    index = IndexCheck(name)
    current, closed = -1, False
    while not ahead.at_end():
        if ahead.peek(1) == MARKER:
            section = _section(ahead, index.stamp)
            if section.kind == HEADER:
                header = _header(section, headers, name)
                current, closed = len(headers), False
                headers.append(header)
                index.header(section)
                yield FoundHeader(**vars(section), header=header, stamp=index.stamp)
                continue
            if section.kind == USE:
                which, end = decode_varint(section.body, 0, f"{name}: header number")
                if which >= len(headers) or end != len(section.body):
                    raise CorruptError(f"{name}: found header number {which} of {len(headers)}")
                current = which
            closed = section.kind == DIRECTORY
            if not closed:
                index.section(section)
            yield section
            if closed:
                index.directory(section)
                _check_tail(ahead, section)
            continue
        at, first = ahead.at, index.records
        if current < 0:
            raise CorruptError(f"{name}: record {first}: found it before any header")
        payloads = _payloads(ahead, BlockId(index.stamp, first, current))
        index.block(at, ahead.at - at, len(payloads), current)
        closed = False
        for number, payload in enumerate(payloads, start=first):
            yield FoundRecord(number, headers[current], current, payload, at)
    if not closed:
        raise TruncatedError(
            f"{name}: found the end at byte {ahead.at} behind {index.records} records, expected an "
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
    # Only after the checksum: an altered type is damage, not an unknown feature.
    check_known(kind, place)
    return Section(kind, data[body:end], at, ahead.at, data[end:])


def _payloads(ahead: _Ahead, block_id: BlockId) -> list[bytes]:
    """The payloads of the next block."""
    what = f"record {block_id.first}"
    head = read_head(ahead.peek(LONGEST_HEAD), f"{ahead.name}: {what}")
    data = ahead.take(head.block_bytes, what)
    check_block(block_id, head, data, ahead.name)
    return [data[start:stop] for start, stop in head.spans()]


class _Ahead:
    """A stream whose next bytes can be looked at before they are taken."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self.name = stream, name
        self._buffer = b""
        self.at = 0

    def _fill(self, count: int) -> None:
        """Read until `count` bytes are there, or the end; never much more than arrives."""
        parts, have = [self._buffer], len(self._buffer)
        while have < count:
            part = self._stream.read(min(count - have, READ_AT_ONCE))
            if not part:
                break
            parts.append(part)
            have += len(part)
        self._buffer = b"".join(parts)

    def peek(self, count: int) -> bytes:
        """Up to `count` bytes, without taking them."""
        if len(self._buffer) < count:
            self._fill(max(count, 1 << 14))
        return self._buffer[:count]

    def at_end(self) -> bool:
        """Whether no bytes are left."""
        return not self.peek(1)

    def take(self, count: int, place: str, *, short: bool = False) -> bytes:
        """Take the next `count` bytes; fewer only if `short`. Raises TruncatedError."""
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
