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

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.entropy.scalar_rans import peek
from velcodec.formats.entropy.symbols import PRECISION, Coder, code_interval

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
UInt32 = NDArray[np.uint32]

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

LINE, COUNTERS = 16, 8
"""Numbers of 32 bits that a processor fetches at once, and how many of them are counters. The rest
are what came in the same places in this stream: one fetch brings both.
"""

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


GRADES_OF_ONES = (GRADES << 5).astype(np.uint32)
GRADES_OF_ZEROS = (GRADES << 1).astype(np.uint32)


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


HALF = 48
"""Most contexts of a decision. Votes of counters come first, those of histories from here on."""

INPUTS = 2 * HALF
"""Votes of a decision. The last two of the counters' half are those given, and an even one."""

GIVEN, EVEN = HALF - 2, HALF - 1


class Mixing(NamedTuple):
    """All that learns, for decisions of so many contexts.

    Counters as COUNTER_SHIFT says: `cells` (contexts x lines x line), each line COUNTERS of them;
    `history`, a view of what follows in each line: counts of 0 and of 1, and which came last;
    `meanings` (contexts x groups x MEANINGS); in 2^-16, `weights` (selectors, INPUTS) and `second`
    (groups, SETS); `refined` (2, refiners, BUCKETS + 1) probabilities of REFINED_BITS; `rates` of
    all these; `columns` of a row's weights that count, in the order of data files; `sizes` (SIZES,)
    of the first ones. The others are room: `places` (3, HALF) where the votes come from, `found`
    (INPUTS,) the counters there.
    """

    cells: Int32
    history: Int16
    meanings: Int32
    weights: Int32
    second: Int32
    refined: Int32
    rates: Int64
    columns: Int64
    sizes: Int64
    places: UInt32
    found: Int32
    votes: Int32
    sums: Int64

    def copy(self) -> Mixing:
        """One that learns apart from this one."""
        copied = {name: getattr(self, name).copy() for name in self._fields if name != "history"}
        return self._replace(**copied | _aligned(self.cells))

    @property
    def counters(self) -> Int32:
        """The counters (contexts, slots), a view."""
        lines = self.cells.reshape(self.sizes[CONTEXTS], -1, self.sizes[STRIDE])
        return lines[:, :, :COUNTERS]

    def forget(self) -> None:
        """Forget what came in the stream before."""
        self.cells.reshape(-1, self.sizes[STRIDE])[:, COUNTERS:] = 0


CONTEXTS, LINES, STRIDE, MEANT, IN_LINES, IN_LINE = range(6)
SIZES = 6
"""Contexts; lines of each, and numbers of 32 bits of a line; meanings of each; in how many of the
lines histories are, and how many in each.
"""


