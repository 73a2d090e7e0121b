"""The value of a new label, coded by a mixture around predictions from its neighbours.

Predictions are a neighbour's value, the mean of two, the continuation of a plane, and so on. Each,
clamped to what is possible, is the centre of components of several widths, whose shares a network
gives. Integers throughout, so the mixture is the same on every machine.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.scalar_rans import peek
from velcodec.formats.entropy.symbols import DECODING, PRECISION, Coder, code_bits, code_interval
from velcodec.formats.sample_coding.label_map.network import ROOM, Weights, find_logits
from velcodec.formats.sample_coding.label_map.value_features import (
    NEW_VALUE_FEATURES,
    NEW_VALUE_FIRST,
    PARTS,
    PREDICTIONS,
    WIDTHS,
    clamp_predictions,
)

NARROWEST, WIDER = -3, 2
"""A component of width k halves every 2^(NARROWEST + WIDER k) from its centre."""

SHARE_BITS = 12
"""Shares are in units of 2^-SHARE_BITS of the largest; smaller ones are 0."""

RELUCTANCE = 0.5
"""An encoder leaves the preferred value only for one that saves more than this many bits."""

Mixture = tuple[Int64, Int64, Int64, Int64, Int64]
CODES, PREDICTED, CENTRES, SHARES, ENDS = range(5)
"""Feature codes and predictions of `fill_value_features`; centres, the predictions clamped to the
interval; shares of the components; least head, number of heads, mass below the least, total mass.
"""


def new_mixture() -> Mixture:
    """An empty mixture."""
    sizes = (NEW_VALUE_FEATURES, PREDICTIONS, PREDICTIONS, PARTS, 4)
    a, b, c, d, e = (np.zeros(size, dtype=np.int64) for size in sizes)
    return a, b, c, d, e


@njit(cache=True)
def find_shares(codes: Int64, maps: Weights, powers: Int64, shares: Int64) -> None:
    """Fill the mixture's `shares` (PARTS,)."""
    logits = np.zeros(PARTS, dtype=np.int64)
    room = np.empty(ROOM, dtype=np.int32)
    find_logits(codes, NEW_VALUE_FIRST, maps, room, logits)
    greatest = logits.max()
    for j in range(PARTS):
        below = greatest - logits[j]
        place = below >> 8
        shares[j] = powers[below & 255] >> (20 - SHARE_BITS + place) if place < SHARE_BITS else 0
    shares[PARTS - 1] += 1


@njit(cache=True)
def _mass_until(head: int, mixture: Mixture, powers: Int64) -> int:
    """The mixture's mass up to and including `head`."""
    _, _, centres, shares, ends = mixture
    mass = shares[PARTS - 1] * (((head - ends[0] + 1) << 21) // ends[1])
    for k in range(PREDICTIONS):
        twice = 2 * (head - centres[k]) + 1
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
    """Number of slots, of 2^16, of heads up to and including `head`."""
    low, heads, below, whole = mixture[ENDS]
    if head < low:
        return 0
    mass = _mass_until(head, mixture, powers) - below
    return int(head - low + 1 + mass * ((1 << PRECISION) - heads) // whole)


@njit(cache=True)
def prepare(
    kind: int, bound: int, base: int, size: int, shift: int, maps: Weights,
    powers: Int64, mixture: Mixture,
) -> None:  # fmt: skip
    """Set `mixture` for `size` values from `base` on, after `fill_value_features`."""
    codes, predictions, centres, shares, ends = mixture
    low = base >> shift
    heads = ((base + size - 1) >> shift) - low + 1
    clamp_predictions(kind, bound, low, heads, predictions, codes, centres)
    find_shares(codes, maps, powers, shares)
    ends[0], ends[1] = low, heads
    ends[2] = _mass_until(low - 1, mixture, powers)
    ends[3] = _mass_until(low + heads - 1, mixture, powers) - ends[2]


@njit(cache=True)
def bits_of(head: int, mixture: Mixture, powers: Int64) -> float:
    """Approximate bits of a head."""
    slots = _slots_until(head, mixture, powers) - _slots_until(head - 1, mixture, powers)
    return float(PRECISION - np.log2(slots))


@njit(cache=True)
def cheapest(
    least: int, preferred: int, greatest: int, shift: int, mixture: Mixture, powers: Int64
) -> tuple[int, float]:
    """The cheapest of the preferred value and the centres, in [least, greatest], and its bits."""
    best = min(max(preferred, least), greatest)
    cost = bits_of(best >> shift, mixture, powers)
    if least == greatest:
        return best, cost + shift
    for centre in mixture[CENTRES]:
        value = min(max(centre << shift, least), greatest)
        bits = bits_of(value >> shift, mixture, powers) + RELUCTANCE
        if bits < cost:
            best, cost = value, bits
    return best, cost + shift


@njit(cache=True)
def code_new_value(value: int, shift: int, mixture: Mixture, powers: Int64, coder: Coder) -> int:
    """Code a value. A decoder's may lie outside the interval by less than 2^shift."""
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
