"""What is taken for a record: its bytes stand together, and its checksum holds."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap

from velcodec.formats.container.framing import END_SIGNATURE, TAIL_BYTES, header_told
from velcodec.formats.container.page import StoredPage, checksum_bytes
from velcodec.formats.storage.varint import encode_varint

Bytes = bytes | mmap

SURE_BITS = 32
"""A record found in the middle of anything is believed for so many bits of checksums in a row."""


@dataclass(frozen=True)
class Found:
    """An intact record: its number, where its payload stands, the number of its header, which its
    checksum tells, its row in a page if one is there.
    """

    number: int
    start: int
    stop: int
    header: int
    page: StoredPage | None = None
    row: int = 0

    @property
    def begin(self) -> int:
        """Where its entry begins."""
        return self.start - len(encode_varint(self.stop - self.start + 1))

    @property
    def checksum_bytes(self) -> int:
        """Bytes of its checksum."""
        return checksum_bytes(self.stop - self.start)

    @property
    def end(self) -> int:
        """Where its entry ends."""
        return self.stop + self.checksum_bytes

    def payload(self, data: Bytes) -> bytes:
        """Its payload, of the bytes that it was found in."""
        return bytes(data[self.start : self.stop])


def header_of(data: Bytes, start: int, stop: int, number: int, stamp: bytes) -> int | None:
    """The number of the header under which the payload from `start` to `stop` would be that of
    record `number`; None where there are too few bytes.
    """
    size = checksum_bytes(stop - start)
    if stop + size > len(data) or number < 0:
        return None
    return header_told(stamp, number, bytes(data[start:stop]), bytes(data[stop : stop + size]))


def is_tail(data: Bytes, at: int) -> bool:
    """Whether what stands at `at` looks like a tail."""
    return bytes(data[at + TAIL_BYTES - len(END_SIGNATURE) : at + TAIL_BYTES]) == END_SIGNATURE