def _aligned(cells: Int32) -> dict[str, NDArray[Any]]:
    """A copy of the cells that begins where a line does, and histories as a view of it."""
    room = np.empty(len(cells) + LINE, dtype=np.int32)
    first = -(room.ctypes.data // 4) % LINE
    copied = room[first : first + len(cells)]
    copied[:] = cells
    return {"cells": copied, "history": copied.view(np.int16)}


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
    logits = np.arange(BUCKETS + 1) * NAT - BUCKETS // 2 * NAT
    line = SQUASH[np.clip(logits, -MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT]
    weights = np.zeros((selectors, INPUTS), dtype=np.int32)
    both = np.array([[i, HALF + i] for i in range(contexts)]).ravel()
    columns = np.concatenate([both, [GIVEN] * given, [EVEN]]).astype(np.int64)
    weights[:, columns] = ONE // 6
    lines = np.zeros((contexts * slots // COUNTERS, LINE), dtype=np.int32)
    lines[:, :COUNTERS] = 1 << (COUNTER_SHIFT + CHANCE_BITS - 1)
    cells = _aligned(lines.ravel())
    return Mixing(
        cells["cells"],
        cells["history"],
        np.tile(FIRST_MEANINGS, contexts * groups),
        weights,
        np.full((groups, SETS), ONE // SETS, dtype=np.int32),
        np.tile(line << (REFINED_BITS - PRECISION), (2, refiners, 1)).astype(np.int32),
        np.array(FIRST_RATES, dtype=np.int64),
        columns,
        np.array([contexts, slots // COUNTERS, LINE, groups * MEANINGS, 1, 1], dtype=np.int64),
        np.zeros((3, HALF), dtype=np.uint32),
        np.zeros(INPUTS, dtype=np.int32),
        np.zeros(INPUTS, dtype=np.int32),
        np.zeros(SETS, dtype=np.int64),
    )


def with_history(mixing: Mixing, samples: int) -> Mixing:
    """The same before a stream of so many samples: with room for its history, in the same cells if
    these have it.
    """
    slots = 1 << min(max(samples.bit_length(), 7), MOST_HISTORY)
    sizes = mixing.sizes.copy()
    sizes[IN_LINES] = min(slots, sizes[LINES])
    sizes[IN_LINE] = slots // sizes[IN_LINES]
    if sizes[IN_LINE] <= 2 * (LINE - COUNTERS):
        return mixing._replace(sizes=sizes)
    sizes[STRIDE] = COUNTERS + sizes[IN_LINE] // 2
    cells = np.zeros((sizes[CONTEXTS] * sizes[LINES], sizes[STRIDE]), dtype=np.int32)
    wide = mixing._replace(sizes=sizes, **_aligned(cells.ravel()))
    wide.counters[:] = mixing.counters
    return wide


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
    """Fill `votes` with logits, `found` with counters, and `places` with where they come from."""
    cells, meanings, history = mixing.cells, mixing.meanings, mixing.history
    own, here, meaning = mixing.places[0], mixing.places[1], mixing.places[2]
    found, votes, sizes = mixing.found, mixing.votes, mixing.sizes
    lines, stride, meant = sizes[LINES], np.uint32(sizes[STRIDE]), np.uint32(sizes[MEANT])
    in_lines, in_line = np.uint32(sizes[IN_LINES] - 1), np.uint32(sizes[IN_LINE] - 1)
    beyond, last = np.uint32(3 + bit_length(lines - 1)), np.uint32(lines - 1)
    of_context = np.uint32(lines) * stride
    of_node = np.uint32((node * 0x3D4D51CB) & 0x7FFFFFFF)
    first = np.uint32(group * MEANINGS)
    count = len(contexts)
    # All places first: what is there takes long to come, and comes at once.
    for i in range(count):
        # `hashed`, in 32 bits.
        place = np.uint32((np.uint32(contexts[i]) ^ of_node) * np.uint32(0x2C1B3C6D))
        place = np.uint32(place + np.uint32(0x297A2D39)) & np.uint32(0x7FFFFFFF)
        place = np.uint32(place ^ (place >> np.uint32(15)))
        line, first_of = place >> np.uint32(3), np.uint32(i) * of_context
        own[i] = first_of + (line & last) * stride + (place & np.uint32(COUNTERS - 1))
        line = first_of + (line & in_lines) * stride + np.uint32(COUNTERS)
        here[i] = np.uint32(2) * line + ((place >> beyond) & in_line)
    for i in range(count):
        found[i] = cells[own[i]]
    for i in range(count):
        seen = np.uint16(history[here[i]])
        meaning[i] = (
            np.uint32(i) * meant
            + first
            + np.uint32(seen >> 14)
            + GRADES_OF_ONES[(seen >> 7) & 127]
            + GRADES_OF_ZEROS[seen & 127]
        )
    for i in range(count):
        found[HALF + i] = meanings[meaning[i]]
    for i in range(count):
        counter = np.uint32(found[i])
        votes[i] = (
            STRETCH[counter >> np.uint32(WIDE)] * CONFIDENCE[counter & np.uint32(MOST_USES)]
        ) >> 8
        votes[HALF + i] = STRETCH[np.uint32(found[HALF + i]) >> np.uint32(WIDE)]
    if len(given) > 0:
        votes[GIVEN] = given[0]
    votes[EVEN] = NAT


@njit(cache=True, allocates=False, inline="always")
def _sum_up(group: int, select: Int64, mixing: Mixing) -> int:
    """The logit of a 1; the sums that it is made of are left in `sums`."""
    weights, votes, sums = mixing.weights, mixing.votes, mixing.sums
    logit = 0
    for j in range(SETS):
        row = weights[select[j]]
        # In 32 bits: as many products at once as the machine can.
        total = np.int32(0)
        for i in range(INPUTS):
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
        for i in range(INPUTS):
            moved = np.int32(np.int32(votes[i] * step) + np.int32(1 << 13)) >> np.int32(14)
            row[i] = min(max(row[i] + moved, np.int32(-MOST_WEIGHT)), np.int32(MOST_WEIGHT))


@njit(cache=True, allocates=False, inline="always")
def _learn_counters(bit: int, count: int, mixing: Mixing) -> None:
    """Counters, meanings and histories that had a vote learn what came."""
    cells, meanings, history = mixing.cells, mixing.meanings, mixing.history
    own, here, meaning = mixing.places[0], mixing.places[1], mixing.places[2]
    found, rates = mixing.found, mixing.rates
    most, most_meant = rates[COUNTER_RATE], rates[MEANING_RATE]
    for i in range(count):
        found[i] = _moved(int(found[i]), bit, most)
        found[HALF + i] = _moved(int(found[HALF + i]), bit, most_meant)
    for i in range(count):
        cells[own[i]] = found[i]
        meanings[meaning[i]] = found[HALF + i]
    for i in range(count):
        seen = int(history[here[i]])
        zeros, ones = seen & 127, (seen >> 7) & 127
        if bit:
            ones, zeros = min(ones + 1, 127), zeros if zeros <= 2 else 2 + (zeros - 2) // 3
        else:
            zeros, ones = min(zeros + 1, 127), ones if ones <= 2 else 2 + (ones - 2) // 3
        history[here[i]] = zeros + (ones << 7) + (bit << 14)


@njit(cache=True, allocates=False, inline="always")
def _moved(counter: int, bit: int, most: int) -> int:
    """A counter, of at most so many uses, after a bit."""
    used, chance = counter & MOST_USES, counter >> COUNTER_SHIFT
    if used < most and (used < LINEAR or chance % APART == 0):
        used += 1
    target = ((1 << CHANCE_BITS) - 1) * bit
    chance += ((target - chance) * SHARES[used]) >> SHARE_BITS
    return (chance << COUNTER_SHIFT) + used
