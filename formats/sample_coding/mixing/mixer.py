"""Binary decisions foreseen by many contexts at once, whose votes are mixed and which learn.

Each context of a decision has two memories: a counter, which generated models taught and which goes
on learning, and a history of what came in this stream alone, whose meaning was taught too. Their
logits are summed with weights that small contexts select, several sums are mixed once more, and
what comes of it is corrected by what such probabilities meant before. All is integers. Sources: the
logistic mixing and the adaptive probability maps of Mahoney's "Adaptive weighing of context models
for lossless data compression" (2005) and Knoll and de Freitas's "A machine learning perspective on
predictive coding with PAQ" (2012).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.scalar_rans import peek
from velcodec.formats.entropy.symbols import PRECISION, Coder, code_interval

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

NAT_BITS = 8
NAT = 1 << NAT_BITS
"""Logits are in 1/NAT of a natural one."""

MOST_LOGIT = 2840
"""About ln(2^16) of them."""

ONE = 1 << 16
"""What weights and probabilities are multiples of the inverse of."""

COUNTER_SHIFT, CHANCE_BITS = 7, 24
"""A counter's lowest bits say how often it was used, those above its probability of a 1."""

LINEAR, APART = 64, 16
"""Uses that are counted one by one; after those, about every APART-th is."""

MOST_USES = (1 << COUNTER_SHIFT) - 1
SHARE_BITS = 20

WIDE = COUNTER_SHIFT + CHANCE_BITS - PRECISION
"""So many bits below its probability of 16."""

MEANINGS = 512
"""Histories that are told apart."""

BUCKETS = 24
"""Places of an adaptive probability map, each NAT apart, and between them in proportion."""

REFINED_BITS = 22
"""Bits of probabilities in such maps."""

MOST_HISTORY = 18
"""A stream's history has at most 2^MOST_HISTORY slots for each context."""

MOST_WEIGHT = 1 << 19
"""Weights lie between this and its negative. Sums of their products with logits are of 32 bits, and
wrap around if they ever exceed them.
"""

SETS = 4
"""Sums of all votes, each with weights that another context selects."""

LEAST = 3
"""Least frequency of either value of a bit, of 2^16."""


