"""The integer networks that predict a sample's class, and the mixture of a new value.

Each has three linear layers with ReLU between, all in integers, so that every machine gets the same
frequencies. The first layer sums one row per feature. The weights are learned from generated models
by `velcodec.train.contexts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int32, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import PRECISION
from velcodec.formats.errors import ContextNetworkError, CorruptError
from velcodec.formats.sample_coding.label_map.context import FEATURES, FIRST, ROWS
from velcodec.formats.sample_coding.label_map.value_features import (
    NEW_VALUE_FEATURES,
    NEW_VALUE_ROWS,
    PARTS,
)

CLASSES = 7
ABOVE, AFTER, LEFT, KNOWN, BETWEEN, GREATER, LESS = range(CLASSES)
"""The label above, the one after it in the column before, the one to the left, another known one; a
new one whose value lies between the first two, or is greater or less than both."""

WIDTH, NARROW = 48, 32
FIRST_SCALE, SECOND_SCALE, LOGIT_SCALE = 256, 256, 256
"""Fixed-point units of 1.0: first layer's sums, weights of the others, logits (in bits)."""

EXACT_NETWORK = 3
"""Number of the context network for lossless coding and for bounds."""

MEAN_ERROR_NETWORK = 5
"""Number of the context network for mean errors."""

_TOTAL = 1 << PRECISION
_POWER_BITS = 20
ODD = np.array([pow(0x2545F491, k + 1, 1 << 32) | 1 for k in range(FEATURES)], dtype=np.int64)
"""Codes are hashed by these."""


Weights = tuple[Int32, Int32, Int32, Int32, Int64, Int64]
"""Those of the first two layers are of 32 bits, as their sums are."""


@dataclass(frozen=True)
class Maps:
    """Weights of three layers: `first` (rows, WIDTH), `second` (WIDTH, NARROW), `third` (NARROW,
    logits), each with its bias, all int64.
    """

    first: Int64
    first_bias: Int64
    second: Int64
    second_bias: Int64
    third: Int64
    third_bias: Int64

    def arrays(self) -> Weights:
        """The weights in the order of `find_logits`."""
        short = (self.first, self.first_bias, self.second, self.second_bias)
        a, b, c, d = (each.astype(np.int32) for each in short)
        return a, b, c, d, self.third, self.third_bias

    def greatest(self, features: int) -> int:
        """A bound on the sums of the second layer, from whatever codes of so many features."""
        hidden = features * int(np.abs(self.first).max()) + np.abs(self.first_bias)
        return int((hidden @ np.abs(self.second) + np.abs(self.second_bias)).max())


@dataclass(frozen=True)
class Network:
    """The network of `classes`, and that of the mixture of new `values`."""

    classes: Maps
    values: Maps


