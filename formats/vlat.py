"""The .vlat container: signature, header, records with checksums, index. Format version 0.

It knows where bytes stand and whether they are whole; what a record means is `record`'s and
`tile_stream`'s business. docs/format.md is the specification.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import (
    CorruptError,
    KeyNotFoundError,
    NotVlatError,
    OptionError,
    TruncatedError,
    VersionError,
)
from .footer import MAX_KEY_BYTES, MAX_RECORD_BYTES, MIN_RECORD_BYTES, Footer
from .header import MAX_HEADER_BYTES, Header, Layout, Source
from .quality import Quality
from .source import ByteSource
from .varint import MAX_BYTES, decode_varint, encode_varint

SIGNATURE = b"\x89VLT\r\n\x1a\n"
VERSION = 0
END_SIGNATURE = b"vlt\n"
CHECKSUM_BYTES = 2
TRAILER_BYTES = 12
END_OF_RECORDS = b"\x00"
_ORDINAL = re.compile(r"0|[1-9][0-9]{0,17}")


def record_checksum(number: int, payload: bytes) -> bytes:
    """Low 16 bits of the CRC-32 of the record's number (8 bytes, little-endian) and its payload."""
    total = zlib.crc32(payload, zlib.crc32(number.to_bytes(8, "little")))
    return (total & 0xFFFF).to_bytes(CHECKSUM_BYTES, "little")


class VlatWriter:
    """Writes an archive from front to back, without seeking, so that it can go into a pipe."""

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._stream = stream
        self._lengths: list[int] = []
        self._keys: dict[str, None] = {}
        self._quality: list[Quality] = []
        body = header.to_bytes()
        start = SIGNATURE + bytes([VERSION]) + encode_varint(len(body)) + body
        stream.write(start + zlib.crc32(start).to_bytes(4, "little"))

    def add(self, payload: bytes, key: str | None = None, quality: Quality | None = None) -> None:
        """Append one record. Keys and quality are given for every record or for none.

        Raises `OptionError` where they are not, for a key that is there already, is longer than
        1024 bytes or not UTF-8, and for a payload of 2 GiB.
        """
        number = len(self._lengths)
        self._check_column("key", key, len(self._keys))
        self._check_column("quality", quality, len(self._quality))
        if len(payload) >= MAX_RECORD_BYTES:
            raise OptionError(
                f"record {number}: found {len(payload)} bytes, expected under {MAX_RECORD_BYTES}"
            )
        if key is not None:
            _check_key(key, self._keys)
            self._keys[key] = None
        if quality is not None:
            self._quality.append(quality)
        self._lengths.append(len(payload))
        entry = encode_varint(len(payload) + 1) + payload
        self._stream.write(entry + record_checksum(number, payload))

    def _check_column(self, name: str, value: object, filled: int) -> None:
        number = len(self._lengths)
        if number and (value is None) != (filled == 0):
            raise OptionError(
                f"record {number}: {name}: found {'none' if value is None else 'one'}, "
                f"expected {'none' if filled == 0 else 'one'} as for the records before it"
            )

    def close(self) -> None:
        """Write the index; nothing can be added after it."""
        footer = Footer(tuple(self._lengths), tuple(self._keys), tuple(self._quality))
        body = footer.to_bytes()
        sizes = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little")
        self._stream.write(END_OF_RECORDS + body + sizes + END_SIGNATURE)


def _check_key(key: str, known: Collection[str]) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise OptionError(f"key {key!r}: expected text that UTF-8 can hold") from error
    if size > MAX_KEY_BYTES:
        raise OptionError(
            f"key {key[:40]!r}...: found {size} bytes, expected at most {MAX_KEY_BYTES}"
        )
    if key in known:
        raise OptionError(f"key {key!r}: found it twice, expected each key once")


