"""Signed integers that are small as a rule: how far samples lie from what was foreseen.

A miss goes as its number of bits (unary, adaptive bits in the context of how large recent misses
were), its sign and the bits below the leading one: an exponential Golomb code with adaptive bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import Coder, code_bit, code_bits

Int64 = NDArray[np.int64]

ENERGIES = 48
"""Classes of how large recent misses were, two to a doubling."""

MOST_BITS = 63
TILTS = 9
"""Contexts of the sign."""

MODELLED_TAIL = 2
"""Bits below the leading one of a miss that are adaptive; those further down are raw."""

OTHER_SYMBOLS = 8
"""At most so many for a miss, beside one for each bit of its size."""

FIRST_STOP = (2000, 6000, 14000, 26000, 42000, 54000, 61000)
"""Frequency of a miss having no more bits, from far below the usual size to far above it."""


@njit(cache=True)
def bit_length(value: int) -> int:
    """Bits of an integer that is not negative."""
    bits = 0
    while value > 0:
        value >>= 1
        bits += 1
    return bits


@njit(cache=True)
def energy_class(energy: int) -> int:
    """The context of a miss after recent ones of such a size, about seven times their mean."""
    bits = bit_length(energy)
    half = 1 if bits > 1 and (energy >> (bits - 2)) & 1 else 0
    return min(2 * bits + half, ENERGIES - 1)


@njit(cache=True)
def first_models() -> tuple[Int64, Int64, Int64]:
    """Adaptive bits before the first miss: `stops`, `signs` and `tails` of `code_miss`."""
    stops = np.zeros((ENERGIES, MOST_BITS + 1, 2), dtype=np.int64)
    for e in range(ENERGIES):
        for k in range(MOST_BITS + 1):
            place = min(max(2 * k - e + 5, 0), 2 * len(FIRST_STOP) - 1) // 2
            stops[e, k, 0] = (1 << 16) - FIRST_STOP[place]
            stops[e, k, 1] = 2
    signs = np.zeros((TILTS, 2), dtype=np.int64)
    tails = np.zeros((MOST_BITS + 1, 1 << MODELLED_TAIL, 2), dtype=np.int64)
    signs[:, 0] = 1 << 15
    tails[:, :, 0] = 1 << 15
    return stops, signs, tails


@njit(cache=True)
def code_miss(
    miss: int, energy: int, tilt: int, stops: Int64, signs: Int64, tails: Int64, coder: Coder
) -> int:
    """A signed integer: its number of bits, its sign, the bits below the leading one."""
    size = abs(miss)
    wanted = bit_length(size)
    bits = 0
    row = stops[energy]
    while bits < MOST_BITS and code_bit(int(wanted > bits), row[bits], coder):
        bits += 1
    if bits == 0:
        return 0
    negative = code_bit(int(miss < 0), signs[tilt], coder)
    found = 1
    left = bits - 1
    place = 1
    while left > 0 and place < 1 << MODELLED_TAIL:
        left -= 1
        bit = code_bit((size >> left) & 1, tails[bits, place], coder)
        found = (found << 1) | bit
        place = (place << 1) | bit
    found = code_bits(size, found, left, coder)
    return -found if negative else found