def shapes(rows: int, logits: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights for this many rows in the first layer and this many logits."""
    return {
        "first": (rows, WIDTH),
        "first_bias": (WIDTH,),
        "second": (WIDTH, NARROW),
        "second_bias": (NARROW,),
        "third": (NARROW, logits),
        "third_bias": (logits,),
    }


def network_from(tensors: dict[str, NDArray[np.generic]]) -> Network:
    """The network of these tensors. Raises CorruptError for a missing or misshapen one, or for
    weights that are too great.
    """
    return Network(
        _maps_from(tensors, "classes", FEATURES, shapes(ROWS, CLASSES)),
        _maps_from(tensors, "values", NEW_VALUE_FEATURES, shapes(NEW_VALUE_ROWS, PARTS)),
    )


def _maps_from(
    tensors: dict[str, NDArray[np.generic]],
    part: str,
    features: int,
    wanted: dict[str, tuple[int, ...]],
) -> Maps:
    for name, shape in wanted.items():
        found = tensors[f"{part}.{name}"].shape if f"{part}.{name}" in tensors else None
        if found != shape:
            raise CorruptError(f"context network: {part}.{name}: found {found}, expected {shape}")
    maps = Maps(**{name: tensors[f"{part}.{name}"].astype(np.int64) for name in wanted})
    if maps.greatest(features) >= 1 << 31:
        raise CorruptError(f"context network: {part}: found weights whose sums exceed 32 bits")
    return maps


@cache
def network_of(number: int) -> Network:
    """A released network, by its number. Raises ContextNetworkError for an unknown one."""
    from safetensors.numpy import load

    file = resources.files("velcodec").joinpath("data", f"contexts-{number}.safetensors")
    try:
        return network_from(load(file.read_bytes()))
    except FileNotFoundError:
        raise ContextNetworkError(
            f"context network: found number {number}, expected {EXACT_NETWORK} or "
            f"{MEAN_ERROR_NETWORK}: the archive was made by another version"
        ) from None


@cache
def powers_of_two() -> Int64:
    """floor(2^20 * 2^(-i / 256)) for i from 0 to 255, by exact integer roots."""
    table = []
    for i in range(LOGIT_SCALE):
        power = 1 << (_POWER_BITS * LOGIT_SCALE - i)
        for _ in range(8):
            power = math.isqrt(power)
        table.append(power)
    return np.array(table, dtype=np.int64)


ROOM = WIDTH + NARROW
"""Scratch space of `find_logits`."""

REMEMBERED = 1 << 11
"""How many features' codes are remembered with what follows from them: layers bring the same ones
again and again.
"""


class ClassRoom(NamedTuple):
    """Scratch space of `class_frequencies`: `hidden` (ROOM,), and what was found for codes that
    came before: each 1 more, 0 where nothing is known; their logits; and the frequencies of the
    classes that were `possible` then, as bits, 0 where none are known.
    """

    hidden: Int32
    codes: Int32
    logits: Int64
    possible: Int64
    frequencies: Int64


def new_class_room() -> ClassRoom:
    """Nothing is remembered."""
    return ClassRoom(
        np.zeros(ROOM, dtype=np.int32),
        np.zeros((REMEMBERED, FEATURES), dtype=np.int32),
        np.zeros((REMEMBERED, CLASSES), dtype=np.int64),
        np.zeros(REMEMBERED, dtype=np.int64),
        np.zeros((REMEMBERED, CLASSES), dtype=np.int64),
    )


@njit(cache=True, allocates=False)
def find_logits(codes: Int64, first_rows: Int64, maps: Weights, room: Int32, logits: Int64) -> None:
    """Fill `logits`, in 1/256 bit, from features' `codes`; `first_rows` are the rows of code 0,
    `room` (ROOM,) is scratch space.
    """
    first, first_bias, second, second_bias, third, third_bias = maps
    hidden, narrow = room[:WIDTH], room[WIDTH : WIDTH + NARROW]
    # Loops of constant length would be unrolled, and not be vectorised.
    for i in range(len(hidden)):
        hidden[i] = first_bias[i]
    for i in range(len(narrow)):
        narrow[i] = second_bias[i]
    for k in range(len(codes)):
        row = first[first_rows[k] + codes[k]]
        for i in range(len(hidden)):
            hidden[i] += row[i]
    for i in range(len(hidden)):
        share, row = hidden[i], second[i]
        if share > 0:
            for j in range(len(narrow)):
                narrow[j] += share * row[j]
    for j in range(len(logits)):
        logits[j] = third_bias[j]
    for i in range(len(narrow)):
        value = narrow[i] // SECOND_SCALE
        if value > 0:
            for j in range(len(logits)):
                logits[j] += value * third[i, j]
    for j in range(len(logits)):
        logits[j] //= FIRST_SCALE


@njit(cache=True, allocates=False)
def _place_of_logits(codes: Int64, maps: Weights, room: ClassRoom) -> int:
    """Which row of `logits` has those of these codes: from before, if no others came since."""
    hash_of = 0
    for k in range(FEATURES):
        hash_of += codes[k] * ODD[k]
    place = (hash_of >> 20) & (REMEMBERED - 1)
    before = room.codes[place]
    same = True
    for k in range(FEATURES):
        same &= before[k] == codes[k] + 1
    if not same:
        find_logits(codes, FIRST, maps, room.hidden, room.logits[place])
        for k in range(FEATURES):
            before[k] = codes[k] + 1
        room.possible[place] = 0
    return place


@njit(cache=True, allocates=False)
def class_frequencies(
    codes: Int64, possible: Int64, maps: Weights, powers: Int64, room: ClassRoom, out: Int64
) -> None:
    """Fill `out` (CLASSES,) with frequencies that sum to 2^16, from features' `codes`.

    Classes that are not `possible` (0 or 1 each) get 0, the others at least 1.
    """
    place, bits = _place_of_logits(codes, maps, room), 0
    for j in range(CLASSES):
        bits |= possible[j] << j
    if room.possible[place] != bits:
        room.possible[place] = bits
        _fill_frequencies(room.logits[place], possible, powers, room.frequencies[place])
    for j in range(CLASSES):
        out[j] = room.frequencies[place, j]


@njit(cache=True, allocates=False)
def _fill_frequencies(logits: Int64, possible: Int64, powers: Int64, out: Int64) -> None:
    """Fill `out` (CLASSES,) as `class_frequencies` does."""
    greatest, best, count = np.int64(-(1 << 60)), 0, 0
    for j in range(CLASSES):
        if possible[j]:
            count += 1
            if logits[j] > greatest:
                greatest, best = logits[j], j
    total = 0
    for j in range(CLASSES):
        below = min(greatest - logits[j], LOGIT_SCALE * _POWER_BITS)
        out[j] = powers[below % LOGIT_SCALE] >> (below // LOGIT_SCALE) if possible[j] else 0
        total += out[j]
    left = _TOTAL
    for j in range(CLASSES):
        if possible[j]:
            out[j] = 1 + out[j] * (_TOTAL - count) // total
            left -= out[j]
    out[best] += left
