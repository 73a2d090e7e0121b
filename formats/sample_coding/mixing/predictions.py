"""A linear prediction whose weights serve the whole image, and learn as it goes.

Beside predictions fitted anew at every sample (`regression`), from more neighbours and steadier.
Each operation is one of two float64, in a fixed order and with nothing fused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.sample_coding.mixing.regression import FRACTION, LEAST_PIVOT, PADDING

NEIGHBOURS = np.array(
    sorted(
        (
            (dx, dz)
            for dx in range(-PADDING, 1)
            for dz in range(-PADDING, PADDING + 1)
            if (dx < 0 or dz < 0) and (dx, dz) != (0, -1)
        ),
        key=lambda at: (at[0] ** 2 + at[1] ** 2, -at[0], at[1]),
    )
)
"""Columns and rows from a sample to those that foretell it, as differences to the one above."""

ORDER = len(NEIGHBOURS)
KEPT = 1.0 - 2.0**-11
"""What the past counts for, sample by sample."""

DRAWN = 8.0
EVERY = 8
"""Weights are found anew after so many samples."""


class Steady(NamedTuple):
    """What is known of the image: equations, their factors, weights (ORDER,), the differences of
    the present sample, room, and samples that were learned from.
    """

    system: Float64
    right: Float64
    factors: Float64
    weights: Float64
    near: Float64
    scaled: Float64
    learned: Int64


def new_steady() -> Steady:
    """Before the first sample: like the one above."""
    return Steady(
        np.eye(ORDER) * DRAWN, np.zeros(ORDER), np.zeros((ORDER, ORDER)), np.zeros(ORDER),
        np.zeros(ORDER), np.zeros(ORDER), np.zeros(1, dtype=np.int64),
    )  # fmt: skip


@njit(cache=True, allocates=False)
def steady_guess(image: Float64, x: int, z: int, span: int, steady: Steady) -> int:
    """What the sample in column x and row z should be, in 2^-FRACTION; `image` as in
    `regression`.
    """
    weights, near = steady.weights, steady.near
    base = image[x + PADDING, z + PADDING - 1]
    total = base
    for k in range(ORDER):
        near[k] = image[x + PADDING + NEIGHBOURS[k, 0], z + PADDING + NEIGHBOURS[k, 1]] - base
        total += weights[k] * near[k]
    return int(np.floor(min(max(total, 0.0), span - 1.0) * (1 << FRACTION) + 0.5))


@njit(cache=True, allocates=False)
def learn_steady(wanted: float, steady: Steady) -> None:
    """Learn that the last guess should have been `wanted` more than the sample above."""
    system, right, factors, weights, near, scaled, learned = steady
    # Loops of constant length would be unrolled, and not be vectorised.
    for i in range(ORDER):
        own, row = near[i], system[i]
        right[i] = KEPT * right[i] + own * wanted
        for j in range(len(row)):
            row[j] = KEPT * row[j] + own * near[j]
        row[i] += DRAWN * (1.0 - KEPT)
    learned[0] += 1
    if learned[0] % EVERY:
        return
    for i in range(ORDER):
        weights[i] = right[i]
        for j in range(ORDER):
            factors[i, j] = system[i, j]
    # Row k of the factors becomes column k of L, with D on the diagonal.
    for k in range(ORDER):
        column = factors[k]
        pivot = max(column[k], max(DRAWN / 16, system[k, k] * LEAST_PIVOT))
        for i in range(len(column)):
            scaled[i] = column[i] / pivot
        for j in range(k + 1, ORDER):
            # What is left of the diagonal means nothing.
            share, row = scaled[j], factors[j]
            for i in range(len(row)):
                row[i] -= column[i] * share
        known = weights[k]
        for i in range(k + 1, ORDER):
            weights[i] -= scaled[i] * known
        for i in range(len(column)):
            column[i] = scaled[i]
        column[k] = pivot
    for i in range(ORDER - 1, -1, -1):
        column = factors[i]
        weight = weights[i] / column[i]
        for k in range(i + 1, ORDER):
            weight -= column[k] * weights[k]
        weights[i] = weight
