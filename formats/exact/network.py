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
from numba import njit
from numpy.typing import NDArray

from ..errors import ContextNetworkError, CorruptError
from .neighbours import FIRST, PLAIN_FEATURES, PLAIN_ROWS, ROWS
from .stream import NEWEST_NETWORKS

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
class Network:
    """Weights: `first` (ROWS, WIDTH), or (PLAIN_ROWS, WIDTH) of a network that looks at no guide,
    with `first_bias`, `second` (WIDTH, NARROW), `second_bias`, `third` (NARROW, CLASSES),
    `third_bias`, all int64.
    """

    first: Int64
    first_bias: Int64
    second: Int64
    second_bias: Int64
    third: Int64
    third_bias: Int64

    @property
    def guided(self) -> bool:
        """Whether it looks at a guide."""
        return len(self.first) == ROWS

    def arrays(self) -> tuple[Int64, ...]:
        """In the order that `class_frequencies` takes them, with the table of powers."""
        return (
            self.first, self.first_bias, self.second, self.second_bias, self.third,
            self.third_bias, powers_of_two(),
        )  # fmt: skip


def shapes(rows: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a network with so many rows in its first map."""
    return {
        "first": (rows, WIDTH),
        "first_bias": (WIDTH,),
        "second": (WIDTH, NARROW),
        "second_bias": (NARROW,),
        "third": (NARROW, CLASSES),
        "third_bias": (CLASSES,),
    }


def network_from(tensors: dict[str, NDArray[np.generic]]) -> Network:
    """The network of these tensors. Raises CorruptError where one is missing or misshapen."""
    rows = tensors["first"].shape[0] if "first" in tensors else 0
    if rows not in (PLAIN_ROWS, ROWS):
        raise CorruptError(
            f"context network: first: found {rows} rows, expected {PLAIN_ROWS} or {ROWS}"
        )
    for name, shape in shapes(rows).items():
        found = tensors[name].shape if name in tensors else None
        if found != shape:
            raise CorruptError(f"context network: {name}: found {found}, expected {shape}")
    return Network(**{name: tensors[name].astype(np.int64) for name in shapes(rows)})


@cache
def network_of(number: int) -> Network:
    """A released network, by its number. Raises ContextNetworkError for one not known here."""
    from safetensors.numpy import load

    file = resources.files("velcodec").joinpath("data", f"contexts-{number}.safetensors")
    try:
        return network_from(load(file.read_bytes()))
    except FileNotFoundError:
        raise ContextNetworkError(
            f"context network: found number {number}, expected 1 to {max(NEWEST_NETWORKS)}: "
            "the archive is newer than this velcodec"
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
def class_frequencies(
    codes: Int64, possible: Int64, network: tuple[Int64, ...], out: Int64
) -> None:
    """Fill `out` (CLASSES,) with frequencies that sum to 2^16, from the features' `codes`.

    Classes that are not `possible` (0 or 1 each) get 0, all others at least 1.
    """
    first, first_bias, second, second_bias, third, third_bias, powers = network
    hidden = first_bias.copy()
    features = len(codes) if len(first) == ROWS else PLAIN_FEATURES
    for k in range(features):
        row = first[FIRST[k] + codes[k]]
        for i in range(WIDTH):
            hidden[i] += row[i]
    narrow = second_bias.copy()
    for i in range(WIDTH):
        if hidden[i] > 0:
            for j in range(NARROW):
                narrow[j] += hidden[i] * second[i, j]
    logits = third_bias.copy()
    for i in range(NARROW):
        value = narrow[i] // SECOND_SCALE
        if value > 0:
            for j in range(CLASSES):
                logits[j] += value * third[i, j]
    greatest, best, count = np.int64(-(1 << 60)), 0, 0
    for j in range(CLASSES):
        logits[j] //= FIRST_SCALE
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
