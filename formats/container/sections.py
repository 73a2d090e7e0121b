"""Sections: what stands in an archive beside its records, framed so that any reader can pass over.

    00 | type, a letter | length, varint | body | CRC-32 of all between the 00 and here, exclusive
                                                 or the archive's stamp

The stamp is the checksum of the first header's section, which has none itself; so no section, and
no record, of another archive passes for one of this. The first header's body begins with OPENING
bytes that tell archives of equal headers apart.

A small type may be passed over by a reader; any other must be understood. Small ones that the
directory lists are kept on copy. A record never begins with 00. This module knows where a section
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
"""Of the first header's section, the only one without a stamp."""

OPENING = 4
LONGEST_HEAD = len(MARKER) + TYPE_BYTES + MAX_BYTES

HEADER, USE, DECODER, PAGE, DIRECTORY = b"H", b"U", b"D", b"P", b"L"
KNOWN = (HEADER, USE, DECODER, PAGE, DIRECTORY)

PLAN, SUMMARY = b"p", b"s"
"""Notes of a writer to itself: what is being done, and what was measured so far."""

MAX_SECTION_BYTES = 1 << 28


@dataclass(frozen=True)
class Section:
    """A section's type and body, where it stands in the file, and its checksum."""

    kind: bytes
    body: bytes
    at: int
    end: int
    checksum: bytes


@dataclass(frozen=True)
class Place:
    """Where a section stands: offset of its marker, and bytes of all of it."""

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
    """Whether a reader that does not know this type cannot go on."""
    return not b"a" <= kind <= b"z"


def check_known(kind: bytes, place: str) -> None:
    """Raise UnknownFeatureError for a section that must be understood and is not known."""
    if is_critical(kind) and kind not in KNOWN:
        raise UnknownFeatureError(
            f"{place}: found a type that must be understood, expected one known here: a later "
            "version may read it"
        )


def section_size(kind: bytes, start: bytes, place: str) -> tuple[int, int]:
    """Where the body begins and ends, counted from the marker, in what begins with `start`.

    Raises CorruptError where another type stands there, or more bytes than a section may have,
    TruncatedError.
    """
    head = len(MARKER) + TYPE_BYTES
    if len(start) < head and (MARKER + kind).startswith(start):
        raise TruncatedError(f"{place}: found the end of the data, expected a section")
    if start[:head] != MARKER + kind:
        raise CorruptError(f"{place}: found {start[:head]!r}, expected a section {kind.decode()}")
    length, body = decode_varint(start, head, f"{place}: length")
    if length > MAX_SECTION_BYTES:
        raise CorruptError(f"{place}: found {length} bytes, expected at most {MAX_SECTION_BYTES}")
    return body, body + length


def check_section(data: bytes, place: str, stamp: bytes = UNSTAMPED) -> None:
    """Raise CorruptError unless the checksum at the end of these bytes of a section holds."""
    found = data[-CHECKSUM_BYTES:]
    expected = _checksum(data[len(MARKER) : -CHECKSUM_BYTES], stamp)
    if found != expected:
        raise CorruptError(
            f"{place}: checksum does not match: found {found[::-1].hex()}, expected "
            f"{expected[::-1].hex()}: the file was altered, or this is of another archive"
        )


def read_section(
    source: ByteSource, at: int, kind: bytes, what: str, size: int | None = None,
    stamp: bytes = UNSTAMPED,
) -> Section:  # fmt: skip
    """The section of this type, and of this size if it is known, at offset `at`; `what` names it in
    errors.

    Raises CorruptError, TruncatedError.
    """
    place = f"{source.name}: {what}"
    if not 0 <= at < source.size:
        raise TruncatedError(f"{place}: found byte {at} named as its place, beyond the end")
    start = source.read_at(at, min(LONGEST_HEAD, source.size - at), what)
    body, end = section_size(kind, start, place)
    if size is not None and end + CHECKSUM_BYTES != size:
        raise CorruptError(f"{place}: found {end + CHECKSUM_BYTES} bytes, expected {size}")
    data = source.read_at(at, end + CHECKSUM_BYTES, what)
    check_section(data, place, stamp)
    return Section(kind, data[body:end], at, at + len(data), data[end:])
