"""A label map coded sample by sample: which neighbour a sample equals, or its new value.

`encode_label_map` and `decode_label_map` run the same compiled loop, so both see the same contexts.
An encoder may have a choice of values for each sample, and takes the cheapest. Values are integers
of [0, span); nothing here knows about velocities.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import (
    DECODING,
    PRECISION,
    Coder,
    code_among,
    code_even,
    finish_decoder,
    finish_encoder,
    new_decoder,
    new_encoder,
)
from velcodec.formats.errors import CorruptError
from velcodec.formats.sample_coding.base import Image, Request, SampleCoder
from velcodec.formats.sample_coding.coders import LABEL_MAP
from velcodec.formats.sample_coding.domain import Domain
from velcodec.formats.sample_coding.label_map.context import (
    FEATURES,
    RUN_TOP,
    advance,
    close_spans,
    features,
    new_spans,
)
from velcodec.formats.sample_coding.label_map.network import (
    ABOVE,
    AFTER,
    BETWEEN,
    CLASSES,
    GREATER,
    KNOWN,
    LEFT,
    LESS,
    ClassRoom,
    Network,
    Weights,
    class_frequencies,
    network_of,
    new_class_room,
    powers_of_two,
)
from velcodec.formats.sample_coding.label_map.new_values import (
    CENTRES,
    CODES,
    ENDS,
    PREDICTED,
    Mixture,
    cheapest,
    code_new_value,
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
    position_of,
    use,
)
from velcodec.formats.sample_coding.label_map.value_features import (
    NEW_VALUE_FEATURES,
    NONE,
    PREDICTIONS,
    fill_value_features,
    raw_bits,
)

MOST_LABELLED = 0.9
"""Share of distinct values in an image above which it is not tried."""

MAX_LABELS = 1 << 16
MOST_RECENT = 1024
"""Most known labels that an encoder compares before it codes a new value."""

LEAST, PREFERRED, GREATEST = range(3)
TRACED = FEATURES + 2 + NEW_VALUE_FEATURES + PREDICTIONS + 3
SYMBOLS_PER_SAMPLE, SYMBOLS_PER_LABEL = 5, 5
"""Most symbols of a sample (class, rank) and of a new value."""

CANDIDATES, FIRST_RANKED = 5, 3
"""Number of candidate labels, and the index of the first that is coded by its rank."""

AHEAD, FADE, MOST_AHEAD = 3, 0.5, 4.0
"""Samples ahead whose errors count in an encoder's choice, the factor by which their weight falls
per sample, and the most bits that one counts for.
"""

RANKS = 24
"""Rank groups of known labels by last use; group r holds 2^r ranks."""


@njit(cache=True)
def _rank_frequencies(counts: Int64, ranks: int, out: Int64) -> int:
    """Fill `out` with frequencies of the groups that `ranks` known labels need; their number."""
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
    class_maps: Weights, value_maps: Weights, powers: Int64, room: ClassRoom, spans: Int64,
    mixture: Mixture, recency: Recency, coder: Coder, original: Int64, price: float,
    trace: Int64,
) -> int:  # fmt: skip
    """Fill `columns` (nx, nz) with labels, numbered by first use, and `values` with their values.

    An encoder chooses what seems cheapest within `allowed` (nx, nz, 3): least, preferred, greatest
    value. With a `price`, the squared error against `original` (nx, nz) counts too, and new values
    are the preferred ones. Returns 0, or -1 - (sample index) if the labels run out. `trace`
    (samples, TRACED), if not empty, gets features, possible classes and class; and of a new value
    features, centres, interval and head.
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
    shift = raw_bits(span)
    decoding = coder[DECODING]
    labels = 0
    for x in range(width):
        for z in range(height):
            above, after, left = features(
                columns, spans, x, z, scan, thickness, values, counts, bound, True, codes
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
            class_frequencies(codes, possible, class_maps, powers, room, frequencies)
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
                    base, size = _interval(kind, low, high, span)
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
                            fill_value_features(
                                columns, values, x, z, after, scan[RUN_TOP], newest, shift,
                                mixture[CODES], mixture[PREDICTED],
                            )  # fmt: skip
                            looked = True
                        prepare(
                            kind - BETWEEN, bound, base, size, shift, value_maps, powers, mixture
                        )
                        own, bits = cheapest(first, own, end, shift, mixture, powers)
                    bits += _error_cost(own, original, x, z, price) - np.log2(frequencies[kind])
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
                base, size = _interval(found, low, high, span)
                if labels == capacity:
                    return -1 - (x * height + z)
                if above == NONE:
                    value = base + code_even(value - base, size, coder)
                else:
                    if not looked:
                        fill_value_features(
                            columns, values, x, z, after, scan[RUN_TOP], newest, shift,
                            mixture[CODES], mixture[PREDICTED],
                        )  # fmt: skip
                    prepare(found - BETWEEN, bound, base, size, shift, value_maps, powers, mixture)
                    value = code_new_value(value, shift, mixture, powers, coder)
                    if len(trace):
                        row = trace[x * height + z, FEATURES + 2 :]
                        row[:NEW_VALUE_FEATURES] = mixture[CODES]
                        row[NEW_VALUE_FEATURES : NEW_VALUE_FEATURES + PREDICTIONS] = mixture[
                            CENTRES
                        ]
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
        close_spans(columns, x, spans)
    return 0


@njit(cache=True)
def _interval(kind: int, low: int, high: int, span: int) -> tuple[int, int]:
    """The interval of a new value of this kind: least value and size. `low` and `high` are the
    lesser and greater of the values above and after, or NONE.
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
    """Fill `out` (CANDIDATES,) with the labels of the classes ABOVE, AFTER and LEFT, then those of
    the first ranks: below and above the sample to the left. NONE marks a missing or repeated label.
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
    """The known label that codes an allowed value of sample (x, z) at the least cost in bits,
    errors included at their `price`: its class (or NONE), label, rank and cost minus 16.
    """
    least, greatest = allowed[LEAST], allowed[GREATEST]
    best, label, rank = NONE, NONE, 0
    cost = np.inf
    for found in (ABOVE, AFTER, LEFT):
        other = candidates[found]
        if frequencies[found] > 0 and least <= values[other] <= greatest:
            bits = _error_cost(values[other], original, x, z, price) - np.log2(frequencies[found])
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
            bits += _error_cost(values[other], original, x, z, price)
            if bits < cost:
                best, label, rank, cost = KNOWN, other, behind, bits
            if price == 0:
                break
        behind += 1
    return best, label, rank, cost


@njit(cache=True)
def _error_cost(value: int, original: Int64, x: int, z: int, price: float) -> float:
    """Cost in bits of the error of a value at (x, z): its square times `price`. The samples below
    and to the right, which are likely to take the same value, count with falling weight, each at
    most as much as another value would cost there.
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
    """The label of a rank: candidates without a class come first, then all others by last use."""
    for k in range(FIRST_RANKED, CANDIDATES):
        if candidates[k] != NONE:
            if rank == 0:
                return int(candidates[k])
            rank -= 1
    # Ranks skip candidates: each one used more recently shifts the position by one.
    positions = np.full(CANDIDATES, len(recency[OLDER]), dtype=np.int64)
    for k in range(CANDIDATES):
        if candidates[k] != NONE:
            positions[k] = position_of(candidates[k], recency)
    positions.sort()
    for k in range(CANDIDATES):
        rank += int(positions[k] <= rank)
    return label_at(rank, recency)


def encode_label_map(
    allowed: Int64, span: int, bound: int, network: Network, trace: Int64 | None = None,
    original: Int64 | None = None, price: float = 0.0,
) -> tuple[bytes, Int64] | None:  # fmt: skip
    """The stream of an image of integers in [0, span), and the image (nz, nx) that it decodes to,
    within `allowed` (nz, nx, 3): least, preferred and greatest value of each sample. None for more
    than MAX_LABELS values.

    If errors count in the mean, `price` is the cost in bits of a squared error against `original`
    (nz, nx), and new values are always the preferred ones. `trace` (samples, TRACED) records the
    network's inputs and the outcomes, as training data.
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
        powers_of_two(), new_class_room(), new_spans(height), new_mixture(),
        new_recency(len(values)), coder, compared, price, nothing if trace is None else trace,
    )  # fmt: skip
    return (finish_encoder(coder), _image(columns, values)) if done == 0 else None


