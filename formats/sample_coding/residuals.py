"""Residuals of predictions: signed integers, mostly small.

The code is exponential Golomb with adaptive bits: the number of bits in unary, in the context of
the size of recent residuals; the sign; the bits below the leading 1.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.entropy.symbols import Coder, code_bit, code_bits

ENERGIES = 48
"""Classes of the size of recent residuals, two per octave."""

MOST_BITS = 63
TILTS = 9
"""Contexts of the sign."""

MODELLED_TAIL = 2
"""Adaptive bits below the leading 1; the bits below these are raw."""

OTHER_SYMBOLS = 8
"""Most symbols of a residual, not counting one for each bit of its magnitude."""

FIRST_STOP = (2000, 6000, 14000, 26000, 42000, 54000, 61000)
"""Initial frequency of "no more bits", from far below the expected size to far above it."""


@njit(cache=True)
def energy_class(energy: int) -> int:
    """The context for an energy of recent residuals, about seven times their mean magnitude."""
    bits = bit_length(energy)
    half = 1 if bits > 1 and (energy >> (bits - 2)) & 1 else 0
    return min(2 * bits + half, ENERGIES - 1)


@njit(cache=True)
def first_models() -> tuple[Int64, Int64, Int64]:
    """Initial adaptive bits: `stops`, `signs` and `tails` of `code_residual`."""
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
def code_residual(
    residual: int, energy: int, tilt: int, stops: Int64, signs: Int64, tails: Int64, coder: Coder
) -> int:
    """Code a residual: number of bits, sign, the bits below the leading 1."""
    size = abs(residual)
    wanted = bit_length(size)
    bits = 0
    row = stops[energy]
    while bits < MOST_BITS and code_bit(int(wanted > bits), row[bits], coder):
        bits += 1
    if bits == 0:
        return 0
    negative = code_bit(int(residual < 0), signs[tilt], coder)
    prefix = 1
    left = bits - 1
    while left > 0 and prefix < 1 << MODELLED_TAIL:
        left -= 1
        bit = code_bit((size >> left) & 1, tails[bits, prefix], coder)
        prefix = (prefix << 1) | bit
    size = code_bits(size, prefix, left, coder)
    return -size if negative else size
