"""Blocks: neighbouring records under one header, with one checksum.

    number of records, varint | lengths of their payloads | payloads | checksum

A block holds one record, or up to MOST_RECORDS of together at most MOST_BYTES. The length of a
single record is a varint. Of several the least is a varint, then the number of low bits is a byte,
then comes what each has more than the least, as a Rice code (`storage.rice`).

The checksum is the CRC-32 of everything before it, XORed with the CRC-32 of the archive's stamp and
the first record's number (8 bytes), and with the number of the records' header. So a block of
another archive, in another's place, or under another header is detected.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.rice import best_low_bits, pack_rice, read_rice
from velcodec.formats.storage.varint import MAX_BYTES, decode_varint, encode_varint

MOST_RECORDS, MOST_BYTES = 64, 1 << 12
"""Records of a block, and bytes of the payloads of several."""

MAX_RECORD_BYTES = 1 << 31
CHECKSUM_BYTES = 4
MOST_LOW_BITS = 12
LONGEST_HEAD = 640
"""No head takes more bytes: it has at most a bit for each byte of its payloads, and MOST_LOW_BITS
and a zero for each record, beside three short integers.
"""

LEAST_BLOCK_BYTES = 2 + CHECKSUM_BYTES
"""A block of one empty record."""


@dataclass(frozen=True)
class BlockId:
    """The identity of a block: its archive (by stamp), the number of its first record, and the
    number of the header.

    The stamp is the checksum (4 bytes) of the archive's first header section.
    """

    stamp: bytes
    first: int
    header: int


@dataclass(frozen=True)
class Head:
    """What a block says of itself: the lengths of its payloads, and its own size in bytes."""

    lengths: tuple[int, ...]
    size: int

    @property
    def block_bytes(self) -> int:
        """Bytes of the whole block."""
        return self.size + sum(self.lengths) + CHECKSUM_BYTES

    @classmethod
    def of_single(cls, block_bytes: int) -> Head:
        """That of a block of one record, from the bytes of the whole block."""
        room = block_bytes - CHECKSUM_BYTES - 1
        size = next(n for n in range(1, MAX_BYTES + 1) if len(encode_varint(room - n)) <= n)
        return cls((room - size,), 1 + size)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where each payload begins and ends, relative to the block."""
        ends = accumulate(self.lengths, initial=self.size)
        return ((end, end + length) for end, length in zip(ends, self.lengths, strict=False))


def pack_block(block_id: BlockId, payloads: Sequence[bytes]) -> bytes:
    """The bytes of a block."""
    return b"".join(block_parts(block_id, payloads))


def block_parts(block_id: BlockId, payloads: Sequence[bytes]) -> list[bytes]:
    """What `pack_block` joins."""
    parts = [pack_head([len(payload) for payload in payloads]), *payloads]
    return [*parts, checksum_of(block_id, parts)]


def pack_head(lengths: Sequence[int]) -> bytes:
    """The head of a block of records of these payload lengths."""
    head = encode_varint(len(lengths))
    if len(lengths) == 1:
        return head + encode_varint(lengths[0])
    least = min(lengths)
    more = np.array(lengths, dtype=np.int64) - least
    low_bits = best_low_bits(more, MOST_LOW_BITS)
    return head + encode_varint(least) + bytes([low_bits]) + pack_rice(more, low_bits)


def read_head(start: bytes, place: str) -> Head:
    """The head of the block at the beginning of `start`.

    Raises CorruptError for an impossible one, TruncatedError if `start` is too short: LONGEST_HEAD
    bytes never are.
    """
    count, at = decode_varint(start, 0, f"{place}: records")
    if not 1 <= count <= MOST_RECORDS:
        raise CorruptError(f"{place}: found {count} records, expected 1 to {MOST_RECORDS}")
    least, at = decode_varint(start, at, f"{place}: length")
    if least >= MAX_RECORD_BYTES:
        raise CorruptError(f"{place}: found {least} bytes, expected under {MAX_RECORD_BYTES}")
    if count == 1:
        return Head((least,), at)
    if at >= len(start):
        raise TruncatedError(f"{place}: lengths: found the end of the data")
    low_bits = start[at]
    if low_bits > MOST_LOW_BITS or least * count > MOST_BYTES:
        raise CorruptError(
            f"{place}: lengths: found {count} of {least} bytes or more, and {low_bits} low bits, "
            f"expected at most {MOST_BYTES} in all, and {MOST_LOW_BITS}"
        )
    place = f"{place}: lengths"
    more, used = read_rice(start[at + 1 : LONGEST_HEAD], count, low_bits, place)
    total = int(more.sum()) + least * count
    if total > MOST_BYTES:
        raise CorruptError(
            f"{place}: found {total} bytes of {count} records, expected at most {MOST_BYTES}"
        )
    return Head(tuple((more + least).tolist()), at + 1 + used)


def checksum_of(block_id: BlockId, parts: Sequence[bytes]) -> bytes:
    """The checksum of a block whose other bytes are these `parts`."""
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    total ^= identity_of(block_id.stamp, block_id.first) ^ block_id.header
    return total.to_bytes(CHECKSUM_BYTES, "little")


def identity_of(stamp: bytes, first: int) -> int:
    """What the checksum of a block is XORed with for its archive and its first record."""
    return zlib.crc32(stamp + first.to_bytes(8, "little"))


def header_from_checksum(stamp: bytes, first: int, block: bytes) -> int:
    """The number of the header that an undamaged block belongs to if its first record has this
    number: each checksum fits exactly one.
    """
    found = int.from_bytes(block[-CHECKSUM_BYTES:], "little")
    return found ^ zlib.crc32(block[:-CHECKSUM_BYTES]) ^ identity_of(stamp, first)


def check_block(block_id: BlockId, head: Head, block: bytes, name: str) -> None:
    """Raise CorruptError unless the bytes are a block of this identity in the archive `name`."""
    expected = checksum_of(block_id, [block[:-CHECKSUM_BYTES]])
    found = block[-CHECKSUM_BYTES:]
    if found != expected:
        first, count = block_id.first, len(head.lengths)
        what = f"record {first}" if count == 1 else f"records {first} to {first + count - 1}"
        raise CorruptError(
            f"{name}: {what}: checksum does not match: found {found[::-1].hex()}, expected "
            f"{expected[::-1].hex()}: the file was altered, or this is of another archive or "
            "under another header"
        )


def least_bytes(records: int) -> int:
    """The fewest bytes that so many records take in blocks."""
    return LEAST_BLOCK_BYTES * -(-records // MOST_RECORDS) + (records // 8 if records > 1 else 0)


def is_full(payloads: Sequence[bytes]) -> bool:
    """Whether no record fits into a block of these."""
    return len(payloads) == MOST_RECORDS or sum(map(len, payloads)) >= MOST_BYTES


def blocks_of(lengths: Sequence[int], most: int = MOST_RECORDS) -> Iterator[slice]:
    """Which neighbouring records of these payload lengths make a block each, of at most `most`."""
    first = total = 0
    for row, length in enumerate(lengths):
        full = row - first == most or total + length > MOST_BYTES
        if row > first and full:
            yield slice(first, row)
            first, total = row, 0
        total += length
    if first < len(lengths):
        yield slice(first, len(lengths))
