"""Bits with a logistic model: the logit is a sum of feature weights, updated after each bit."""

from __future__ import annotations

import math

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import Coder, code_among

RATE_BITS = 8
"""Learning rates are in units of 2^-RATE_BITS per prediction error of 2^-16."""

CERTAIN = 12
"""Largest logit, in bits."""

LOGIT_BITS = 10
"""Weights are in units of 2^-LOGIT_BITS / 64 bit."""

KEPT_SHIFT = LOGIT_BITS + 2
"""Shift from the unit of data files, 1/16 bit, to that of weights."""


def _frequencies() -> Int64:
    """Frequency of a 0 bit, out of 2^16, for logits from -CERTAIN to CERTAIN, each 1/64 bit."""
    out = []
    for i in range(-CERTAIN * 64, CERTAIN * 64 + 1):
        # 2^(i / 64) in units of 2^-40, by exact integer roots.
        power = 1 << (40 * 64 + i)
        for _ in range(6):
            power = math.isqrt(power)
        out.append(min(max((power << 16) // (power + (1 << 40)), 16), (1 << 16) - 16))
    return np.array(out, dtype=np.int64)


FREQUENCIES = _frequencies()


@njit(cache=True)
def table_index(row: Int64, features: Int64) -> int:
    """Index into FREQUENCIES of a bit whose logit is the sum of `row` over `features`."""
    total = 0
    for i in range(len(features)):
        total += row[features[i]]
    return min(max((total >> LOGIT_BITS) + 64 * CERTAIN, 0), 128 * CERTAIN)


@njit(cache=True)
def code_learned(bit: int, row: Int64, features: Int64, rate: int, coder: Coder) -> int:
    """Code a bit predicted from the weights `row[features]`, and update these weights."""
    pair = np.empty(2, dtype=np.int64)
    pair[0] = FREQUENCIES[table_index(row, features)]
    pair[1] = (1 << 16) - pair[0]
    bit = code_among(bit, pair, coder)
    error = (0 if bit else 1 << 16) - pair[0]
    for i in range(len(features)):
        row[features[i]] += (error * rate) >> RATE_BITS
    return bit
