"""The value of a label that is new, foreseen from the values around it.

It is a neighbour's value, one between two of them, one that continues a plane, ... and something
more: each such guess, with some widths about it, is a part of a mixture whose shares a network
finds. Integers throughout: the mixture's sums at a value are the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.scalar_rans import peek
from velcodec.formats.entropy.symbols import DECODING, Coder, code_bits, code_interval
from velcodec.formats.sample_coding.label_map.network import PRECISION, find_logits
from velcodec.formats.sample_coding.label_map.surroundings import (
    FRESH_FEATURES,
    FRESH_FIRST,
    GUESSES,
    PARTS,
    WIDTHS,
    narrow,
)

Int64 = NDArray[np.int64]

NARROWEST, WIDER = -3, 2
"""A part of width k is halved with every 2^(NARROWEST + WIDER k) from its guess."""

SHARE_BITS = 12
"""Shares of the greatest part; those less than 1 of it are left out."""

RELUCTANCE = 0.5
"""An encoder leaves the value that it prefers for one that saves more bits than these."""

Mixture = tuple[Int64, Int64, Int64, Int64, Int64]
CODES, SEEN, GUESSED, SHARES, ENDS = range(5)
"""What is seen around the sample, as `look_around` has it; guesses within what is allowed; shares
of the parts; least head, number of heads, mass below the least, mass of all.
"""


def new_mixture() -> Mixture:
    """One that holds nothing yet."""
    sizes = (FRESH_FEATURES, GUESSES, GUESSES, PARTS, 4)
    a, b, c, d, e = (np.zeros(size, dtype=np.int64) for size in sizes)
    return a, b, c, d, e


@njit(cache=True)
def find_shares(codes: Int64, maps: tuple[Int64, ...], powers: Int64, shares: Int64) -> None:
    """Fill `shares` (PARTS,) of the mixture."""
    logits = np.zeros(PARTS, dtype=np.int64)
    find_logits(codes, FRESH_FIRST, maps, logits)
    greatest = logits.max()
    for j in range(PARTS):
        below = greatest - logits[j]
        place = below >> 8
        shares[j] = powers[below & 255] >> (20 - SHARE_BITS + place) if place < SHARE_BITS else 0
    shares[PARTS - 1] += 1


@njit(cache=True)
def _mass_until(head: int, mixture: Mixture, powers: Int64) -> int:
    """The mixture's mass up to and with `head`."""
    _, _, guesses, shares, ends = mixture
    mass = shares[PARTS - 1] * (((head - ends[0] + 1) << 21) // ends[1])
    for k in range(GUESSES):
        twice = 2 * (head - guesses[k]) + 1
        for w in range(WIDTHS):
            share = shares[k * WIDTHS + w]
            if share > 0:
                place = (abs(twice) << 11) >> (WIDER * w + NARROWEST + 3)
                whole = place >> 8
                tail = powers[place & 255] >> whole if whole <= 20 else 0
                mass += share * (tail if twice < 0 else (1 << 21) - tail)
    return int(mass)


@njit(cache=True)
def _slots_until(head: int, mixture: Mixture, powers: Int64) -> int:
    """Of 2^16 slots, how many belong to heads up to and with `head`."""
    low, heads, below, whole = mixture[ENDS]
    if head < low:
        return 0
    mass = _mass_until(head, mixture, powers) - below
    return int(head - low + 1 + mass * ((1 << PRECISION) - heads) // whole)


@njit(cache=True)
def prepare(
    kind: int, bound: int, base: int, size: int, shift: int, maps: tuple[Int64, ...],
    powers: Int64, mixture: Mixture,
) -> None:  # fmt: skip
    """Make `mixture` that of `size` values from `base` on, after `look_around`."""
    codes, seen, guesses, shares, ends = mixture
    low = base >> shift
    heads = ((base + size - 1) >> shift) - low + 1
    narrow(kind, bound, low, heads, seen, codes, guesses)
    find_shares(codes, maps, powers, shares)
    ends[0], ends[1] = low, heads
    ends[2] = _mass_until(low - 1, mixture, powers)
    ends[3] = _mass_until(low + heads - 1, mixture, powers) - ends[2]


@njit(cache=True)
def bits_of(head: int, mixture: Mixture, powers: Int64) -> float:
    """About how many bits a head takes."""
    slots = _slots_until(head, mixture, powers) - _slots_until(head - 1, mixture, powers)
    return float(PRECISION - np.log2(slots))


@njit(cache=True)
def cheapest(
    least: int, preferred: int, greatest: int, shift: int, mixture: Mixture, powers: Int64
) -> tuple[int, float]:
    """Of some values from `least` to `greatest` the one that takes fewest bits, and how many."""
    best = min(max(preferred, least), greatest)
    cost = bits_of(best >> shift, mixture, powers)
    if least == greatest:
        return best, cost + shift
    for guess in mixture[GUESSED]:
        value = min(max(guess << shift, least), greatest)
        bits = bits_of(value >> shift, mixture, powers) + RELUCTANCE
        if bits < cost:
            best, cost = value, bits
    return best, cost + shift


@njit(cache=True)
def code_fresh(value: int, shift: int, mixture: Mixture, powers: Int64, coder: Coder) -> int:
    """A value. A decoder's may lie outside of what is allowed, by less than 2^shift."""
    head = value >> shift
    if coder[DECODING]:
        slot = peek(coder[1], PRECISION)
        first = mixture[ENDS][0]
        last = first + mixture[ENDS][1] - 1
        while first < last:
            middle = (first + last) >> 1
            if _slots_until(middle, mixture, powers) > slot:
                last = middle
            else:
                first = middle + 1
        head = first
    start = _slots_until(head - 1, mixture, powers)
    code_interval(start, _slots_until(head, mixture, powers) - start, PRECISION, coder)
    return code_bits(value, head, shift, coder)
