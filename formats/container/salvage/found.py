"""Intact blocks and their records: those whose checksum is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

from velcodec.formats.container.block import LONGEST_HEAD, Head, header_from_checksum, read_head
from velcodec.formats.container.framing import END_SIGNATURE, TAIL_BYTES
from velcodec.formats.container.page import StoredPage
from velcodec.formats.errors import CorruptError, TruncatedError

Bytes = bytes | mmap

FREE_WORK, WORK_OF_BYTE, STEP = 1 << 29, 1 << 10, 1 << 11
"""Limits on the work of a repair, in bytes hashed: this many for any file, plus this many per byte
of it. Trying a place counts as STEP bytes, which take as long.
"""


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
class FoundBlock:
    """A block: the number of its first record, where it begins, its head, the number of its header
    (from its checksum), and its page and the row of the first record there, if a page lists it. One
    that is not `intact` is where its page says.
    """

    first: int
    begin: int
    head: Head
    header: int
    page: StoredPage | None = None
    row: int = 0
    intact: bool = True

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.begin + self.head.block_bytes

    @property
    def after(self) -> int:
        """The number of the next block's first record."""
        return self.first + len(self.head.lengths)

    def records(self) -> Iterator[Found]:
        """Its records."""
        for k, (start, stop) in enumerate(self.head.spans()):
            yield Found(self, k, self.begin + start, self.begin + stop)


@dataclass(frozen=True)
class Found:
    """A record: its block, its place there, and where its payload begins and ends."""

    block: FoundBlock
    place: int
    start: int
    stop: int

    @property
    def number(self) -> int:
        """Its number in the archive."""
        return self.block.first + self.place

    @property
    def header(self) -> int:
        """The number of its header."""
        return self.block.header

    @property
    def page(self) -> StoredPage | None:
        """The page that lists it, if one does."""
        return self.block.page

    @property
    def row(self) -> int:
        """Its row there."""
        return self.block.row + self.place

    @property
    def intact(self) -> bool:
        """Whether its block is."""
        return self.block.intact

    def payload(self, data: Bytes) -> bytes:
        """The payload, from the bytes in which it was found."""
        return bytes(data[self.start : self.stop])


def head_at(data: Bytes, at: int, end: int) -> Head | None:
    """The head of a block at `at`, or None if there is none that fits before `end`."""
    if at >= end or not 1 <= data[at] <= 127:
        return None
    try:
        head = read_head(bytes(data[at : at + LONGEST_HEAD]), "block")
    except (CorruptError, TruncatedError):
        return None
    return head if at + head.block_bytes <= end else None


def header_of(
    data: Bytes, at: int, head: Head, first: int, stamp: bytes, work: Work | None = None
) -> int | None:
    """The number of the header under which the block at `at` is the one that begins with record
    `first`; None if `work` is used up.
    """
    if work is not None and not work.allows(head.block_bytes):
        return None
    return header_from_checksum(stamp, first, bytes(data[at : at + head.block_bytes]))


def is_tail(data: Bytes, at: int) -> bool:
    """Whether the bytes at `at` look like a tail."""
    return bytes(data[at + TAIL_BYTES - len(END_SIGNATURE) : at + TAIL_BYTES]) == END_SIGNATURE
