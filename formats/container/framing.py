"""How a `.vlat` archive is laid out: signature, then records and sections, one after another.

docs/format.md is the specification. `writer` writes archives, `reader` reads them at any place,
`scan` reads them from front to back, `append` adds to them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from velcodec.formats.container.page import LONG_CHECKSUM_BYTES, MAX_RECORD_BYTES, checksum_bytes
from velcodec.formats.errors import CorruptError, NotVlatError, TruncatedError, VersionError
from velcodec.formats.storage.source import is_url
from velcodec.formats.storage.varint import decode_varint, encode_varint

SIGNATURE = b"\x89VLT\r\n\x1a\n"
VERSION = 1
START = SIGNATURE + bytes([VERSION])
END_SIGNATURE = b"vlt\n"
TAIL_BYTES = 4 + len(END_SIGNATURE)
"""Behind every directory: its size, section and all, and the end signature."""


def check_start(start: bytes, name: str) -> None:
    """Raise NotVlatError, TruncatedError or VersionError unless an archive begins so."""
    if start[: len(SIGNATURE)] != SIGNATURE:
        if start and SIGNATURE.startswith(start):
            raise TruncatedError(f"{name}: signature: found {start!r}, expected {SIGNATURE!r}")
        if start[:5].lower() in (b"<!doc", b"<html"):
            hint = "; a folder of shards ends with /" if is_url(name) else ""
            raise NotVlatError(f"{name}: found a page ({start[:8]!r}), expected an archive{hint}")
        raise NotVlatError(f"{name}: signature: found {start[:8]!r}, expected {SIGNATURE!r}")
    if len(start) < len(START):
        raise TruncatedError(f"{name}: version: found the end of the file, expected a byte")
    if start[-1] == 0:
        raise VersionError(
            f"{name}: format version: found 0, expected {VERSION}: written before the format was "
            "settled, which no later version reads"
        )
    if start[-1] != VERSION:
        raise VersionError(f"{name}: format version: found {start[-1]}, expected {VERSION}")


@dataclass(frozen=True)
class Belongs:
    """Where a record belongs: the archive by its stamp, the record's number, its header's.

    The stamp is the checksum (4 bytes) of the section of the archive's first header.
    """

    stamp: bytes
    number: int
    header: int


def record_checksum(belongs: Belongs, payload: bytes) -> bytes:
    """CRC-32 of the archive's stamp, the record's number (8 bytes, little-endian) and its payload,
    exclusive or the number of its header; the low 16 bits where the payload is short.

    So of two headers at most one fits a record, whatever is in it.
    """
    return _checksum(belongs.stamp, belongs.number, payload, belongs.header)


def header_told(stamp: bytes, number: int, payload: bytes, found: bytes) -> int:
    """The number of the header that a record with the checksum `found` comes under, should nothing
    of it be damaged: a checksum fits one header of those that an archive may have.
    """
    other = _checksum(stamp, number, payload, 0)
    return int.from_bytes(found, "little") ^ int.from_bytes(other, "little")


def _checksum(stamp: bytes, number: int, payload: bytes, header: int) -> bytes:
    total = zlib.crc32(payload, zlib.crc32(stamp + number.to_bytes(8, "little"))) ^ header
    return total.to_bytes(LONG_CHECKSUM_BYTES, "little")[: checksum_bytes(len(payload))]


def check_record(belongs: Belongs, payload: bytes, found: bytes, name: str) -> None:
    """Raise CorruptError unless `found` is the checksum of this record of the archive `name`."""
    expected = record_checksum(belongs, payload)
    if found != expected:
        number = belongs.number
        raise CorruptError(
            f"{name}: record {number}: checksum does not match: found {found[::-1].hex()}, "
            f"expected {expected[::-1].hex()}: the file was altered, or the record is of another "
            "archive or under another header"
        )


def pack_tail(directory_bytes: int) -> bytes:
    """What stands behind a directory of so many bytes."""
    return directory_bytes.to_bytes(4, "little") + END_SIGNATURE


def pack_entry(belongs: Belongs, payload: bytes) -> bytes:
    """A record as it stands in the file: length, payload, checksum."""
    return encode_varint(len(payload) + 1) + payload + record_checksum(belongs, payload)


def entry_span(start: bytes, place: str) -> tuple[int, int]:
    """Where the payload begins and ends, counted from the entry, in what begins with `start`.

    Raises CorruptError for more bytes than a payload may have, TruncatedError.
    """
    more, at = decode_varint(start, 0, place)
    length = more - 1
    if not 0 <= length < MAX_RECORD_BYTES:
        raise CorruptError(f"{place}: found {length} bytes, expected under {MAX_RECORD_BYTES}")
    return at, at + length
