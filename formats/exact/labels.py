"""A label image coded sample by sample: which neighbour a sample is equal to, or its new value.

`encode_labels` and `decode_labels` run the same compiled loop, so that both see the same contexts.
An encoder may choose each value within bounds, and takes the cheapest. Values are integers of
[0, span); nothing here knows about velocities.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptError
from .misses import OTHER_SYMBOLS, code_miss, energy_class, first_models
from .neighbours import FEATURES, NONE, advance, features
from .network import (
    ABOVE,
    AFTER,
    BETWEEN,
    CLASSES,
    GREATER,
    KNOWN,
    LEFT,
    LESS,
    PRECISION,
    Network,
    class_frequencies,
)
from .symbols import (
    DECODING,
    Coder,
    by_columns,
    code_among,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)

Int64 = NDArray[np.int64]

MAX_LABELS = 1 << 16
MOST_RECENT = 1024
"""Known labels that an encoder looks at before it takes a value for new."""

LEAST, PREFERRED, GREATEST = range(3)
SYMBOLS_PER_SAMPLE, SYMBOLS_PER_LABEL = 5, 6 + OTHER_SYMBOLS
"""At most, of a sample: class, rank; of a new value: five, or a miss without its number of bits."""

FURTHER = 2
"""Samples further down, where the guide is nearer to a new layer's value than at its top."""

WORTH_A_HINT = 4
"""A new value is coded against the guide where it may be one of so many (2^...) times the usual
miss."""

CARE_RATE = 5
"""The guide's distance from the samples is forgotten with a rate of 2^-CARE_RATE."""

RANKS = 24
"""Classes of how long ago a known label was used; class r holds 2^r ranks."""


@njit(cache=True)
def _rank_frequencies(counts: Int64, ranks: int, out: Int64) -> int:
    """Frequencies of the rank classes that `ranks` known labels need; how many classes."""
    classes = 0
    while (1 << classes) - 1 < ranks:
        classes += 1
    total = 0
    for k in range(classes):
        total += counts[k]
    left = 1 << PRECISION
    for k in range(classes):
        out[k] = 1 + counts[k] * ((1 << PRECISION) - classes) // total
        left -= out[k]
    out[0] += left
    return classes


