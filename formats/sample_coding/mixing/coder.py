"""An image of integers as binary decisions that many contexts foresee together, and that learn.

A sample of layers is like one of its neighbours or of the values that came in such a place before,
or else misses its prediction by some integer; a sample of smooth models is that miss at once.
`encode_mixed` and `decode_mixed` run the same compiled loop. Values are integers of [0, span);
nothing here knows about velocities.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.entropy.symbols import (
    DECODING,
    PRECISION,
    Coder,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.label_map.context import FEATURES, RUN_TOP, features
from velcodec.formats.sample_coding.label_map.network import (
    BETWEEN,
    CLASSES,
    GREATER,
    KNOWN,
    LESS,
    ROOM,
    class_frequencies,
    network_of,
    powers_of_two,
)
from velcodec.formats.sample_coding.label_map.network import LEFT as LEFT_CLASS
from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing.contexts import (
    KINDS,
    LIKE,
    NEAR,
    QUIET,
    STEPS,
    fill_like_contexts,
    fill_near,
    extrapolate_end,
    fill_break_contexts,
    fill_fine_contexts,
    fill_ends,
    fill_quiet_contexts,
    fill_steps,
    kind_of,
    plain_below,
    quiet_stretch,
)
from velcodec.formats.sample_coding.mixing.contexts import LEFT as BESIDE
from velcodec.formats.sample_coding.mixing.image import (
    MEMORIES,
    Known,
    new_known,
    note,
    place_of_value,
)
from velcodec.formats.sample_coding.mixing.mixer import (
    STRETCH,
    Mixing,
    code_mixed,
    new_mixing,
    with_history,
)
from velcodec.formats.sample_coding.mixing.predictions import learn_steady, new_steady, steady_guess
from velcodec.formats.sample_coding.mixing.residuals import (
    GROUPS,
    MISS,
    REFINERS,
    Foresight,
    code_value,
    new_foresight,
    open_misses,
)
from velcodec.formats.sample_coding.mixing.residuals import SELECTORS as MISS_SELECTORS
from velcodec.formats.sample_coding.mixing.start import released, restored
from velcodec.formats.sample_coding.mixing.regression import MAX_SPAN, close_column, new_regression, open_column
from velcodec.formats.sample_coding.prediction.start import first_models

MAX_SAMPLES = 1 << 20
"""Images of more samples are not coded: each takes some microseconds."""

NETWORK = 3
"""The context network whose classes are among the votes."""

CANDIDATES = 4 + MEMORIES
"""A sample is compared with the one above, the one after it in the column before, the ones to the
left, below that and above it, the next plain layer below, and what came last in such places.
"""

FIRST_MEMORY = CANDIDATES - MEMORIES
REMEMBERED_BY = (21, 19, 17)
"""Contexts by which values are remembered."""

ENDS, PATTERNS, RUN_CLASSES = 12, 64, 48
SELECTORS = CANDIDATES * (ENDS + PATTERNS + RUN_CLASSES + KINDS)
SLOTS = 1 << 13
QUIET_SLOTS = 1 << 9
QUIET_CLASSES = 64
TRIED = 12
SYMBOLS_PER_SAMPLE = CANDIDATES + 40


class Start(NamedTuple):
    """What is known beforehand of quiet samples, of candidates and of misses, and learns."""

    quiet: Mixing
    like: Mixing
    miss: Mixing


def fits(shape: tuple[int, int], span: int) -> bool:
    """Whether images (nz, nx) of integers in [0, span) can be coded."""
    return 1 <= span <= MAX_SPAN and shape[0] * shape[1] <= MAX_SAMPLES


def blank_start() -> Start:
    """One that knows nothing."""
    return Start(
        new_mixing(QUIET, QUIET_SLOTS, 2, 2 * QUIET_CLASSES, 2 * QUIET_CLASSES, 0),
        new_mixing(LIKE, SLOTS, CANDIDATES, SELECTORS, CANDIDATES * PATTERNS, 1),
        new_mixing(MISS, SLOTS, GROUPS, MISS_SELECTORS, REFINERS, 0),
    )


@cache
def _released_start(smooth: bool) -> Start:
    blank, tensors = blank_start(), released()
    return Start(
        restored(tensors, "quiet", blank.quiet),
        restored(tensors, "like", blank.like),
        restored(tensors, "smooth_miss" if smooth else "layered_miss", blank.miss),
    )


def first_start(smooth: bool) -> Start:
    """What a stream begins with."""
    start = _released_start(smooth)
    return Start(*(mixing.copy() for mixing in start))


@njit(cache=True)
def _end_class(code: int) -> int:
    """Where the layer above ended in the column before: one of ENDS."""
    if code > 20:
        return code - 11
    return min(max(code - 10, -3), 6) + 3


@njit(cache=True, allocates=False)
def _fill_classes(
    above: int, after: int, left: int, labels: int, values: Int64, span: int, codes: Int64,
    possible: Int64, class_maps: tuple[Int64, ...], powers: Int64, room: Int64,
    frequencies: Int64,
) -> None:  # fmt: skip
    """What the context network expects."""
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
    class_frequencies(codes, possible, class_maps, powers, room, frequencies)


@njit(cache=True, allocates=False)
def _code_like(
    value: int, codes: Int64, end: int, run: int, kind: int, broken: bool, candidates: Int64,
    keys: Int64, frequencies: Int64, fine: int, near: Int64, ahead: Int64, of_like: Int64, select: Int64, refine: Int64, given: Int64,
    known: Known, mixing: Mixing, coder: Coder,
) -> tuple[int, int]:  # fmt: skip
    """The label of the candidate that a sample is like, NONE if of none, and how many failed; it is
    not like the one above where it has `broken` a quiet run. `keys` (MEMORIES,) get where the label
    is to be remembered.
    """
    rest = 1 << PRECISION
    for k in range(CANDIDATES):
        if k == FIRST_MEMORY:
            for i in range(MEMORIES):
                keys[i] = of_like[REMEMBERED_BY[i]] & (len(known.labels_of) - 1)
                candidates[k + i] = known.remembered[i, keys[i]]
        other = candidates[k]
        for i in range(k):
            if candidates[i] == candidates[k]:
                other = NONE
        if k < KNOWN:
            share = frequencies[k]
        else:
            share, rest = frequencies[KNOWN], 0
            for i in range(KNOWN, CLASSES):
                rest += frequencies[i]
        if other != NONE and not (k == 0 and broken):
            if k > 0:
                fill_fine_contexts(
                    fine, known.values[other], near, codes[23], ahead[0], codes[0],
                    min(max(codes[11], 0), 20), codes[13], of_like,
                )
            chance = (share << PRECISION) // max(rest, 1)
            given[0] = STRETCH[min(max(chance, 1), (1 << PRECISION) - 1)]
            near_by = min(max((fine - (known.values[other] << 4)) >> 2, -5), 6) + 5
            select[0] = k * ENDS + near_by
            select[1] = CANDIDATES * ENDS + k * PATTERNS + codes[23]
            select[2] = CANDIDATES * (ENDS + PATTERNS) + k * RUN_CLASSES
            select[2] += codes[13] * 8 + run
            select[3] = SELECTORS - (CANDIDATES - k) * KINDS + kind
            away = min(max((fine - (known.values[other] << 4)) >> 1, -31), 31) + 31
            refine[0], refine[1] = k * PATTERNS + away, k * PATTERNS + codes[23]
            if code_mixed(
                int(value == known.values[other]), of_like, k, k, select, refine, given,
                mixing, coder,
            ):  # fmt: skip
                return other, k
        rest -= share
    return NONE, CANDIDATES


@njit(cache=True, allocates=False)
def _code_held(
    held: int, stretch: int, z: int, value: int, last: int, ends: Int64, of_quiet: Int64, still: int, breaks: int, kind: int, select: Int64,
    refine: Int64, given: Int64, mixing: Mixing, coder: Coder,
) -> int:  # fmt: skip
    """How many samples of a quiet stretch are like the one above before one is not: from the end,
    where the most breaks are.
    """
    for k in range(min(stretch, TRIED) - 1):
        fill_break_contexts(z + stretch - 1 - k, k, still, value, last, ends, of_quiet)
        select[0], select[1] = QUIET_CLASSES + still, QUIET_CLASSES + 16 + min(k, 15)
        select[2], select[3] = QUIET_CLASSES + 32 + breaks, QUIET_CLASSES + 48 + kind
        refine[0], refine[1] = QUIET_CLASSES + still, QUIET_CLASSES + 16 + min(k, 15)
        if code_mixed(
            int(held == stretch - 1 - k), of_quiet, 1, 1, select, refine, given[:0], mixing,
            coder,
        ):  # fmt: skip
            return stretch - 1 - k
    if stretch <= TRIED:
        return 0
    return code_even(held, stretch - TRIED + 1, coder)


@njit(cache=True)
def _code_samples(
    wanted: Int64, span: int, bound: int, smooth: bool, known: Known, start: Start,
    foresight: Foresight, class_maps: tuple[Int64, ...], powers: Int64, coder: Coder,
) -> int:  # fmt: skip
    """Code all samples; an encoder those `wanted` (nx, nz). Returns 0, or -1 - (place) of a sample
    that leaves [0, span).
    """
    decoding = coder[DECODING]
    columns, values, scan = known.columns, known.values, known.scan
    nx, nz = columns.shape
    codes = np.zeros(FEATURES, dtype=np.int64)
    near, place = np.zeros(NEAR, dtype=np.int64), np.zeros(4, dtype=np.int64)
    steps = np.zeros(STEPS, dtype=np.int64)
    candidates, keys = np.zeros(CANDIDATES, dtype=np.int64), np.zeros(MEMORIES, dtype=np.int64)
    of_quiet, of_like = np.zeros(QUIET, dtype=np.int64), np.zeros(LIKE, dtype=np.int64)
    of_miss, given = np.zeros(MISS, dtype=np.int64), np.zeros(1, dtype=np.int64)
    select, refine = np.zeros(4, dtype=np.int64), np.zeros(2, dtype=np.int64)
    frequencies, possible = np.zeros(CLASSES, dtype=np.int64), np.zeros(CLASSES, dtype=np.int64)
    labels, plain, breaks, since = 0, span // 2, 0, 0
    left_quiet, break_next, last_jump, deviation = 0, False, 0, 0
    ahead = np.zeros(4, dtype=np.int64)
    ends, room = np.zeros(4, dtype=np.int64), np.zeros(ROOM, dtype=np.int64)
    for x in range(nx):
        open_misses(x, foresight)
        open_column(known.padded, x, foresight.regression)
        for z in range(nz):
            value = 0 if decoding else wanted[x, z]
            kind = kind_of(labels, x)
            broken = False
            if left_quiet == 0 and not smooth:
                stretch, still = quiet_stretch(columns, x, z)
                if stretch > 0:
                    above, run, whole = columns[x, z - 1], z - scan[RUN_TOP], True
                    if not decoding:
                        for k in range(stretch):
                            whole = whole and wanted[x, z + k] == values[above]
                    fill_ends(columns, x, z, scan[RUN_TOP], ends)
                    fill_quiet_contexts(
                        columns, x, z, values[above], still, run, breaks, since, ends, of_quiet
                    )
                    select[0], select[1] = still, 16 + min(breaks, 15)
                    select[2], select[3] = 32 + bit_length(min(since, 32767)), 48 + kind
                    refine[0], refine[1] = still, 16 + min(breaks, 15)
                    whole = code_mixed(
                        int(whole), of_quiet, 0, 0, select, refine, given[:0], start.quiet, coder
                    )
                    since += stretch
                    if not whole:
                        held = 0
                        while not decoding and wanted[x, z + held] == values[above]:
                            held += 1
                        stretch = _code_held(
                            held, stretch, z, values[above], last_jump, ends, of_quiet, still,
                            min(breaks, 15), kind, select, refine, given, start.quiet, coder,
                        )
                        last_jump = z + stretch - ends[0]
                        breaks, since = breaks + 1, 0
                        broken = stretch == 0
                        break_next = True
                    left_quiet = stretch
            if left_quiet > 0:
                note(columns[x, z - 1], columns[x, z - 1], x, z, known)
                left_quiet -= 1
                continue
            if break_next:
                broken, break_next = True, False
            above, after, left = features(
                columns, x, z, scan, known.thickness, values, known.counts, bound, codes
            )
            next_label = plain_below(columns, x, z)
            if above != NONE and z - scan[RUN_TOP] >= 3:
                plain = values[above]
            fill_near(known.image, x, z, span // 2, near)
            place[0], place[1], place[2], place[3] = x, z, nx - 1 - x, nz - 1 - z
            next_plain = plain if left == NONE else values[left]
            if next_label != NONE:
                next_plain = values[next_label]
            label, reached = NONE, 0
            if above != NONE and not smooth:
                follower = values[after] if after != NONE else NONE
                fill_steps(columns, x, z, codes[0] - 10, above, steps)
                _fill_classes(
                    above, after, left, labels, values, span, codes, possible, class_maps, powers,
                    room, frequencies,
                )  # fmt: skip
                foreseen = min(
                    max(steady_guess(known.padded, x, z, foresight.steady), 0.0), span - 1.0
                )
                fine = int(np.floor(foreseen * 16.0 + 0.5))
                extrapolate_end(columns, x, z, codes[0] - 10, above, ahead)
                if z == 0:
                    deviation = 0
                fill_like_contexts(
                    codes, near, steps, known.runs, place, kind, plain, next_plain, follower,
                    ahead, deviation, known.image, fine, of_like,
                )  # fmt: skip
                candidates[0], candidates[1], candidates[2] = above, after, left
                candidates[3] = columns[x - 1, z + 1] if x > 0 and z + 1 < nz else NONE
                end = _end_class(codes[0])
                run = bit_length(min(max(codes[11], 0), 127))
                label, reached = _code_like(
                    value, codes, end, run, kind, broken, candidates, keys, frequencies,
                    fine, near, ahead, of_like, select, refine, given, known, start.like, coder,
                )  # fmt: skip
                if label != above and label != NONE and ahead[3] > 0:
                    deviation = min(max(32 - ahead[0], -20), 20) + 21
            if label == NONE:
                if above != NONE and not smooth and ahead[3] > 0:
                    deviation = min(max(32 - ahead[0], -20), 20) + 21
                follower = values[after] if after != NONE else near[BESIDE]
                value = code_value(
                    value, codes, near, place, kind, span, plain, next_plain, follower,
                    smooth, known.padded, foresight, of_miss, select, refine, start.miss,
                    coder,
                )  # fmt: skip
                if not 0 <= value < span:
                    return -1 - (x * nz + z)
                at = place_of_value(value, known)
                if known.labels_of[at] == NONE:
                    known.labels_of[at] = labels
                    values[labels] = value
                    labels += 1
                label = known.labels_of[at]
            elif not smooth:
                learn_steady(values[label] - known.padded[x + 3, z + 2], foresight.steady)
            if reached >= FIRST_MEMORY:
                for i in range(MEMORIES):
                    known.remembered[i, keys[i]] = label
            note(label, above, x, z, known)
        close_column(known.padded, x, foresight.regression)
    return 0


def _run(
    wanted: Int64, shape: tuple[int, int], span: int, bound: int, smooth: bool, start: Start,
    coder: Coder,
) -> tuple[int, Int64]:  # fmt: skip
    """What `_code_samples` returns, and the image (nz, nx)."""
    known = new_known(*shape, span)
    samples = shape[0] * shape[1]
    with_room = Start(
        with_history(start.quiet, samples >> 3),
        with_history(start.like, samples),
        with_history(start.miss, samples),
    )
    foresight = new_foresight(
        shape[0], new_regression(shape[0] if smooth else 1, first_models().prior), new_steady()
    )
    done = _code_samples(
        wanted, span, bound, smooth, known, with_room, foresight,
        network_of(NETWORK).classes.arrays(), powers_of_two(), coder,
    )  # fmt: skip
    return done, np.ascontiguousarray(known.image.T)


def encode_mixed(codes: Int64, span: int, bound: int, smooth: bool) -> bytes:
    """The stream of an image (nz, nx) of integers in [0, span), `bound` the class of the bound.
    Raises ValueError where it does not fit.
    """
    return write(codes, span, bound, first_start(smooth), smooth)


def write(codes: Int64, span: int, bound: int, start: Start, smooth: bool) -> bytes:
    """The same from such a start, which learns."""
    shape = codes.shape[0], codes.shape[1]
    if not fits(shape, span):
        raise ValueError(f"mixed: {_found(shape, span)}")
    coder = new_encoder(SYMBOLS_PER_SAMPLE * codes.size)
    _run(np.ascontiguousarray(codes.T), shape, span, bound, smooth, start, coder)
    return finish_encoder(coder)


def decode_mixed(
    stream: bytes, shape: tuple[int, int], span: int, bound: int, smooth: bool
) -> Int64:
    """The image (nz, nx) that `encode_mixed` was given. Raises CorruptError."""
    if not fits(shape, span):
        raise CorruptError(f"exact stream: mixed: {_found(shape, span)}")
    coder = new_decoder(stream)
    nothing = np.zeros((0, 0), dtype=np.int64)
    done, image = _run(nothing, shape, span, bound, smooth, first_start(smooth), coder)
    if done < 0:
        raise CorruptError(
            f"exact stream: sample {-1 - done}: found a value outside 0 to {span - 1}"
        )
    finish_decoder(coder)
    return image


def _found(shape: tuple[int, int], span: int) -> str:
    return f"found {shape[0]} x {shape[1]} samples of span {span}, too great"