class VlatReader:
    """Reads an archive: header and index when opened, each record when asked for.

    Raises NotVlatError, VersionError, TruncatedError, CorruptError, InputFileError.
    """

    def __init__(self, source: str | Path | bytes | BinaryIO) -> None:
        self._source = ByteSource(source)
        try:
            self.header, self._first = self._read_header()
            self._footer = self._read_footer()
        except BaseException:
            self._source.close()
            raise

    def _fail(self, place: str, message: str) -> CorruptError:
        return CorruptError(f"{self._source.name}: {place}: {message}")

    def _read_header(self) -> tuple[Header, int]:
        source, fixed = self._source, len(SIGNATURE) + 1
        start = source.read_at(0, min(source.size, fixed + MAX_BYTES), "signature")
        if start[: len(SIGNATURE)] != SIGNATURE:
            if start and SIGNATURE.startswith(start):
                raise TruncatedError(f"{source.name}: signature: found {len(start)} bytes of it")
            raise NotVlatError(
                f"{source.name}: signature: found {start[:8]!r}, expected {SIGNATURE!r}"
            )
        if len(start) < fixed:
            raise TruncatedError(f"{source.name}: version: found the end of the file")
        if start[fixed - 1] != VERSION:
            raise VersionError(
                f"{source.name}: format version: found {start[fixed - 1]}, expected {VERSION}"
            )
        length, at = decode_varint(start, fixed, f"{source.name}: header length")
        if length > MAX_HEADER_BYTES:
            raise self._fail("header", f"found {length} bytes, expected at most {MAX_HEADER_BYTES}")
        whole = source.read_at(0, at + length + 4, "header")
        if zlib.crc32(whole[:-4]) != int.from_bytes(whole[-4:], "little"):
            raise self._fail("header", "checksum does not match: the file was altered")
        try:
            return Header.from_bytes(whole[at:-4]), at + length + 4
        except CorruptError as error:
            raise CorruptError(f"{source.name}: {error}") from error

    def _read_footer(self) -> Footer:
        source = self._source
        trailer = source.read_at(source.size - TRAILER_BYTES, TRAILER_BYTES, "end of the archive")
        if trailer[8:] != END_SIGNATURE:
            raise TruncatedError(
                f"{source.name}: end signature: found {trailer[8:]!r}, expected {END_SIGNATURE!r}: "
                "the archive is cut off or was altered at its end"
            )
        length = int.from_bytes(trailer[:4], "little")
        at = source.size - TRAILER_BYTES - length
        if at < self._first + 1:
            raise self._fail("index", f"found a length of {length} bytes, more than the file has")
        body = source.read_at(at, length, "index")
        if zlib.crc32(body) != int.from_bytes(trailer[4:8], "little"):
            raise self._fail("index", "checksum does not match: the file was altered")
        room = at - self._first - len(END_OF_RECORDS)
        footer = Footer.from_bytes(body, room // MIN_RECORD_BYTES, self._source.name)
        used = int(footer.entry_bytes(CHECKSUM_BYTES).sum())
        if used != room:
            raise self._fail("index", f"found records of {used} bytes, expected {room}")
        if source.read_at(at - 1, 1, "end of records") != END_OF_RECORDS:
            raise self._fail("end of records", "marker not found: the file was altered")
        return footer

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        """Where each record's entry starts in the file."""
        sizes = self._footer.entry_bytes(CHECKSUM_BYTES)
        return self._first + np.cumsum(sizes) - sizes

    def __len__(self) -> int:
        return len(self._footer.lengths)

    def payload(self, number: int) -> bytes:
        """Payload of record `number`, its checksum verified.

        Raises KeyNotFoundError for a number out of range, CorruptError where it was altered.
        """
        if not 0 <= number < len(self):
            raise KeyNotFoundError(
                f"{self._source.name}: record: found number {number}, expected 0 to {len(self) - 1}"
            )
        length = int(self._footer.lengths[number])
        prefix = encode_varint(length + 1)
        size = len(prefix) + length + CHECKSUM_BYTES
        entry = self._source.read_at(int(self._offsets[number]), size, f"record {number}")
        payload = entry[len(prefix) : -CHECKSUM_BYTES]
        if entry[: len(prefix)] != prefix:
            raise self._fail(f"record {number}", "length differs from the index's")
        if entry[-CHECKSUM_BYTES:] != record_checksum(number, payload):
            raise self._fail(f"record {number}", "checksum does not match: the file was altered")
        return payload

    def payloads(self) -> Iterator[bytes]:
        """Every record's payload in order."""
        return (self.payload(number) for number in range(len(self)))

    @property
    def name(self) -> str:
        """Path or name of the archive."""
        return self._source.name

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        return self._source.size

    @property
    def keys(self) -> tuple[str, ...] | None:
        """Keys in order; None where the numbers are the keys."""
        return self._footer.keys or None

    @property
    def quality(self) -> tuple[Quality, ...] | None:
        """Measured quality of each record, where it was stored."""
        return self._footer.quality or None

    @property
    def lengths(self) -> tuple[int, ...]:
        """Payload bytes of every record."""
        return self._footer.lengths

    @cached_property
    def _number_of_key(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self._footer.keys)}

    def key_index(self, key: str) -> int:
        """Number of the record with this key. Raises `KeyNotFoundError`."""
        number = self._number_of_key.get(key)
        if number is None and not self._footer.keys and _ORDINAL.fullmatch(key):
            number = int(key)
        if number is None or number >= len(self):
            raise KeyNotFoundError(f"{self._source.name}: key: found no model with key {key!r}")
        return number

    def close(self) -> None:
        """Close the file, if the reader opened it."""
        self._source.close()

    def __enter__(self) -> VlatReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


__all__ = ["Header", "Layout", "Quality", "Source", "VlatReader", "VlatWriter", "record_checksum"]
