"""What is taken for a record: its bytes stand together, and its checksum holds."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap

from velcodec.formats.container.framing import END_SIGNATURE, TAIL_BYTES, header_told
from velcodec.formats.container.page import StoredPage, checksum_bytes
from velcodec.formats.storage.varint import encode_varint

Bytes = bytes | mmap

FREE_WORK, WORK_OF_BYTE, STEP = 1 << 29, 1 << 10, 1 << 11
"""Bytes that a repair hashes: so many in any file, and so many for each of its bytes; a place that
is tried counts as a step of so many, which takes as long.
"""

SURE_BITS = 32
"""A record found in the middle of anything is believed for so many bits of checksums in a row."""


class Work:
    """What may still be done for a file of `size` bytes. Where nothing is left, nothing more is
    tried, and what was not found is lost.
    """

    def __init__(self, size: int) -> None:
        self._left = FREE_WORK + WORK_OF_BYTE * size

    def allows(self, hashed: int, steps: int = 1) -> bool:
        """Whether so many bytes may be hashed in so many steps, which counts as done."""
        self._left -= hashed + steps * STEP
        return self._left >= 0


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


def header_of(
    data: Bytes, start: int, stop: int, number: int, stamp: bytes, work: Work | None = None
) -> int | None:
    """The number of the header under which the payload from `start` to `stop` would be that of
    record `number`; None where there are too few bytes, or `work` is used up.
    """
    size = checksum_bytes(stop - start)
    if stop + size > len(data) or number < 0:
        return None
    if work is not None and not work.allows(stop - start):
        return None
    return header_told(stamp, number, bytes(data[start:stop]), bytes(data[stop : stop + size]))


def is_tail(data: Bytes, at: int) -> bool:
    """Whether what stands at `at` looks like a tail."""
    return bytes(data[at + TAIL_BYTES - len(END_SIGNATURE) : at + TAIL_BYTES]) == END_SIGNATURE
