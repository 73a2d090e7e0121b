"""An image of integers as binary decisions that many contexts foresee together, and that learn.

A sample of layers is like one of its neighbours or of the values that came in such a place before,
or else misses its prediction by some integer; a sample of smooth models is that miss at once. The
first symbol tells which. Encoder and decoder run the same compiled loop. Values are integers of
[0, span); nothing here knows about velocities.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    DECODING,
    PRECISION,
    Coder,
    code_among,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.base import Image, Request, SampleCoder
from velcodec.formats.sample_coding.coders import MIXED
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.label_map.context import RUN_TOP, close_spans, features
from velcodec.formats.sample_coding.label_map.network import Weights, network_of, powers_of_two
from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing import candidates, quiet
from velcodec.formats.sample_coding.mixing.around import LEFT as BESIDE
from velcodec.formats.sample_coding.mixing.around import fill_near, kind_of, plain_below
from velcodec.formats.sample_coding.mixing.candidates import (
    CANDIDATES,
    FIRST_MEMORY,
    Place,
    code_candidate,
    fill_classes,
    new_place,
)
from velcodec.formats.sample_coding.mixing.contexts import LIKE, QUIET, fill_like_contexts
from velcodec.formats.sample_coding.mixing.image import (
    MEMORIES,
    Known,
    new_known,
    note,
    place_of_value,
)
from velcodec.formats.sample_coding.mixing.interfaces import extrapolate_end, fill_steps
from velcodec.formats.sample_coding.mixing.mixer import Mixing, new_mixing, with_history
from velcodec.formats.sample_coding.mixing.predictions import new_steady, steady_guess
from velcodec.formats.sample_coding.mixing.quiet import (
    BROKEN,
    Quiet,
    code_quiet,
    new_quiet,
)
from velcodec.formats.sample_coding.mixing.quiet import LEFT as LEFT_OF_STRETCH
from velcodec.formats.sample_coding.mixing.regression import (
    MAX_SPAN,
    MOST_ORDER,
    close_column,
    new_regression,
    open_column,
)
from velcodec.formats.sample_coding.mixing.residuals import (
    GROUPS,
    MISS,
    REFINERS,
    Foresight,
    code_value,
    learn_value,
    new_foresight,
    open_misses,
)
from velcodec.formats.sample_coding.mixing.residuals import SELECTORS as MISS_SELECTORS
from velcodec.formats.sample_coding.mixing.start import released_prior, released_tensors, restored

MAX_SAMPLES = 1 << 22
"""Images of more samples are not coded: each takes some microseconds."""

NETWORK = 3
"""The context network whose classes are among the votes."""

KINDS_OF_IMAGES = np.array([(1 << PRECISION) - (1 << 12), 1 << 12], dtype=np.int64)
"""Frequencies of images of layers and of smooth ones."""

SLOTS = 1 << 13
QUIET_SLOTS = 1 << 9
SYMBOLS_PER_SAMPLE = CANDIDATES + 40

FAR_OFF = 20
"""How far an interface is from where it should be is clamped to so many eighths of a row."""


class Start(NamedTuple):
    """What is known beforehand of quiet stretches, of candidates and of misses, and learns; and the
    weights that a linear prediction begins with.
    """

    quiet: Mixing
    like: Mixing
    miss: Mixing
    prior: Float64

    def copy(self) -> Start:
        """One that learns apart from this one."""
        return Start(self.quiet.copy(), self.like.copy(), self.miss.copy(), self.prior)


def fits(shape: tuple[int, int], span: int) -> bool:
    """Whether images (nz, nx) of integers in [0, span) can be coded."""
    return 1 <= span <= MAX_SPAN and shape[0] * shape[1] <= MAX_SAMPLES


def blank_start() -> Start:
    """One that knows nothing."""
    return Start(
        new_mixing(QUIET, QUIET_SLOTS, 2, 2 * quiet.SELECTORS, 2 * quiet.SELECTORS, 0),
        new_mixing(LIKE, SLOTS, CANDIDATES, candidates.SELECTORS, candidates.REFINERS, 1),
        new_mixing(MISS, SLOTS, GROUPS, MISS_SELECTORS, REFINERS, 0),
        np.zeros(MOST_ORDER),
    )


@cache
def released_start(smooth: bool) -> Start:
    """What streams begin with; not to be changed."""
    blank, tensors = blank_start(), released_tensors()
    return Start(
        restored(tensors, "quiet", blank.quiet),
        restored(tensors, "like", blank.like),
        restored(tensors, "smooth_miss" if smooth else "layered_miss", blank.miss),
        released_prior(),
    )


@njit(cache=True, allocates=False)
def _code_sample(
    value: int, x: int, z: int, span: int, bound: int, smooth: bool, labels: int, state: Int64,
    known: Known, place: Place, quiet: Quiet, start: Start, foresight: Foresight, contexts: Int64,
    class_maps: Weights, powers: Int64, coder: Coder,
) -> int:  # fmt: skip
    """Code sample z of column x, of which a decoder is told no value; the number of labels after
    it, or -1 if its value leaves [0, span). `state` (2,) are the value of the last plain layer, and
    how far the last interface was from where it should have been.
    """
    columns, values, scan = known.columns, known.values, known.scan
    codes, near, position, ahead = place.codes, place.near, place.position, place.ahead
    nx, nz = columns.shape
    broken = quiet.state[BROKEN] > 0
    quiet.state[BROKEN] = 0
    above, after, left = features(
        columns, known.spans, x, z, scan, known.thickness, values, known.counts, bound, not smooth,
        codes,
    )  # fmt: skip
    next_label = plain_below(columns, x, z)
    if above != NONE and z - scan[RUN_TOP] >= 3:
        state[0] = values[above]
    fill_near(known.image, x, z, span // 2, near)
    position[0], position[1], position[2], position[3] = x, z, nx - 1 - x, nz - 1 - z
    plain, next_plain = state[0], state[0] if left == NONE else values[left]
    if next_label != NONE:
        next_plain = values[next_label]
    kind, label, failed = kind_of(labels, x), NONE, 0
    layered = above != NONE and not smooth
    if layered:
        follower = values[after] if after != NONE else NONE
        fill_steps(columns, x, z, codes[0] - 10, above, place.steps)
        extrapolate_end(columns, x, z, codes[0] - 10, above, ahead)
        if z == 0:
            state[1] = 0
        fill_classes(above, after, left, labels, values, span, class_maps, powers, place)
        fill_like_contexts(
            codes, near, place.steps, known.runs, position, kind, plain, next_plain, follower,
            ahead, state[1], known.image, place.contexts,
        )  # fmt: skip
        of = place.candidates
        of[0], of[1], of[2] = above, after, left
        of[3] = columns[x - 1, z + 1] if x > 0 and z + 1 < nz else NONE
        fine = steady_guess(known.padded, x, z, span, foresight.steady)
        label, failed = code_candidate(value, fine, kind, broken, place, known, start.like, coder)
        if label != above and ahead[3] > 0:
            state[1] = min(max(32 - ahead[0], -FAR_OFF), FAR_OFF) + FAR_OFF + 1
    if label == NONE:
        follower = values[after] if after != NONE else near[BESIDE]
        value = code_value(
            value, codes, near, position, kind, span, plain, next_plain, follower, smooth,
            known.padded, foresight, contexts, place.select, place.refine, start.miss, coder,
        )  # fmt: skip
        if not 0 <= value < span:
            return -1
        at = place_of_value(value, known)
        if known.labels_of[at] == NONE:
            known.labels_of[at] = labels
            values[labels] = value
            labels += 1
        label = known.labels_of[at]
    if failed >= FIRST_MEMORY:
        for i in range(MEMORIES):
            known.remembered[i, place.keys[i]] = label
    learn_value(values[label], x, z, smooth, known.padded, foresight)
    note(label, above, x, z, known)
    return labels


@njit(cache=True)
def _code_samples(
    wanted: Int64, span: int, bound: int, smooth: bool, known: Known, place: Place, quiet: Quiet,
    start: Start, foresight: Foresight, class_maps: Weights, powers: Int64, coder: Coder,
) -> int:  # fmt: skip
    """Code all samples; an encoder those `wanted` (nx, nz). Returns 0, or -1 - (place) of a sample
    that leaves [0, span).
    """
    nx, nz = known.columns.shape
    state, contexts = np.array([span // 2, 0]), np.zeros(MISS, dtype=np.int64)
    labels = 0
    for x in range(nx):
        open_misses(x, foresight)
        open_column(known.padded, x, foresight.regression)
        for z in range(nz):
            if not smooth and quiet.state[LEFT_OF_STRETCH] == 0 and quiet.state[BROKEN] == 0:
                code_quiet(wanted, x, z, kind_of(labels, x), known, quiet, start.quiet, coder)
            if quiet.state[LEFT_OF_STRETCH] > 0:
                quiet.state[LEFT_OF_STRETCH] -= 1
                note(known.columns[x, z - 1], known.columns[x, z - 1], x, z, known)
                continue
            value = 0 if coder[DECODING] else wanted[x, z]
            labels = _code_sample(
                value, x, z, span, bound, smooth, labels, state, known, place, quiet, start,
                foresight, contexts, class_maps, powers, coder,
            )  # fmt: skip
            if labels < 0:
                return -1 - (x * nz + z)
        close_column(known.padded, x, foresight.regression)
        close_spans(known.columns, x, known.spans)
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
        start.prior,
    )
    regression = new_regression(shape[0] if smooth else 1, start.prior)
    done = _code_samples(
        wanted, span, bound, smooth, known, new_place(), new_quiet(), with_room,
        new_foresight(shape[0], regression, new_steady()),
        network_of(NETWORK).classes.arrays(), powers_of_two(), coder,
    )  # fmt: skip
    for mixing, wide in zip(start[:3], with_room[:3], strict=True):
        if wide.cells is not mixing.cells:
            mixing.counters[:] = wide.counters
    return done, np.ascontiguousarray(known.image.T)


def encode_mixed(codes: Int64, span: int, bound: int, smooth: bool) -> bytes:
    """The stream of an image (nz, nx) of integers in [0, span), `bound` the class of the bound.
    Raises ValueError where it does not fit.
    """
    return write(codes, span, bound, released_start(smooth).copy(), smooth)


def write(codes: Int64, span: int, bound: int, start: Start, smooth: bool) -> bytes:
    """The same from such a start, which learns."""
    shape = codes.shape[0], codes.shape[1]
    if not fits(shape, span):
        raise ValueError(f"mixed: {_found(shape, span)}")
    coder = new_encoder(SYMBOLS_PER_SAMPLE * codes.size + 1)
    code_among(int(smooth), KINDS_OF_IMAGES, coder)
    for mixing in start[:3]:
        mixing.forget()
    _run(np.ascontiguousarray(codes.T), shape, span, bound, smooth, start, coder)
    return finish_encoder(coder)


def decode_mixed(stream: bytes, shape: tuple[int, int], span: int, bound: int) -> Int64:
    """The image (nz, nx) that `encode_mixed` was given. Raises CorruptError."""
    if not fits(shape, span):
        raise CorruptError(f"exact stream: mixed: {_found(shape, span)}")
    coder = new_decoder(stream)
    smooth = bool(code_among(0, KINDS_OF_IMAGES, coder))
    nothing = np.zeros((0, 0), dtype=np.int64)
    start = released_start(smooth).copy()
    done, image = _run(nothing, shape, span, bound, smooth, start, coder)
    if done < 0:
        raise CorruptError(
            f"exact stream: sample {-1 - done}: found a value outside 0 to {span - 1}"
        )
    finish_decoder(coder)
    return image


def _found(shape: tuple[int, int], span: int) -> str:
    return f"found {shape[0]} x {shape[1]} samples of span {span}, too great"


class MixedCoder(SampleCoder):
    """Any image of up to 2^22 samples: decisions that many contexts foresee together."""

    number, name, samples_per_byte = MIXED, "context mixing", 1 << 9

    def encode(self, request: Request, domain: Domain, network: int) -> Image | None:
        """Codes the preferred integers, as `request.smooth` says; None if the image is too large or
        its span too wide.
        """
        if not fits(request.shape, domain.span):
            return None
        codes = request.preferred
        return Image(encode_mixed(codes, domain.span, domain.bound, request.smooth), codes)

    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """Raises CorruptError."""
        return decode_mixed(data, shape, domain.span, domain.bound)
