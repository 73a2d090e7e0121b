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

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.symbols import PRECISION
from velcodec.formats.errors import ContextNetworkError, CorruptError
from velcodec.formats.sample_coding.label_map.context import FIRST, ROWS
from velcodec.formats.sample_coding.label_map.value_features import NEW_VALUE_ROWS, PARTS

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

    def arrays(self) -> tuple[Int64, ...]:
        """The weights in the order of `find_logits`."""
        return (
            self.first, self.first_bias, self.second, self.second_bias, self.third, self.third_bias
        )  # fmt: skip


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
    """The network of these tensors. Raises CorruptError for a missing or misshapen one."""
    return Network(
        _maps_from(tensors, "classes", shapes(ROWS, CLASSES)),
        _maps_from(tensors, "values", shapes(NEW_VALUE_ROWS, PARTS)),
    )


def _maps_from(
    tensors: dict[str, NDArray[np.generic]], part: str, wanted: dict[str, tuple[int, ...]]
) -> Maps:
    for name, shape in wanted.items():
        found = tensors[f"{part}.{name}"].shape if f"{part}.{name}" in tensors else None
        if found != shape:
            raise CorruptError(f"context network: {part}.{name}: found {found}, expected {shape}")
    return Maps(**{name: tensors[f"{part}.{name}"].astype(np.int64) for name in wanted})


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


ROOM = WIDTH + NARROW + CLASSES
"""Scratch space of `class_frequencies`."""


@njit(cache=True, allocates=False)
def find_logits(
    codes: Int64, first_rows: Int64, maps: tuple[Int64, ...], room: Int64, logits: Int64
) -> None:
    """Fill `logits`, in 1/256 bit, from features' `codes`; `first_rows` are the rows of code 0,
    `room` (ROOM,) is scratch space.
    """
    first, first_bias, second, second_bias, third, third_bias = maps
    hidden, narrow = room[:WIDTH], room[WIDTH : WIDTH + NARROW]
    for i in range(WIDTH):
        hidden[i] = first_bias[i]
    for i in range(NARROW):
        narrow[i] = second_bias[i]
    for k in range(len(codes)):
        row = first[first_rows[k] + codes[k]]
        for i in range(len(hidden)):
            hidden[i] += row[i]
    for i in range(len(hidden)):
        if hidden[i] > 0:
            for j in range(len(narrow)):
                narrow[j] += hidden[i] * second[i, j]
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
def class_frequencies(
    codes: Int64, possible: Int64, maps: tuple[Int64, ...], powers: Int64, room: Int64, out: Int64
) -> None:
    """Fill `out` (CLASSES,) with frequencies that sum to 2^16, from features' `codes`.

    Classes that are not `possible` (0 or 1 each) get 0, the others at least 1.
    """
    logits = room[WIDTH + NARROW : ROOM]
    find_logits(codes, FIRST, maps, room, logits)
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
