"""Sections: everything in an archive besides its records, framed so that any reader can skip it.

    00 | type, a letter | length, varint | body | CRC-32 of everything between the 00 and here,
    XORed with the archive's stamp

The stamp is the checksum of the first header's section, which is itself unstamped. No section or
record of another archive can therefore pass for one of this archive. The body of the first header
begins with OPENING bytes that distinguish archives with equal headers.

Readers may skip a type in lower case and must understand any other. Lower-case sections listed in
the directory are kept on copy. A record never begins with 00. This module knows where a section
ends, not what it says.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from velcodec.formats.errors import CorruptError, OptionError, TruncatedError, UnknownFeatureError
from velcodec.formats.storage.source import ByteSource
from velcodec.formats.storage.varint import MAX_BYTES, decode_varint, encode_varint

MARKER = b"\x00"
TYPE_BYTES = 1
CHECKSUM_BYTES = 4
UNSTAMPED = bytes(CHECKSUM_BYTES)
"""The stamp of the first header's section, the only one without a stamp."""

OPENING = 4
LONGEST_HEAD = len(MARKER) + TYPE_BYTES + MAX_BYTES

HEADER, USE, DECODER, PAGE, DIRECTORY = b"H", b"U", b"D", b"P", b"L"
KNOWN = (HEADER, USE, DECODER, PAGE, DIRECTORY)

PLAN, SUMMARY = b"p", b"s"
"""A writer's notes to itself: its plan, and what it has measured so far."""

MAX_SECTION_BYTES = 1 << 28


@dataclass(frozen=True)
class Section:
    """A section: type, body, where it is in the file, and its checksum."""

    kind: bytes
    body: bytes
    at: int
    end: int
    checksum: bytes


@dataclass(frozen=True)
class Place:
    """The place of a section: offset of its marker, and size of the whole section in bytes."""

    at: int
    size: int


def pack_section(kind: bytes, body: bytes, stamp: bytes = UNSTAMPED) -> bytes:
    """The bytes of a section of the archive with this stamp."""
    if len(body) > MAX_SECTION_BYTES:
        raise OptionError(
            f"section {kind.decode()}: found {len(body)} bytes, expected at most "
            f"{MAX_SECTION_BYTES}"
        )
    framed = kind + encode_varint(len(body)) + body
    return MARKER + framed + _checksum(framed, stamp)


def _checksum(framed: bytes, stamp: bytes) -> bytes:
    total = zlib.crc32(framed) ^ int.from_bytes(stamp, "little")
    return total.to_bytes(CHECKSUM_BYTES, "little")


def is_critical(kind: bytes) -> bool:
    """Whether a reader must understand this type."""
    return not b"a" <= kind <= b"z"


def check_known(kind: bytes, place: str) -> None:
    """Raise UnknownFeatureError for a critical section of unknown type."""
    if is_critical(kind) and kind not in KNOWN:
        raise UnknownFeatureError(
            f"{place}: found an unknown type that must be understood, expected a known one: a "
            "later version may read it"
        )


def section_size(kinds: bytes, start: bytes, place: str) -> tuple[int, int]:
    """Where the body of the section at `start`, of one of these types, begins and ends, relative to
    its marker.

    Raises CorruptError if the type differs or the length exceeds the maximum, TruncatedError.
    """
    head = len(MARKER) + TYPE_BYTES
    if len(start) < head and MARKER.startswith(start):
        raise TruncatedError(f"{place}: found the end of the data, expected a section")
    if start[:1] != MARKER or start[1] not in kinds:
        raise CorruptError(f"{place}: found {start[:head]!r}, expected a section {kinds.decode()}")
    length, body = decode_varint(start, head, f"{place}: length")
    if length > MAX_SECTION_BYTES:
        raise CorruptError(f"{place}: found {length} bytes, expected at most {MAX_SECTION_BYTES}")
    return body, body + length


def check_section(data: bytes, place: str, stamp: bytes = UNSTAMPED) -> None:
    """Raise CorruptError unless the checksum at the end of a section's bytes is valid."""
    found = data[-CHECKSUM_BYTES:]
    expected = _checksum(data[len(MARKER) : -CHECKSUM_BYTES], stamp)
    if found != expected:
        raise CorruptError(
            f"{place}: checksum does not match: found {found[::-1].hex()}, expected "
            f"{expected[::-1].hex()}: the file was altered, or this is of another archive"
        )


def read_section(
    source: ByteSource, at: int, kinds: bytes, what: str, size: int | None = None,
    stamp: bytes = UNSTAMPED,
) -> Section:  # fmt: skip
    """The section of one of these types at offset `at`, of this size if known; `what` names it in
    errors.

    Raises CorruptError, TruncatedError.
    """
    place = f"{source.name}: {what}"
    if not 0 <= at < source.size:
        raise TruncatedError(f"{place}: found byte {at} named as its place, beyond the end")
    start = source.read_at(at, min(LONGEST_HEAD, source.size - at), what)
    body, end = section_size(kinds, start, place)
    if size is not None and end + CHECKSUM_BYTES != size:
        raise CorruptError(f"{place}: found {end + CHECKSUM_BYTES} bytes, expected {size}")
    data = source.read_at(at, end + CHECKSUM_BYTES, what)
    check_section(data, place, stamp)
    return Section(data[1:2], data[body:end], at, at + len(data), data[end:])
