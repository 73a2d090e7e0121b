"""Sizes and signs of integers: as contexts, and coded bit by bit."""

from __future__ import annotations

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.learned_bits import code_learned
from velcodec.formats.entropy.symbols import Coder, code_bit, code_bits

MOST_BITS = 48
"""Of a size that `code_size` codes."""


@njit(cache=True)
def bit_length(value: int) -> int:
    """Bits of an integer that is not negative."""
    bits = 0
    while value > 0:
        value >>= 1
        bits += 1
    return bits


@njit(cache=True)
def size_class(energy: int, most: int) -> int:
    """Half octaves."""
    if energy < 3:
        return min(energy, most)
    bits = bit_length(energy)
    return min(2 * bits - 1 + ((energy >> (bits - 2)) & 1), most)


@njit(cache=True)
def sign_of(value: int) -> int:
    """-1, 0 or 1."""
    return int(value > 0) - int(value < 0)


@njit(cache=True)
def code_below(
    size: int, bits: int, row: Int64, tails: Int64, found: Int64, rate: int, coder: Coder
) -> int:
    """A size of `bits` bits, the leading one of which is known: the next one is learned, in `row`
    for sizes of two bits, the others are raw.
    """
    if bits == 1:
        return 1
    left = bits - 2
    bit = (size >> left) & 1
    if bits == 2:
        bit = code_learned(bit, row, found, rate, coder)
    else:
        bit = code_bit(bit, tails[bits], coder)
    return code_bits(size, 2 | bit, left, coder)


@njit(cache=True)
def code_size(value: int, stops: Int64, coder: Coder) -> int:
    """An integer that is not negative, of which nothing is known but those before it."""
    wanted = bit_length(value)
    bits = 0
    while bits < MOST_BITS and code_bit(int(wanted > bits), stops[bits], coder):
        bits += 1
    return code_bits(value, 1, bits - 1, coder) if bits > 0 else 0
