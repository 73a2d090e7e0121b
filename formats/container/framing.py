"""How a `.vlat` archive is laid out: a signature, then records and sections in sequence.

docs/format.md is the specification. `writer` writes archives, `reader` reads them with random
access, `scan` reads them front to back, `append` adds to them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
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
"""The tail that follows every directory: the size of its section, then the end signature."""


def check_start(start: bytes, name: str) -> None:
    """Check the first bytes of an archive. Raises NotVlatError, TruncatedError or VersionError."""
    if start[: len(SIGNATURE)] != SIGNATURE:
        if start and SIGNATURE.startswith(start):
            raise TruncatedError(f"{name}: signature: found {start!r}, expected {SIGNATURE!r}")
        if start[:5].lower() in (b"<!doc", b"<html"):
            hint = "; a folder of shards ends with /" if is_url(name) else ""
            raise NotVlatError(
                f"{name}: found a web page ({start[:8]!r}), expected an archive{hint}"
            )
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
class RecordId:
    """The identity of a record: its archive (by stamp), its number, and its header's number.

    The stamp is the checksum (4 bytes) of the archive's first header section.
    """

    stamp: bytes
    number: int
    header: int


def record_checksum(record_id: RecordId, payload: bytes) -> bytes:
    """CRC-32 of stamp, record number (8 bytes, little-endian) and payload, XORed with the header's
    number; only the low 16 bits for a short payload.

    A given checksum therefore fits at most one header, whatever the payload.
    """
    return _checksum(record_id.stamp, record_id.number, payload, record_id.header)


def header_from_checksum(stamp: bytes, number: int, payload: bytes, found: bytes) -> int:
    """The number of the header that an undamaged record with the checksum `found` belongs to:
    each checksum fits exactly one header number.
    """
    other = _checksum(stamp, number, payload, 0)
    return int.from_bytes(found, "little") ^ int.from_bytes(other, "little")


def checksums_by_number(stamp: bytes, numbers: Iterable[int], payload: bytes) -> list[int]:
    """The checksums, as integers, of one payload under header 0, one for each record number."""
    mask = (1 << 8 * checksum_bytes(len(payload))) - 1
    starts = (zlib.crc32(stamp + number.to_bytes(8, "little")) for number in numbers)
    return [zlib.crc32(payload, start) & mask for start in starts]


def _checksum(stamp: bytes, number: int, payload: bytes, header: int) -> bytes:
    total = zlib.crc32(payload, zlib.crc32(stamp + number.to_bytes(8, "little"))) ^ header
    return total.to_bytes(LONG_CHECKSUM_BYTES, "little")[: checksum_bytes(len(payload))]


def check_record(record_id: RecordId, payload: bytes, found: bytes, name: str) -> None:
    """Raise CorruptError unless `found` is the checksum of this record of the archive `name`."""
    expected = record_checksum(record_id, payload)
    if found != expected:
        number = record_id.number
        raise CorruptError(
            f"{name}: record {number}: checksum does not match: found {found[::-1].hex()}, "
            f"expected {expected[::-1].hex()}: the file was altered, or the record is of another "
            "archive or under another header"
        )


def pack_tail(directory_bytes: int) -> bytes:
    """The tail that follows a directory section of this size."""
    return directory_bytes.to_bytes(4, "little") + END_SIGNATURE


def pack_entry(record_id: RecordId, payload: bytes) -> bytes:
    """A record as stored in the file: length, payload, checksum."""
    return b"".join(entry_parts(record_id, payload))


def entry_parts(record_id: RecordId, payload: bytes) -> tuple[bytes, bytes, bytes]:
    """What `pack_entry` joins."""
    return encode_varint(len(payload) + 1), payload, record_checksum(record_id, payload)


def entry_span(start: bytes, place: str) -> tuple[int, int]:
    """Where the payload of the entry at `start` begins and ends, relative to the entry.

    Raises CorruptError if the length exceeds the maximum, TruncatedError if `start` is too short.
    """
    more, at = decode_varint(start, 0, place)
    length = more - 1
    if not 0 <= length < MAX_RECORD_BYTES:
        raise CorruptError(f"{place}: found {length} bytes, expected under {MAX_RECORD_BYTES}")
    return at, at + length