def _stretch_table() -> Int16:
    """Least logit that squashes to a probability of 2^16 of a half or more; negative below."""
    upper = np.searchsorted(_squash_table(), np.arange(ONE // 2, ONE), side="left") - MOST_LOGIT
    lower = -upper[:0:-1]
    return np.concatenate([lower[:1], lower, upper]).astype(np.int16)


def _squash_table() -> Int32:
    """2^16 / (1 + e^-x) for all logits x, e being a quotient of integers."""
    steps = [1 << 64]
    # e^(1/256) by its series in 2^-64.
    term, base = 1 << 64, 1 << 64
    for k in range(1, 12):
        term = term // (k * NAT)
        base += term
    for _ in range(MOST_LOGIT):
        steps.append((steps[-1] * base) >> 64)
    upper = [int((power << 16) // (power + (1 << 64))) for power in steps]
    table = [ONE - one for one in upper[:0:-1]] + upper
    return np.clip(np.array(table), 1, ONE - 1).astype(np.int32)


SQUASH = _squash_table()
STRETCH = _stretch_table()


ENDS_OF_GRADES = (0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 21, 30, 45, 70, 110, 127)
GRADES = np.searchsorted(np.array(ENDS_OF_GRADES), np.arange(128)).astype(np.int64)
"""Grades 0 to 15 of counts 0 to 127: of up to so many."""


def _first_meanings() -> Int32:
    """What histories mean before any was seen: about as many of each bit as were counted."""
    ends = np.array(ENDS_OF_GRADES, dtype=np.int64)
    ones, zeros, _ = np.meshgrid(ends, ends, [0, 1], indexing="ij")
    chances = ((2 * ones + 1) << CHANCE_BITS) // (2 * ones + 2 * zeros + 2)
    return (chances << COUNTER_SHIFT).astype(np.int32).ravel()


FIRST_MEANINGS = _first_meanings()
USES = [n + APART * max(n - LINEAR, 0) for n in range(MOST_USES + 1)]
SHARES = np.array([(10 << SHARE_BITS) // (10 * n + 6) if n else 0 for n in USES], dtype=np.int64)
"""By how much a counter moves that was used so often."""


CONFIDENCE = np.array([256 * n // (n + 2) for n in range(MOST_USES + 1)], dtype=np.int64)
"""What the vote of a counter that was used so often counts for, in 1/256."""


class Mixing(NamedTuple):
    """All that learns, for decisions of so many contexts.

    Counters as COUNTER_SHIFT says: `counters` (contexts x slots), `meanings` (contexts x groups x
    MEANINGS); `history` (contexts x slots of this stream): counts of 0 and of 1, and which came
    last; in 2^-16, `weights` (selectors, inputs) and `second` (groups, SETS); `refined` (2,
    refiners, BUCKETS + 1) probabilities of REFINED_BITS; `rates` of all these. The others are room.
    """

    counters: Int32
    meanings: Int32
    history: Int16
    weights: Int32
    second: Int32
    refined: Int32
    rates: Int64
    places: Int64
    votes: Int32
    sums: Int64

    def copy(self) -> Mixing:
        """One that learns apart from this one."""
        return self._replace(**{name: getattr(self, name).copy() for name in self._fields})


COUNTER_RATE, MEANING_RATE, WEIGHT_RATE, SECOND_RATE, REFINE_RATE = range(5)
FIRST_RATES = (127, 127, 9, 20, 7)
"""Uses up to which counters count; how fast weights learn, in 2^-20 and 2^-22; and the maps, as a
power of a half.
"""


def new_mixing(
    contexts: int, slots: int, groups: int, selectors: int, refiners: int, given: int
) -> Mixing:
    """One that knows nothing. Decisions of so many groups, which select among so many weights and
    maps, and are given so many votes more.
    """
    even = np.int32(1 << (COUNTER_SHIFT + CHANCE_BITS - 1))
    inputs = 2 * contexts + given + 1
    logits = np.arange(BUCKETS + 1) * NAT - BUCKETS // 2 * NAT
    line = SQUASH[np.clip(logits, -MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT]
    return Mixing(
        np.full(contexts * slots, even, dtype=np.int32),
        np.tile(FIRST_MEANINGS, contexts * groups),
        np.zeros(contexts, dtype=np.int16),
        np.full((selectors, inputs), ONE // 6, dtype=np.int32),
        np.full((groups, SETS), ONE // SETS, dtype=np.int32),
        np.tile(line << (REFINED_BITS - PRECISION), (2, refiners, 1)).astype(np.int32),
        np.array(FIRST_RATES, dtype=np.int64),
        np.zeros((contexts, 3), dtype=np.int64),
        np.zeros(inputs, dtype=np.int32),
        np.zeros(SETS, dtype=np.int64),
    )


def with_history(mixing: Mixing, samples: int) -> Mixing:
    """The same before a stream of so many samples, with a history of its own."""
    bits = min(max(samples.bit_length(), 7), MOST_HISTORY)
    contexts = len(mixing.places)
    return mixing._replace(history=np.zeros(contexts << bits, dtype=np.int16))


@njit(cache=True)
def hashed(before: int, value: int) -> int:
    """A hash of a hash and an integer, of 31 bits."""
    found = ((before ^ (value & 0x7FFFFFFF)) * 0x2C1B3C6D + 0x297A2D39) & 0x7FFFFFFF
    return found ^ (found >> 15)


@njit(cache=True, allocates=False)
def code_mixed(
    bit: int, contexts: Int64, node: int, group: int, select: Int64, refine: Int64,
    given: Int64, mixing: Mixing, coder: Coder,
) -> int:  # fmt: skip
    """A bit in so many `contexts` (hashes of 31 bits) of decision `node`; all learn from it.

    `group` tells histories' meanings apart, `select` (SETS,) the weights, `refine` (2,) the maps;
    `given` are votes from elsewhere.
    """
    _vote(contexts, node, group, given, mixing)
    logit = _sum_up(group, select, mixing)
    mixed = int(SQUASH[logit + MOST_LOGIT])
    # Two places of the maps, around the logit.
    shifted = min(max(logit + BUCKETS // 2 * NAT, 0), BUCKETS * NAT - 1)
    bucket, part = shifted // NAT, shifted % NAT
    chance = 2 * mixed
    for k in range(2):
        line = mixing.refined[k, refine[k]]
        between = int(line[bucket]) * (NAT - part) + int(line[bucket + 1]) * part
        chance += between >> (REFINED_BITS - PRECISION + NAT_BITS)
    one = min(max(chance >> 2, LEAST), ONE - LEAST)
    if coder[0]:
        bit = int(peek(coder[1], PRECISION) < one)
    if bit:
        code_interval(0, one, PRECISION, coder)
    else:
        code_interval(one, ONE - one, PRECISION, coder)
    target = (ONE - 1) * bit
    nearest = bucket + int(part >= NAT // 2)
    for k in range(2):
        line = mixing.refined[k, refine[k]]
        miss = (target << (REFINED_BITS - PRECISION)) - line[nearest]
        line[nearest] += miss >> mixing.rates[REFINE_RATE]
    _learn_weights(target, mixed, group, select, mixing)
    _learn_counters(bit, len(contexts), mixing)
    return bit


@njit(cache=True, allocates=False, inline="always")
def _vote(contexts: Int64, node: int, group: int, given: Int64, mixing: Mixing) -> None:
    """Fill `votes` with logits, and `places` with where they come from."""
    counters, meanings, history = mixing.counters, mixing.meanings, mixing.history
    places, votes = mixing.places, mixing.votes
    count = len(contexts)
    slots, local, meant = len(counters) // count, len(history) // count, len(meanings) // count
    for i in range(count):
        place = hashed(contexts[i], node * 0x3D4D51CB)
        own = i * slots + (place & (slots - 1))
        here = i * local + ((place >> 3) & (local - 1))
        seen = int(history[here])
        meaning = i * meant + (group << 9) + (seen >> 14)
        meaning += (GRADES[(seen >> 7) & 127] << 5) + (GRADES[seen & 127] << 1)
        places[i, 0], places[i, 1], places[i, 2] = own, here, meaning
        counter = counters[own]
        votes[2 * i] = (STRETCH[counter >> WIDE] * CONFIDENCE[counter & MOST_USES]) >> 8
        votes[2 * i + 1] = STRETCH[meanings[meaning] >> WIDE]
    for i in range(len(given)):
        votes[2 * count + i] = given[i]
    votes[len(votes) - 1] = NAT


@njit(cache=True, allocates=False, inline="always")
def _sum_up(group: int, select: Int64, mixing: Mixing) -> int:
    """The logit of a 1; the sums that it is made of are left in `sums`."""
    weights, votes, sums = mixing.weights, mixing.votes, mixing.sums
    logit = 0
    for j in range(SETS):
        row = weights[select[j]]
        # In 32 bits: as many products at once as the machine can.
        total = np.int32(0)
        for i in range(len(votes)):
            total = np.int32(total + np.int32((row[i] >> 4) * votes[i]))
        known = min(max(int(total) >> 12, -MOST_LOGIT), MOST_LOGIT)
        sums[j] = known
        logit += known * mixing.second[group, j]
    return min(max(logit >> 16, -MOST_LOGIT), MOST_LOGIT)


@njit(cache=True, allocates=False, inline="always")
def _learn_weights(target: int, mixed: int, group: int, select: Int64, mixing: Mixing) -> None:
    """Move the weights down the slope of the bit's cost, those of each sum by its own miss."""
    weights, votes, sums, rates = mixing.weights, mixing.votes, mixing.sums, mixing.rates
    for j in range(SETS):
        mixing.second[group, j] += ((target - mixed) * sums[j] * rates[SECOND_RATE]) >> 22
        miss = target - int(SQUASH[sums[j] + MOST_LOGIT])
        step = np.int32((miss * rates[WEIGHT_RATE] + 32) >> 6)
        row = weights[select[j]]
        for i in range(len(votes)):
            moved = np.int32(np.int32(votes[i] * step) + np.int32(1 << 13)) >> np.int32(14)
            row[i] = min(max(row[i] + moved, np.int32(-MOST_WEIGHT)), np.int32(MOST_WEIGHT))


@njit(cache=True, allocates=False, inline="always")
def _learn_counters(bit: int, count: int, mixing: Mixing) -> None:
    """Counters, meanings and histories that had a vote learn what came."""
    counters, meanings, history = mixing.counters, mixing.meanings, mixing.history
    places, rates = mixing.places, mixing.rates
    for i in range(count):
        own, here, meaning = places[i, 0], places[i, 1], places[i, 2]
        counters[own] = _moved(int(counters[own]), bit, rates[COUNTER_RATE])
        meanings[meaning] = _moved(int(meanings[meaning]), bit, rates[MEANING_RATE])
        seen = int(history[here])
        zeros, ones = seen & 127, (seen >> 7) & 127
        if bit:
            ones, zeros = min(ones + 1, 127), zeros if zeros <= 2 else 2 + (zeros - 2) // 3
        else:
            zeros, ones = min(zeros + 1, 127), ones if ones <= 2 else 2 + (ones - 2) // 3
        history[here] = zeros + (ones << 7) + (bit << 14)


@njit(cache=True, allocates=False, inline="always")
def _moved(counter: int, bit: int, most: int) -> int:
    """A counter, of at most so many uses, after a bit."""
    used, chance = counter & MOST_USES, counter >> COUNTER_SHIFT
    if used < most and (used < LINEAR or chance % APART == 0):
        used += 1
    target = ((1 << CHANCE_BITS) - 1) * bit
    chance += ((target - chance) * SHARES[used]) >> SHARE_BITS
    return (chance << COUNTER_SHIFT) + used
