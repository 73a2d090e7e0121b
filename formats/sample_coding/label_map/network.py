"""The integer network that turns a sample's neighbours into probabilities of its class.

Three maps with rectified sums between, all in integers, so that each machine finds the same
frequencies. The first map is a sum of one row per feature. The weights are learned from generated
models by `velcodec.train.contexts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.errors import ContextNetworkError, CorruptError
from velcodec.formats.sample_coding.label_map.context import FIRST, ROWS
from velcodec.formats.sample_coding.label_map.surroundings import FRESH_ROWS, PARTS
from velcodec.formats.sample_coding.stream import EXACT_NETWORK, MEAN_ERROR_NETWORK

Int64 = NDArray[np.int64]

CLASSES = 7
ABOVE, AFTER, LEFT, KNOWN, BETWEEN, GREATER, LESS = range(CLASSES)
"""The label above, the one after it in the column before, the one to the left, another known one;
a new one whose value lies between the first two, or is greater or less than the one above."""

WIDTH, NARROW = 48, 32
FIRST_SCALE, SECOND_SCALE, LOGIT_SCALE = 256, 256, 256
"""What 1.0 is in the integers: first map's sums, weights of the others, logits (in bits)."""

PRECISION = 16
_TOTAL = 1 << PRECISION
_POWER_BITS = 20


@dataclass(frozen=True)
class Maps:
    """Weights of three maps: `first` (rows, WIDTH), `second` (WIDTH, NARROW), `third` (NARROW,
    logits), each with its bias, all int64.
    """

    first: Int64
    first_bias: Int64
    second: Int64
    second_bias: Int64
    third: Int64
    third_bias: Int64

    def arrays(self) -> tuple[Int64, ...]:
        """In the order that `find_logits` takes them."""
        return (
            self.first, self.first_bias, self.second, self.second_bias, self.third, self.third_bias
        )  # fmt: skip


@dataclass(frozen=True)
class Network:
    """What finds the `classes` of samples, and what finds the `values` of labels that are new."""

    classes: Maps
    values: Maps


def shapes(rows: int, logits: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of maps with so many rows in the first, and so many logits."""
    return {
        "first": (rows, WIDTH),
        "first_bias": (WIDTH,),
        "second": (WIDTH, NARROW),
        "second_bias": (NARROW,),
        "third": (NARROW, logits),
        "third_bias": (logits,),
    }


def network_from(tensors: dict[str, NDArray[np.generic]]) -> Network:
    """The network of these tensors. Raises CorruptError where one is missing or misshapen."""
    return Network(
        _maps_from(tensors, "classes", shapes(ROWS, CLASSES)),
        _maps_from(tensors, "values", shapes(FRESH_ROWS, PARTS)),
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
    """A released network, by its number. Raises ContextNetworkError for one not known here."""
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


@njit(cache=True)
def find_logits(codes: Int64, first_rows: Int64, maps: tuple[Int64, ...], logits: Int64) -> None:
    """Fill `logits`, in 1/256 bit, from the features' `codes`; `first_rows` are those of code 0."""
    first, first_bias, second, second_bias, third, third_bias = maps
    hidden = first_bias.copy()
    for k in range(len(codes)):
        row = first[first_rows[k] + codes[k]]
        for i in range(len(hidden)):
            hidden[i] += row[i]
    narrow = second_bias.copy()
    for i in range(len(hidden)):
        if hidden[i] > 0:
            for j in range(len(narrow)):
                narrow[j] += hidden[i] * second[i, j]
    logits[:] = third_bias
    for i in range(len(narrow)):
        value = narrow[i] // SECOND_SCALE
        if value > 0:
            for j in range(len(logits)):
                logits[j] += value * third[i, j]
    for j in range(len(logits)):
        logits[j] //= FIRST_SCALE


@njit(cache=True)
def class_frequencies(
    codes: Int64, possible: Int64, maps: tuple[Int64, ...], powers: Int64, out: Int64
) -> None:
    """Fill `out` (CLASSES,) with frequencies that sum to 2^16, from the features' `codes`.

    Classes that are not `possible` (0 or 1 each) get 0, all others at least 1.
    """
    logits = np.zeros(CLASSES, dtype=np.int64)
    find_logits(codes, FIRST, maps, logits)
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
