"""Bits whose probability is a sum over features, in the logistic domain, that goes on learning."""

from __future__ import annotations

import math

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import Coder, code_among

RATE_BITS = 8
"""Rates are in 2^-RATE_BITS of a weight for a miss of 2^-16."""

CERTAIN = 12
"""The greatest logit of a bit, in bits."""

LOGIT_BITS = 10
"""Weights are in 2^-LOGIT_BITS of 1/64 bit."""

KEPT_SHIFT = LOGIT_BITS + 2
"""Data files keep weights in 1/16 bit."""


def _frequencies() -> Int64:
    """Frequencies of a 0 bit, of 2^16, by its logit in 1/64 bit, from -CERTAIN to CERTAIN."""
    out = []
    for i in range(-CERTAIN * 64, CERTAIN * 64 + 1):
        # 2^(i / 64) in 2^-40, by exact integer roots.
        power = 1 << (40 * 64 + i)
        for _ in range(6):
            power = math.isqrt(power)
        out.append(min(max((power << 16) // (power + (1 << 40)), 16), (1 << 16) - 16))
    return np.array(out, dtype=np.int64)


FREQUENCIES = _frequencies()


@njit(cache=True)
def place_of(row: Int64, found: Int64) -> int:
    """Where in FREQUENCIES that of a bit stands: its logit is the sum of weights in `row` of the
    features `found`.
    """
    total = 0
    for i in range(len(found)):
        total += row[found[i]]
    return min(max((total >> LOGIT_BITS) + 64 * CERTAIN, 0), 128 * CERTAIN)


@njit(cache=True)
def code_learned(bit: int, row: Int64, found: Int64, rate: int, coder: Coder) -> int:
    """A bit with features `found`, from whose weights in `row` it is foreseen; they learn."""
    pair = np.empty(2, dtype=np.int64)
    pair[0] = FREQUENCIES[place_of(row, found)]
    pair[1] = (1 << 16) - pair[0]
    bit = code_among(bit, pair, coder)
    miss = (0 if bit else 1 << 16) - pair[0]
    for i in range(len(found)):
        row[found[i]] += (miss * rate) >> RATE_BITS
    return bit
