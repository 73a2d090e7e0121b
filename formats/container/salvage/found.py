"""Intact records: entries whose checksum is valid."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap

from velcodec.formats.container.framing import END_SIGNATURE, TAIL_BYTES, header_from_checksum
from velcodec.formats.container.page import StoredPage, checksum_bytes
from velcodec.formats.storage.varint import encode_varint

Bytes = bytes | mmap

FREE_WORK, WORK_OF_BYTE, STEP = 1 << 29, 1 << 10, 1 << 11
"""Limits on the work of a repair, in bytes hashed: this many for any file, plus this many per byte
of it. Trying a place counts as STEP bytes, which take as long.
"""

SURE_BITS = 32
"""Bits of consecutive checksums that must agree before a record in an unknown place is believed."""


class Work:
    """The work left for a file of `size` bytes. When it is used up, nothing more is tried, and what
    was not found is lost.
    """

    def __init__(self, size: int) -> None:
        self._left = FREE_WORK + WORK_OF_BYTE * size

    def allows(self, hashed: int, steps: int = 1) -> bool:
        """Charge `hashed` bytes and `steps` steps. Returns whether the limit allows them."""
        self._left -= hashed + steps * STEP
        return self._left >= 0


@dataclass(frozen=True)
class Found:
    """A record: its number, where its payload is, the number of its header (from its checksum), and
    its page and row, if a page lists it. One that is not `intact` is where its page says.
    """

    number: int
    start: int
    stop: int
    header: int
    page: StoredPage | None = None
    row: int = 0
    intact: bool = True

    @property
    def begin(self) -> int:
        """Where the entry begins."""
        return self.start - len(encode_varint(self.stop - self.start + 1))

    @property
    def checksum_bytes(self) -> int:
        """Bytes of the checksum."""
        return checksum_bytes(self.stop - self.start)

    @property
    def end(self) -> int:
        """Where the entry ends."""
        return self.stop + self.checksum_bytes

    def payload(self, data: Bytes) -> bytes:
        """The payload, from the bytes in which it was found."""
        return bytes(data[self.start : self.stop])


def header_of(
    data: Bytes, start: int, stop: int, number: int, stamp: bytes, work: Work | None = None
) -> int | None:
    """The number of the header under which the payload from `start` to `stop` is that of record
    `number`; None if there are too few bytes or `work` is used up.
    """
    size = checksum_bytes(stop - start)
    if stop + size > len(data) or number < 0:
        return None
    if work is not None and not work.allows(stop - start):
        return None
    return header_from_checksum(
        stamp, number, bytes(data[start:stop]), bytes(data[stop : stop + size])
    )


def is_tail(data: Bytes, at: int) -> bool:
    """Whether the bytes at `at` look like a tail."""
    return bytes(data[at + TAIL_BYTES - len(END_SIGNATURE) : at + TAIL_BYTES]) == END_SIGNATURE
