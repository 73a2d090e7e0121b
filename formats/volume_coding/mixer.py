"""Binary decisions of volumes: the mixing of images with fewer memories, for speed.

Each context has a counter; their logits are summed with weights that two small contexts select, and
the mean of both sums is corrected by what such probabilities meant before. Tables and counters are
those of `sample_coding.mixing.mixer`, where the sources are named. Everything learns from this
brick alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int32, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.scalar_rans import peek
from velcodec.formats.entropy.symbols import PRECISION, Coder, code_interval
from velcodec.formats.sample_coding.mixing.mixer import (
    APART,
    BUCKETS,
    CHANCE_BITS,
    CONFIDENCE,
    COUNTER_SHIFT,
    LEAST,
    LINEAR,
    MOST_LOGIT,
    MOST_USES,
    MOST_WEIGHT,
    NAT,
    ONE,
    REFINED_BITS,
    SHARE_BITS,
    SHARES,
    SQUASH,
    STRETCH,
    WIDE,
    hashed,
)

SETS = 2
"""Sums of all votes, each with weights that another context selects."""

WEIGHT_RATE, REFINE_RATE = 48, 5
"""How fast weights learn, in 2^-20, and the maps, as a power of a half."""

FIRST_WEIGHT = ONE * 3 // 10
MOST_SLOTS = 16
"""A context has at most 2^MOST_SLOTS counters."""


class Mixer(NamedTuple):
    """All that learns, for decisions of so many contexts; and room for what a decision needs.

    `counters` (contexts, slots), as in `mixing.mixer`; in 2^-16, `weights` (selectors, contexts +
    1); `refined` (refiners, BUCKETS + 1) probabilities of REFINED_BITS. A caller fills `contexts`
    (hashes of 31 bits), `select` (SETS,) and `refine` (1,).
    """

    counters: Int32
    weights: Int32
    refined: Int32
    contexts: Int64
    select: Int64
    refine: Int64
    places: Int64
    votes: Int32


def new_mixer(contexts: int, samples: int, selectors: int, refiners: int) -> Mixer:
    """One that knows nothing, for a brick of so many samples."""
    slots = 1 << min(max(samples.bit_length(), 8), MOST_SLOTS)
    logits = np.arange(BUCKETS + 1) * NAT - BUCKETS // 2 * NAT
    line = SQUASH[np.clip(logits, -MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT]
    return Mixer(
        np.full((contexts, slots), 1 << (COUNTER_SHIFT + CHANCE_BITS - 1), dtype=np.int32),
        np.full((selectors, contexts + 1), FIRST_WEIGHT, dtype=np.int32),
        np.tile(line << (REFINED_BITS - PRECISION), (refiners, 1)).astype(np.int32),
        np.zeros(contexts, dtype=np.int64),
        np.zeros(SETS, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(contexts, dtype=np.int64),
        np.zeros(contexts + 1, dtype=np.int32),
    )


@njit(cache=True, allocates=False)
def decide(bit: int, node: int, mixer: Mixer, coder: Coder) -> int:
    """A bit of decision `node` in the contexts that `mixer` was given; all learn from it."""
    counters, weights, refined, contexts, select, refine, places, votes = mixer
    count, mask = len(contexts), counters.shape[1] - 1
    for i in range(count):
        place = hashed(contexts[i], node * 0x3D4D51CB) & mask
        places[i] = place
        counter = counters[i, place]
        votes[i] = (STRETCH[counter >> WIDE] * CONFIDENCE[counter & MOST_USES]) >> 8
    votes[count] = NAT
    first, second = weights[select[0]], weights[select[1]]
    total, other = np.int32(0), np.int32(0)
    for i in range(count + 1):
        total = np.int32(total + np.int32((first[i] >> 4) * votes[i]))
        other = np.int32(other + np.int32((second[i] >> 4) * votes[i]))
    one_sum = min(max(int(total) >> 12, -MOST_LOGIT), MOST_LOGIT)
    other_sum = min(max(int(other) >> 12, -MOST_LOGIT), MOST_LOGIT)
    logit = (one_sum + other_sum) >> 1
    # Two places of the map, around the logit.
    shifted = min(max(logit + BUCKETS // 2 * NAT, 0), BUCKETS * NAT - 1)
    bucket, part = shifted // NAT, shifted % NAT
    line = refined[refine[0]]
    between = int(line[bucket]) * (NAT - part) + int(line[bucket + 1]) * part
    chance = int(SQUASH[logit + MOST_LOGIT]) + (between >> (REFINED_BITS - PRECISION + 8))
    one = min(max(chance >> 1, LEAST), ONE - LEAST)
    if coder[0]:
        bit = int(peek(coder[1], PRECISION) < one)
    if bit:
        code_interval(0, one, PRECISION, coder)
    else:
        code_interval(one, ONE - one, PRECISION, coder)
    target = (ONE - 1) * bit
    nearest = bucket + int(part >= NAT // 2)
    line[nearest] += ((target << (REFINED_BITS - PRECISION)) - line[nearest]) >> REFINE_RATE
    step = np.int32(((target - int(SQUASH[one_sum + MOST_LOGIT])) * WEIGHT_RATE + 32) >> 6)
    other_step = np.int32(((target - int(SQUASH[other_sum + MOST_LOGIT])) * WEIGHT_RATE + 32) >> 6)
    _learn(first, votes, step)
    _learn(second, votes, other_step)
    for i in range(count):
        counter = int(counters[i, places[i]])
        used, now = counter & MOST_USES, counter >> COUNTER_SHIFT
        if used < MOST_USES and (used < LINEAR or now % APART == 0):
            used += 1
        now += ((((1 << CHANCE_BITS) - 1) * bit - now) * SHARES[used]) >> SHARE_BITS
        counters[i, places[i]] = (now << COUNTER_SHIFT) + used
    return bit


@njit(cache=True, allocates=False, inline="always")
def _learn(row: Int32, votes: Int32, step: np.int32) -> None:
    """Move weights down the slope of the bit's cost."""
    for i in range(len(votes)):
        moved = np.int32(np.int32(votes[i] * step) + np.int32(1 << 13)) >> np.int32(14)
        row[i] = min(max(row[i] + moved, np.int32(-MOST_WEIGHT)), np.int32(MOST_WEIGHT))
