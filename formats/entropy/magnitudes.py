"""Magnitudes and signs of integers: as contexts, and coded bit by bit."""

from __future__ import annotations

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.learned_bits import code_learned
from velcodec.formats.entropy.symbols import Coder, code_bit, code_bits

MOST_BITS = 48
"""Most bits of a magnitude that `code_size` codes."""


@njit(cache=True)
def bit_length(value: int) -> int:
    """Number of bits of a non-negative integer, 0 for 0."""
    bits = 0
    if value >= 1 << 32:
        value >>= 32
        bits = 32
    # In halves, as hundreds of millions of contexts need it.
    if value >= 1 << 16:
        value >>= 16
        bits += 16
    if value >= 1 << 8:
        value >>= 8
        bits += 8
    if value >= 1 << 4:
        value >>= 4
        bits += 4
    if value >= 1 << 2:
        value >>= 2
        bits += 2
    return bits + min(max(value, 0), 2)


@njit(cache=True)
def size_class(energy: int, most: int) -> int:
    """Class of a magnitude in half octaves, at most `most`."""
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
    size: int, bits: int, row: Int64, tails: Int64, features: Int64, rate: int, coder: Coder
) -> int:
    """Code what follows the leading 1 of a magnitude of `bits` bits: one learned bit (of `row` if
    there are two, else an adaptive one of `tails`), the rest raw.
    """
    if bits == 1:
        return 1
    raw = bits - 2
    bit = (size >> raw) & 1
    if bits == 2:
        bit = code_learned(bit, row, features, rate, coder)
    else:
        bit = code_bit(bit, tails[bits], coder)
    return code_bits(size, 2 | bit, raw, coder)


@njit(cache=True)
def code_size(value: int, stops: Int64, coder: Coder) -> int:
    """Code a non-negative integer: number of bits by the adaptive bits `stops`, the rest raw."""
    wanted = bit_length(value)
    bits = 0
    while bits < MOST_BITS and code_bit(int(wanted > bits), stops[bits], coder):
        bits += 1
    return code_bits(value, 1, bits - 1, coder) if bits > 0 else 0