def decode_label_map(
    stream: bytes, shape: tuple[int, int], span: int, bound: int, network: Network
) -> Int64:
    """The image (nz, nx) of a stream of `encode_label_map`. Raises CorruptError."""
    columns, values = _blank(*shape)
    coder = new_decoder(stream)
    nothing = np.zeros((0, 0, 3), dtype=np.int64)
    done = _code_samples(
        columns, values, nothing, span, bound, network.classes.arrays(), network.values.arrays(),
        powers_of_two(), new_class_room(), new_spans(shape[0]), new_mixture(),
        new_recency(len(values)), coder, nothing[..., 0], 0.0, nothing[..., 0],
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


class LabelMapCoder(SampleCoder):
    """Layers: which neighbour a sample equals, or its new value, predicted by a context network."""

    number, name, samples_per_byte = LABEL_MAP, "label map", 1 << 10

    def encode(self, request: Request, domain: Domain, network: int) -> Image | None:
        """None for an image of hardly any equal samples, or of too many values."""
        preferred = request.preferred
        if len(np.unique(preferred)) > MOST_LABELLED * preferred.size:
            return None
        found = encode_label_map(
            request.allowed, domain.span, domain.bound, network_of(network),
            original=request.original, price=request.price,
        )  # fmt: skip
        return None if found is None else Image(*found)

    def decode(self, data: bytes, shape: tuple[int, int], domain: Domain, network: int) -> Int64:
        """Raises CorruptError, ContextNetworkError."""
        return decode_label_map(data, shape, domain.span, domain.bound, network_of(network))
