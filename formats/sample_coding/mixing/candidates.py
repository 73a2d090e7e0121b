"""Whether a sample is like one of its candidates: labels that are likely in such a place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.entropy.symbols import PRECISION, Coder
from velcodec.formats.sample_coding.label_map.context import FEATURES
from velcodec.formats.sample_coding.label_map.network import (
    BETWEEN,
    CLASSES,
    GREATER,
    KNOWN,
    LESS,
    ClassRoom,
    Weights,
    class_frequencies,
    new_class_room,
)
from velcodec.formats.sample_coding.label_map.network import LEFT as LEFT_CLASS
from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing.around import KINDS, NEAR
from velcodec.formats.sample_coding.mixing.contexts import (
    LIKE,
    REMEMBERED_BY,
    fill_candidate_contexts,
)
from velcodec.formats.sample_coding.mixing.image import MEMORIES, Known
from velcodec.formats.sample_coding.mixing.interfaces import AHEAD, STEPS
from velcodec.formats.sample_coding.mixing.mixer import SETS, STRETCH, Mixing, code_mixed
from velcodec.formats.sample_coding.mixing.regression import FRACTION

CANDIDATES = 4 + MEMORIES
"""A sample is compared with the one above, the one after that in the column before, the one to the
left, the one below that, and with what came last in such places.
"""

FIRST_MEMORY = CANDIDATES - MEMORIES
NEARNESSES, PATTERNS, RUN_CLASSES = 12, 64, 48
SELECTORS = CANDIDATES * (NEARNESSES + PATTERNS + RUN_CLASSES + KINDS)
REFINERS = CANDIDATES * PATTERNS


class Place(NamedTuple):
    """What is known of a sample's place: features of the context network, values around it, how
    interfaces went and where they should go, x, z, columns to the right and samples below, labels
    of the candidates, where they are to be remembered, frequencies of the network's classes, and
    contexts; and room for what a decision needs.
    """

    codes: Int64
    near: Int64
    steps: Int64
    ahead: Int64
    position: Int64
    candidates: Int64
    keys: Int64
    frequencies: Int64
    contexts: Int64
    select: Int64
    refine: Int64
    given: Int64
    possible: Int64
    room: ClassRoom


def new_place() -> Place:
    """Before the first sample."""
    sizes = (
        FEATURES, NEAR, STEPS, AHEAD, 4, CANDIDATES, MEMORIES, CLASSES, LIKE, SETS, 2, 1, CLASSES,
    )  # fmt: skip
    arrays = (np.zeros(size, dtype=np.int64) for size in sizes)
    return Place._make([*arrays, new_class_room()])


@njit(cache=True, allocates=False)
def fill_classes(
    above: int, after: int, left: int, labels: int, values: Int64, span: int,
    class_maps: Weights, powers: Int64, place: Place,
) -> None:  # fmt: skip
    """Fill in the frequencies of what the context network expects below a sample of label `above`,
    which `after` follows in the column before.
    """
    possible = place.possible
    low = high = values[above]
    if after != NONE:
        low, high = min(low, values[after]), max(high, values[after])
    own_left = int(left != NONE and left != above and left != after)
    possible[0] = 1
    possible[1] = int(after != NONE)
    possible[LEFT_CLASS] = own_left
    possible[KNOWN] = int(labels - 1 - int(after != NONE) - own_left > 0)
    possible[BETWEEN] = int(high - low > 1)
    possible[GREATER] = int(high < span - 1)
    possible[LESS] = int(low > 0)
    class_frequencies(place.codes, possible, class_maps, powers, place.room, place.frequencies)


@njit(cache=True, allocates=False)
def code_candidate(
    value: int, fine: int, kind: int, broken: bool, place: Place, known: Known, mixing: Mixing,
    coder: Coder,
) -> tuple[int, int]:  # fmt: skip
    """The label of the candidate that a sample is like, NONE if of none, and how many failed. It is
    not like the one above where it has `broken` a quiet stretch; `fine` is foreseen of it.
    """
    codes, candidates, select, refine = place.codes, place.candidates, place.select, place.refine
    run, beside = min(max(codes[11], 0), 20), codes[13]
    rest = 1 << PRECISION
    for k in range(CANDIDATES):
        if k == FIRST_MEMORY:
            for i in range(MEMORIES):
                place.keys[i] = place.contexts[REMEMBERED_BY[i]] & (len(known.labels_of) - 1)
                candidates[k + i] = known.remembered[i, place.keys[i]]
        other = candidates[k]
        for i in range(k):
            if candidates[i] == candidates[k]:
                other = NONE
        if k < KNOWN:
            share = place.frequencies[k]
        else:
            share, rest = place.frequencies[KNOWN], 0
            for i in range(KNOWN, CLASSES):
                rest += place.frequencies[i]
        if other != NONE and not (k == 0 and broken):
            candidate = known.values[other]
            fill_candidate_contexts(
                candidate, fine, place.near, place.ahead[0], codes[0], run, beside, place.contexts
            )
            chance = (share << PRECISION) // max(rest, 1)
            place.given[0] = STRETCH[min(max(chance, 1), (1 << PRECISION) - 1)]
            away = fine - (candidate << FRACTION)
            select[0] = k * NEARNESSES + min(max(away >> 2, -5), 6) + 5
            select[1] = CANDIDATES * NEARNESSES + k * PATTERNS + codes[23]
            select[2] = CANDIDATES * (NEARNESSES + PATTERNS) + k * RUN_CLASSES
            select[2] += beside * 8 + bit_length(min(max(codes[11], 0), 127))
            select[3] = SELECTORS - (CANDIDATES - k) * KINDS + kind
            refine[0] = k * PATTERNS + min(max(away >> 1, -31), 31) + 31
            refine[1] = k * PATTERNS + codes[23]
            if code_mixed(
                int(value == candidate), place.contexts, k, k, select, refine, place.given, mixing,
                coder,
            ):  # fmt: skip
                return other, k
        rest -= share
    return NONE, CANDIDATES
