"""A label image coded sample by sample: which neighbour a sample is equal to, or its new value.

`encode_labels` and `decode_labels` run the same compiled loop, so that both see the same contexts.
An encoder may choose each value within bounds, and takes the cheapest. Values are integers of
[0, span); nothing here knows about velocities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    DECODING,
    Coder,
    code_among,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.label_map.context import FEATURES, RUN_TOP, advance, features
from velcodec.formats.sample_coding.label_map.network import (
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
    powers_of_two,
)
from velcodec.formats.sample_coding.label_map.new_values import (
    CODES,
    ENDS,
    GUESSED,
    SEEN,
    Mixture,
    cheapest,
    code_fresh,
    new_mixture,
    prepare,
)
from velcodec.formats.sample_coding.label_map.recency import (
    FRONT,
    OLDER,
    STATE,
    Recency,
    label_at,
    new_recency,
    place_of,
    use,
)
from velcodec.formats.sample_coding.label_map.surroundings import (
    FRESH_FEATURES,
    GUESSES,
    NONE,
    look_around,
    unseen_bits,
)

Int64 = NDArray[np.int64]

MAX_LABELS = 1 << 16
MOST_RECENT = 1024
"""Known labels that an encoder looks at before it takes a value for new."""

LEAST, PREFERRED, GREATEST = range(3)
TRACED = FEATURES + 2 + FRESH_FEATURES + GUESSES + 3
SYMBOLS_PER_SAMPLE, SYMBOLS_PER_LABEL = 5, 5
"""At most, of a sample (class, rank) and of a new value."""

CANDIDATES, FIRST_RANKED = 5, 3
"""Labels looked at first, and which of them is the first that has a rank."""

AHEAD, FADE, MOST_AHEAD = 3, 0.5, 4.0
"""Samples ahead whose errors count in an encoder's choice, how their share falls from one to the
next, and the bits that one of them counts for at most.
"""

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
    class_maps: tuple[Int64, ...], value_maps: tuple[Int64, ...], powers: Int64,
    mixture: Mixture, recency: Recency, coder: Coder, original: Int64, price: float, trace: Int64,
) -> int:  # fmt: skip
    """Fill `columns` (nx, nz) with labels, numbered by first use, and `values` with theirs.

    An encoder takes of what `allowed` (nx, nz, 3) lets it (least, preferred, greatest value) what
    seems cheapest. With a `price` that counts the squared error against `original` (nx, nz), and
    new values are the preferred ones. Returns 0, or -1 - (place) where the labels run out.
    `trace` (samples, TRACED), if not empty, gets features, possible classes and class; features,
    guesses and room of a new value, and the value.
    """
    width, height = columns.shape
    capacity = len(values)
    counts = np.zeros(capacity, dtype=np.int64)
    thickness = np.zeros((capacity, 2), dtype=np.int64)
    scan = np.zeros(4, dtype=np.int64)
    codes = np.zeros(FEATURES, dtype=np.int64)
    frequencies = np.zeros(CLASSES, dtype=np.int64)
    possible = np.zeros(CLASSES, dtype=np.int64)
    rank_counts = np.array([1 + 24 // (k + 1) for k in range(RANKS)])
    rank_frequencies = np.zeros(RANKS, dtype=np.int64)
    newest = np.zeros(2, dtype=np.int64)
    candidates = np.zeros(CANDIDATES, dtype=np.int64)
    shift = unseen_bits(span)
    decoding = coder[DECODING]
    labels = 0
    for x in range(width):
        for z in range(height):
            above, after, left = features(
                columns, x, z, scan, thickness, values, counts, bound, codes
            )
            label, rank = NONE, 0
            _fill_candidates(columns, x, z, above, after, left, candidates)
            low = high = NONE
            if above != NONE:
                low = high = values[above]
                if after != NONE:
                    low, high = min(low, values[after]), max(high, values[after])
            others = labels - int(above != NONE) - int(after != NONE)
            others -= int(left != NONE and left != above and left != after)
            possible[ABOVE] = int(above != NONE)
            possible[AFTER] = int(after != NONE)
            possible[LEFT] = int(left != NONE and left != above and left != after)
            possible[KNOWN] = int(others > 0)
            possible[BETWEEN] = int(high - low > 1)
            possible[GREATER] = int(high < span - 1)
            possible[LESS] = int(low > 0)
            class_frequencies(codes, possible, class_maps, powers, frequencies)
            looked = False
            found, value = 0, 0
            if not decoding:
                least, preferred, greatest = allowed[x, z]
                found, label, rank, cost = _choose_known(
                    allowed[x, z], frequencies, candidates, values, recency,
                    original, x, z, price,
                )  # fmt: skip
                for kind in (BETWEEN, GREATER, LESS):
                    if frequencies[kind] == 0 or -np.log2(frequencies[kind]) >= cost:
                        continue
                    base, size = _room(kind, low, high, span)
                    first, end = max(least, base), min(greatest, base + size - 1)
                    if price > 0:
                        first, end = max(first, preferred), min(end, preferred)
                    if first > end:
                        continue
                    own = min(max(preferred, first), end)
                    if above == NONE:
                        bits = np.log2(size)
                    else:
                        if not looked:
                            look_around(
                                columns, values, x, z, after, scan[RUN_TOP], newest, shift,
                                mixture[CODES], mixture[SEEN],
                            )  # fmt: skip
                            looked = True
                        prepare(
                            kind - BETWEEN, bound, base, size, shift, value_maps, powers, mixture
                        )
                        own, bits = cheapest(first, own, end, shift, mixture, powers)
                    bits += _regret(own, original, x, z, price) - np.log2(frequencies[kind])
                    if bits < cost:
                        found, value, cost = kind, own, bits
            found = code_among(found, frequencies, coder)
            if len(trace):
                row = trace[x * height + z]
                row[:FEATURES] = codes
                row[FEATURES] = _as_bits(possible)
                row[FEATURES + 1] = found
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
                    label = _label_of_rank(rank, recency, candidates)
            else:
                base, size = _room(found, low, high, span)
                if labels == capacity:
                    return -1 - (x * height + z)
                if above == NONE:
                    value = base + code_even(value - base, size, coder)
                else:
                    if not looked:
                        look_around(
                            columns, values, x, z, after, scan[RUN_TOP], newest, shift,
                            mixture[CODES], mixture[SEEN],
                        )  # fmt: skip
                    prepare(found - BETWEEN, bound, base, size, shift, value_maps, powers, mixture)
                    value = code_fresh(value, shift, mixture, powers, coder)
                    if len(trace):
                        row = trace[x * height + z, FEATURES + 2 :]
                        row[:FRESH_FEATURES] = mixture[CODES]
                        row[FRESH_FEATURES : FRESH_FEATURES + GUESSES] = mixture[GUESSED]
                        row[-3:-1] = mixture[ENDS][:2]
                        row[-1] = value >> shift
                if not base <= value < base + size:
                    return -1 - (x * height + z)
                newest[0] = value >> shift
                newest[1] = newest[0] - (values[left] >> shift) if left != NONE else 0
                label = labels
                values[label] = value
                labels += 1
            if label != above:
                use(label, bool(decoding), recency)
            columns[x, z] = label
            counts[label] += 1
            advance(label, above, z, scan, thickness)
    return 0


@njit(cache=True)
def _room(kind: int, low: int, high: int, span: int) -> tuple[int, int]:
    """The least value that a new label of this kind may have, and how many there are. `low` and
    `high` are the values above and after, or NONE.
    """
    if kind == BETWEEN:
        return low + 1, high - low - 1
    if kind == LESS:
        return 0, low
    return high + 1, span - 1 - high


@njit(cache=True)
def _as_bits(flags: Int64) -> int:
    bits = 0
    for k in range(len(flags)):
        bits += flags[k] << k
    return bits


@njit(cache=True)
def _fill_candidates(
    columns: Int64, x: int, z: int, above: int, after: int, left: int, out: Int64
) -> None:
    """Fill `out` (CANDIDATES,) with the labels that classes stand for, and those that come first
    among the others: below and above the one to the left; NONE where there is none, or it is a
    candidate already.
    """
    out[0], out[1], out[2] = above, after, left
    out[3] = columns[x - 1, z + 1] if x > 0 and z + 1 < columns.shape[1] else NONE
    out[4] = columns[x - 1, z - 1] if x > 0 and z > 0 else NONE
    for k in range(1, CANDIDATES):
        for earlier in range(k):
            if out[k] == out[earlier]:
                out[k] = NONE


@njit(cache=True)
def _choose_known(
    allowed: Int64, frequencies: Int64, candidates: Int64, values: Int64,
    recency: Recency, original: Int64, x: int, z: int, price: float,
) -> tuple[int, int, int, float]:  # fmt: skip
    """The class that codes an allowed value of sample (x, z) in the fewest bits, errors among them
    at their `price`, but for new ones; its label and rank, and its bits, 16 less. NONE where there
    is none.
    """
    least, greatest = allowed[LEAST], allowed[GREATEST]
    best, label, rank = NONE, NONE, 0
    cost = np.inf
    for found in (ABOVE, AFTER, LEFT):
        other = candidates[found]
        if frequencies[found] > 0 and least <= values[other] <= greatest:
            bits = _regret(values[other], original, x, z, price) - np.log2(frequencies[found])
            if bits < cost:
                best, label, cost = found, other, bits
    if frequencies[KNOWN] == 0 or 1.0 - np.log2(frequencies[KNOWN]) >= cost:
        return best, label, rank, cost
    behind = 0
    next_one = recency[STATE][FRONT]
    for place in range(FIRST_RANKED - CANDIDATES, MOST_RECENT):
        if place < 0:
            other = candidates[CANDIDATES + place]
        elif next_one == NONE:
            break
        else:
            other = NONE if next_one in candidates else next_one
            next_one = recency[OLDER][next_one]
        if other == NONE:
            continue
        if least <= values[other] <= greatest:
            bits = 1.0 + 2.0 * np.log2(behind + 1.0) - np.log2(frequencies[KNOWN])
            if bits >= cost:
                break
            bits += _regret(values[other], original, x, z, price)
            if bits < cost:
                best, label, rank, cost = KNOWN, other, behind, bits
            if price == 0:
                break
        behind += 1
    return best, label, rank, cost


@njit(cache=True)
def _regret(value: int, original: Int64, x: int, z: int, price: float) -> float:
    """What the error of a value at (x, z) costs: the bits of its square at `price`. So do, fading,
    the errors of the samples below and to the right, which are likely to take the same value, but
    no more than another value would cost there.
    """
    if price == 0:
        return 0.0
    width, height = original.shape
    bits = price * (value - original[x, z]) ** 2
    share = FADE
    for k in range(1, AHEAD + 1):
        if z + k < height:
            bits += share * min(price * (value - original[x, z + k]) ** 2, MOST_AHEAD)
        if x + k < width:
            bits += share * min(price * (value - original[x + k, z]) ** 2, MOST_AHEAD)
        share *= FADE
    return bits


@njit(cache=True)
def _label_of_rank(rank: int, recency: Recency, candidates: Int64) -> int:
    """The label of a rank: candidates without a class come first, then the others by their use."""
    for k in range(FIRST_RANKED, CANDIDATES):
        if candidates[k] != NONE:
            if rank == 0:
                return int(candidates[k])
            rank -= 1
    # Every candidate before the place moves it on by one; they come in any order.
    places = np.full(CANDIDATES, len(recency[OLDER]), dtype=np.int64)
    for k in range(CANDIDATES):
        if candidates[k] != NONE:
            places[k] = place_of(candidates[k], recency)
    places.sort()
    for k in range(CANDIDATES):
        rank += int(places[k] <= rank)
    return label_at(rank, recency)


def encode_labels(
    allowed: Int64, span: int, bound: int, network: Network, trace: Int64 | None = None,
    original: Int64 | None = None, price: float = 0.0,
) -> tuple[bytes, Int64] | None:  # fmt: skip
    """The stream of an image of integers in [0, span), and the image that it holds (nz, nx), within
    `allowed` (nz, nx, 3): the least, the preferred and the greatest value of each sample. None for
    more than MAX_LABELS values.

    Where errors count in the mean, `price` is what the square of one against `original` (nz, nx) is
    worth in bits, and new values are the preferred ones, not any that are allowed.
    `trace` (samples, TRACED) gets what the network saw and what came, to learn from.
    """
    height, width = allowed.shape[:2]
    columns, values = _blank(height, width)
    most = SYMBOLS_PER_LABEL * min(width * height, MAX_LABELS)
    coder = new_encoder(SYMBOLS_PER_SAMPLE * width * height + most)
    inputs = np.ascontiguousarray(allowed.transpose(1, 0, 2))
    nothing = np.zeros((0, 0), dtype=np.int64)
    compared = nothing if original is None else np.ascontiguousarray(original.T)
    done = _code_samples(
        columns, values, inputs, span, bound, network.classes.arrays(), network.values.arrays(),
        powers_of_two(), new_mixture(), new_recency(len(values)), coder, compared, price,
        nothing if trace is None else trace,
    )  # fmt: skip
    return (finish_encoder(coder), _image(columns, values)) if done == 0 else None


def decode_labels(
    stream: bytes, shape: tuple[int, int], span: int, bound: int, network: Network
) -> Int64:
    """The image (nz, nx) that `encode_labels` chose. Raises CorruptError."""
    columns, values = _blank(*shape)
    coder = new_decoder(stream)
    nothing = np.zeros((0, 0, 3), dtype=np.int64)
    done = _code_samples(
        columns, values, nothing, span, bound, network.classes.arrays(), network.values.arrays(),
        powers_of_two(), new_mixture(), new_recency(len(values)), coder, nothing[..., 0], 0.0,
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
