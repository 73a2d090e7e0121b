"""Rice codes: small integers in few bits, without tables.

An integer v with k low bits is v div 2^k in unary, so many ones and a zero, and its k low bits. The
unary parts of all integers come first, then the low bits of each, least significant first. Bits
fill each byte from the lowest to the highest; unused ones at the end are zero.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.errors import CorruptError, TruncatedError


def best_low_bits(values: Int64, most: int) -> int:
    """The number of low bits, at most `most`, that takes the fewest bits."""
    return min(range(most + 1), key=lambda k: int((values >> k).sum()) + k * len(values))


def pack_rice(values: Int64, low_bits: int) -> bytes:
    """The code of integers (n,) >= 0 with so many low bits."""
    ends = np.cumsum((values >> low_bits) + 1)
    bits = np.ones(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    bits[ends - 1] = 0
    low = (values[:, None] >> np.arange(low_bits)) & 1
    return np.packbits(
        np.concatenate([bits, low.ravel()]).astype(np.uint8), bitorder="little"
    ).tobytes()


def read_rice(data: bytes, count: int, low_bits: int, place: str) -> tuple[Int64, int]:
    """So many integers (n,) from the beginning of `data`, and the bytes that they take.

    Raises TruncatedError if `data` ends before, CorruptError for unused bits that are not zero.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    zeros = np.flatnonzero(bits == 0)[:count]
    end = int(zeros[-1]) + 1 if count and len(zeros) else 0
    stop = end + count * low_bits
    if len(zeros) < count or stop > len(bits):
        raise TruncatedError(f"{place}: found the end of the data, expected {count} integers")
    low = bits[end:stop].reshape(count, low_bits).astype(np.int64) << np.arange(low_bits)
    values: Int64 = (np.diff(zeros, prepend=-1) - 1 << low_bits) + low.sum(axis=1)
    used = -(-stop // 8)
    if bits[stop : 8 * used].any():
        raise CorruptError(f"{place}: found bits behind the last integer, expected zeros")
    return values, used