@njit(cache=True)
def _code_samples(
    columns: Int64, values: Int64, allowed: Int64, span: int, bound: int,
    network: tuple[Int64, ...], guide: Int64, coder: Coder, trace: Int64,
) -> int:  # fmt: skip
    """Fill `columns` (nx, nz) with labels, numbered by first use, and `values` with theirs.

    An encoder takes of what `allowed` (nx, nz, 3) lets it (least, preferred, greatest value) what
    seems cheapest. Returns 0, or -1 - (place) where the labels run out.
    `trace` (samples, FEATURES + 2), if not empty, gets features, possible classes and class.
    """
    width, height = columns.shape
    capacity = len(values)
    counts = np.zeros(capacity, dtype=np.int64)
    thickness = np.zeros((capacity, 2), dtype=np.int64)
    recent = np.zeros(capacity, dtype=np.int64)
    scan = np.zeros(4, dtype=np.int64)
    codes = np.zeros(FEATURES, dtype=np.int64)
    frequencies = np.zeros(CLASSES, dtype=np.int64)
    possible = np.zeros(CLASSES, dtype=np.int64)
    rank_counts = np.array([1 + 24 // (k + 1) for k in range(RANKS)])
    rank_frequencies = np.zeros(RANKS, dtype=np.int64)
    stops, signs, tails = first_models()
    guided = len(guide) > 0
    care = span >> 6
    surprise = care
    decoding = coder[DECODING]
    labels = 0
    for x in range(width):
        for z in range(height):
            above, after, left = features(
                columns, x, z, scan, thickness, values, counts, bound, guide, span, care, codes
            )
            label, rank = NONE, 0
            low = high = -1
            if above != NONE and after != NONE:
                low = min(values[above], values[after])
                high = max(values[above], values[after])
            others = labels - int(above != NONE) - int(after != NONE)
            others -= int(left != NONE and left != above and left != after)
            possible[ABOVE] = int(above != NONE)
            possible[AFTER] = int(after != NONE)
            possible[LEFT] = int(left != NONE and left != above and left != after)
            possible[KNOWN] = int(others > 0)
            possible[BETWEEN] = int(high - low > 1)
            possible[GREATER] = int(above == NONE or values[above] < span - 1)
            possible[LESS] = int(above != NONE and values[above] > 0)
            class_frequencies(codes, possible, network, frequencies)
            found = 0
            if not decoding:
                hint = guide[x, min(z + FURTHER, height - 1)] if guided else NONE
                found, label, rank = _choose(
                    allowed[x, z], frequencies, above, after, left, low, high, labels, values,
                    recent, span, hint,
                )  # fmt: skip
            found = code_among(found, frequencies, coder)
            if len(trace):
                trace[x * height + z, :FEATURES] = codes
                trace[x * height + z, FEATURES] = _as_bits(possible)
                trace[x * height + z, FEATURES + 1] = found
            if found == ABOVE:
                label = above
            elif found == AFTER:
                label = after
            elif found == LEFT:
                label = left
            elif found == KNOWN:
                classes = _rank_frequencies(rank_counts, others, rank_frequencies)
                group = 0
                while (2 << group) - 1 <= rank:
                    group += 1
                group = code_among(group, rank_frequencies[:classes], coder)
                rank_counts[group] += 8
                first = (1 << group) - 1
                size = min(1 << group, others - first)
                rank = first + code_even(rank - first, size, coder)
                if decoding:
                    label = _label_at(rank, recent, above, after, left)
            else:
                base, size = 0, span
                if found == BETWEEN:
                    base, size = low + 1, high - low - 1
                elif found == LESS:
                    size = values[above]
                elif above != NONE:
                    base, size = values[above] + 1, span - 1 - values[above]
                if labels == capacity:
                    return -1 - (x * height + z)
                value = 0 if decoding else allowed[x, z, PREFERRED]
                if guided and size >> WORTH_A_HINT > surprise:
                    hint = guide[x, min(z + FURTHER, height - 1)]
                    hint = min(max(hint, base), base + size - 1)
                    miss = code_miss(
                        value - hint, energy_class(4 * surprise), 0, stops, signs, tails, coder
                    )
                    surprise = (3 * surprise + abs(miss)) // 4
                    value = hint + miss
                    if not base <= value < base + size:
                        return -1 - (x * height + z)
                else:
                    value = base + code_even(value - base, size, coder)
                label = labels
                values[label] = value
                recent[labels] = label
                labels += 1
            if label != above:
                _use(label, labels, recent)
            columns[x, z] = label
            if guided:
                care += (abs(guide[x, z] - values[label]) - care) // (1 << CARE_RATE)
            counts[label] += 1
            advance(label, above, z, scan, thickness)
    return 0


@njit(cache=True)
def _as_bits(flags: Int64) -> int:
    bits = 0
    for k in range(len(flags)):
        bits += flags[k] << k
    return bits


@njit(cache=True)
def _choose(
    allowed: Int64, frequencies: Int64, above: int, after: int, left: int, low: int, high: int,
    labels: int, values: Int64, recent: Int64, span: int, hint: int,
) -> tuple[int, int, int]:  # fmt: skip
    """The class that codes an allowed value in the fewest bits; its label and rank. `hint` is about
    a new layer's value, or NONE.
    """
    least, preferred, greatest = allowed
    best, label, rank = NONE, NONE, 0
    cost = np.inf
    for found, other in ((ABOVE, above), (AFTER, after), (LEFT, left)):
        if frequencies[found] > 0 and least <= values[other] <= greatest:
            bits = -np.log2(frequencies[found])
            if bits < cost:
                best, label, cost = found, other, bits
    if best == ABOVE and frequencies[ABOVE] > (1 << PRECISION) // 2:
        return best, label, rank
    if frequencies[KNOWN] > 0:
        behind = 0
        for place in range(min(labels, MOST_RECENT)):
            other = recent[place]
            if other in (above, after, left):
                continue
            if least <= values[other] <= greatest:
                bits = 1.0 + 2.0 * np.log2(behind + 1.0) - np.log2(frequencies[KNOWN])
                if bits < cost:
                    best, label, rank, cost = KNOWN, other, behind, bits
                break
            behind += 1
    found, size = GREATER, span
    if low < preferred < high:
        found, size = BETWEEN, high - low - 1
    elif above != NONE and preferred < values[above]:
        found, size = LESS, values[above]
    elif above != NONE:
        size = span - 1 - values[above]
    # A value that is known all the same, by a label that is not the best, is not new.
    fresh = above == NONE or preferred != values[above]
    length = np.log2(size)
    if hint != NONE:
        length = min(length, 2.0 + np.log2(1.0 + abs(preferred - hint)))
    if fresh and length - np.log2(frequencies[found]) < cost:
        best, label, rank = found, NONE, 0
    return best, label, rank


@njit(cache=True)
def _label_at(rank: int, recent: Int64, above: int, after: int, left: int) -> int:
    """The inverse of `_rank_of`."""
    for label in recent:
        if label not in (above, after, left):
            if rank == 0:
                return label
            rank -= 1
    return 0


@njit(cache=True)
def _use(label: int, labels: int, recent: Int64) -> None:
    """Move `label` to the front of the first `labels` of `recent`."""
    place = 0
    while recent[place] != label:
        place += 1
    for k in range(place, 0, -1):
        recent[k] = recent[k - 1]
    recent[0] = label


def encode_labels(
    allowed: Int64, span: int, bound: int, network: Network, guide: Int64 | None = None,
    trace: Int64 | None = None,
) -> tuple[bytes, Int64] | None:  # fmt: skip
    """The stream of an image of integers in [0, span), and the image that it holds (nz, nx), within
    `allowed` (nz, nx, 3): the least, the preferred and the greatest value of each sample. None for
    more than MAX_LABELS values.

    `guide` (nz, nx) is a rendering in the same integers that a reader has too.
    `trace` (samples, FEATURES + 2) gets what the network saw and what came, to learn from.
    """
    height, width = allowed.shape[:2]
    columns, values = _blank(height, width)
    most = min(width * height, MAX_LABELS) * (SYMBOLS_PER_LABEL + span.bit_length())
    coder = new_encoder(SYMBOLS_PER_SAMPLE * width * height + most)
    inputs = np.ascontiguousarray(allowed.transpose(1, 0, 2))
    learned = np.zeros((0, 0), dtype=np.int64) if trace is None else trace
    done = _code_samples(
        columns, values, inputs, span, bound, network.arrays(), by_columns(guide), coder, learned
    )
    return (finish_encoder(coder), _image(columns, values)) if done == 0 else None


def decode_labels(
    stream: bytes, shape: tuple[int, int], span: int, bound: int, network: Network,
    guide: Int64 | None = None,
) -> Int64:  # fmt: skip
    """The image (nz, nx) that `encode_labels` chose. Raises CorruptError."""
    columns, values = _blank(*shape)
    coder = new_decoder(stream)
    nothing = np.zeros((0, 0, 3), dtype=np.int64)
    done = _code_samples(
        columns, values, nothing, span, bound, network.arrays(), by_columns(guide), coder,
        nothing[..., 0],
    )  # fmt: skip
    if done < 0:
        raise CorruptError(
            f"exact stream: sample {-1 - done}: found more than {MAX_LABELS} values, "
            f"or one outside 0 to {span - 1}"
        )
    finish_decoder(coder)
    return _image(columns, values)


def _image(columns: Int64, values: Int64) -> Int64:
    image: Int64 = np.ascontiguousarray(values[columns].T)
    return image


def _blank(height: int, width: int) -> tuple[Int64, Int64]:
    columns = np.full((width, height), NONE, dtype=np.int64)
    return columns, np.zeros(min(width * height, MAX_LABELS), dtype=np.int64)
