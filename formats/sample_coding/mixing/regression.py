"""Linear predictions of a sample, with weights fitted at every sample.

The weights are those of regularised least squares over the samples already coded, of which each
counts for less the farther it lies; the regularisation pulls them towards weights learned from
generated models. One system serves all orders: the factors of its leading part are the leading part
of its factors. The sums of the normal equations are recursive: those of the columns before are kept
for every row, those of the samples above for the present one. Source: Li and Orchard,
"Edge-directed prediction for lossless compression of natural images" (2001).

Every operation takes two float64, in a fixed order and without fusing, so that every machine gets
the same predictions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit

NEIGHBOURS = np.array(
    [
        (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2),
        (-2, 1), (-2, -1), (0, -3), (-3, 0), (-2, 2), (-2, -2), (-3, 1), (-3, -1),
    ]
)  # fmt: skip
"""Offsets (columns, rows) of the neighbours. Differences to the first one are the predictors."""

ORDERS = (5, 9, 15)
"""Numbers of differences that the linear predictions use."""

MOST_ORDER = ORDERS[-1]
PREDICTIONS = len(ORDERS) + 1
"""The last prediction is the plane through three neighbours, clamped to two of them."""

SUMS = MOST_ORDER * (MOST_ORDER + 1) // 2 + MOST_ORDER
"""Sums of the normal equations: the lower triangle by rows, then the right side."""

LANES = 16
"""MOST_ORDER, rounded up to what a processor computes with at once."""

PADDING = 3

NEARNESS = 0.5
"""A sample counts for so much less with each column or row that it lies farther away."""

REACH = 6
NEARNESSES = np.array([NEARNESS**k for k in range(2 * REACH + 1)])
"""Of samples up to REACH columns and rows away, by the sum of both distances."""

REGULARISATION = 2.0
"""Strength of the regularisation towards the learned weights."""

LEAST_PIVOT = 2.0**-36
"""Smallest pivot relative to its diagonal element: below it there is only rounding error."""

LEAST_SUM = 2.0**-60
"""Smaller sums are as good as zero."""

FRACTION = 4
"""Predictions are in units of 2^-FRACTION."""

MAX_SPAN = 1 << 26
"""Wider spans are not coded: their squares would swamp the regularisation."""


class Regression(NamedTuple):
    """Sums of the columns before, (height, SUMS), of the samples above (SUMS,), the equations of
    the present sample; its differences, and those of the column (height, MOST_ORDER + 1), the last
    of each the sample's own; the prior weights.
    """

    before: Float64
    above: Float64
    system: Float64
    right: Float64
    weights: Float64
    scaled: Float64
    column: Float64
    prior: Float64


def new_regression(height: int, prior: Float64) -> Regression:
    """Before the first sample of an image of such a height."""
    return Regression(
        np.zeros((height, SUMS)),
        np.zeros(max(SUMS, MOST_ORDER + 1)),
        np.zeros((MOST_ORDER, LANES)),
        np.zeros(MOST_ORDER),
        np.zeros(MOST_ORDER),
        np.zeros(2 * LANES),
        np.zeros((height, MOST_ORDER + 1)),
        prior,
    )


def padded(columns: Int64, span: int) -> Float64:
    """An array for an image (nx, nz) and its border, filled with the middle of [0, span)."""
    nx, nz = columns.shape
    return np.full((nx + PADDING, nz + 2 * PADDING), float(span // 2))


@njit(cache=True, allocates=False)
def open_column(image: Float64, x: int, regression: Regression) -> None:
    """Fill the border above column x with the top of the column before."""
    regression.above[:] = 0.0
    if x > 0:
        for k in range(PADDING):
            image[x + PADDING, k] = image[x + PADDING - 1, PADDING]


@njit(cache=True, allocates=False)
def close_column(image: Float64, x: int, regression: Regression) -> None:
    """Fill the border below column x, and left of the first column; take the column's samples into
    the sums of every row.
    """
    nz = image.shape[1] - 2 * PADDING
    for k in range(PADDING):
        image[x + PADDING, nz + PADDING + k] = image[x + PADDING, nz + PADDING - 1]
    if x == 0:
        for k in range(PADDING):
            for j in range(image.shape[1]):
                image[k, j] = image[PADDING, j]
    if x == 0 or len(regression.before) < nz:
        return
    below = regression.above
    below[:] = 0.0
    for z in range(len(regression.before) - 1, -1, -1):
        _add_products(regression.column[z], NEARNESS, below)
        row = regression.before[z]
        for k in range(SUMS):
            total = NEARNESS * (row[k] + below[k])
            row[k] = total if abs(total) > LEAST_SUM else 0.0


@njit(cache=True, allocates=False, inline="always")
def _add_products(near: Float64, share: float, sums: Float64) -> None:
    """`share` of the sums, and the products of a sample's differences."""
    at = 0
    for k in range(MOST_ORDER):
        for m in range(k + 1):
            sums[at + m] = share * sums[at + m] + near[k] * near[m]
        at += k + 1
    for k in range(MOST_ORDER):
        sums[at + k] = share * sums[at + k] + near[k] * near[MOST_ORDER]


@njit(cache=True, allocates=False, inline="always")
def _fill_differences(image: Float64, x: int, z: int, near: Float64) -> None:
    """Differences of the neighbours of sample z of column x to the one above it."""
    base = image[x + PADDING, z + PADDING - 1]
    for k in range(MOST_ORDER):
        near[k] = (
            image[x + PADDING + NEIGHBOURS[k + 1, 0], z + PADDING + NEIGHBOURS[k + 1, 1]] - base
        )


@njit(cache=True, allocates=False)
def _gather(image: Float64, x: int, z: int, near: Float64, sums: Float64) -> None:
    """Sums of the samples before (x, z) in a window around it; `near` is room."""
    nz = image.shape[1] - 2 * PADDING
    sums[:] = 0.0
    for i in range(max(x - REACH, 1), x + 1):
        for j in range(max(z - REACH, 0), min(z + REACH + 1, nz)):
            if i == x and j >= z:
                break
            _fill_differences(image, i, j, near)
            base = image[i + PADDING, j + PADDING - 1]
            near[MOST_ORDER] = image[i + PADDING, j + PADDING] - base
            weight, at = NEARNESSES[x - i + abs(z - j)], 0
            for k in range(MOST_ORDER):
                # Within layers most are 0, and add nothing.
                if near[k] != 0.0:
                    weighted = weight * near[k]
                    for m in range(k + 1):
                        sums[at + m] += weighted * near[m]
                    sums[SUMS - MOST_ORDER + k] += weighted * near[MOST_ORDER]
                at += k + 1


@njit(cache=True, allocates=False)
def _factor(system: Float64, right: Float64, scaled: Float64) -> None:
    """Replace row k of `system`, column k of the equations, by column k of L, with D on the
    diagonal, and `right` by L^-1 `right`; `scaled` is room.
    """
    for k in range(MOST_ORDER):
        column = system[k]
        least = max(REGULARISATION / 2, scaled[LANES + k] * LEAST_PIVOT)
        pivot = max(column[k], least)
        # Loops of constant length would be unrolled, and not be vectorised.
        for i in range(len(column)):
            scaled[i] = column[i] / pivot
        for j in range(k + 1, MOST_ORDER):
            # What is left of the diagonal means nothing.
            share, row = scaled[j], system[j]
            for i in range(len(row)):
                row[i] -= column[i] * share
        known = right[k]
        for i in range(k + 1, MOST_ORDER):
            right[i] -= scaled[i] * known
        for i in range(len(column)):
            column[i] = scaled[i]
        column[k] = pivot


@njit(cache=True, allocates=False)
def fill_predictions(
    image: Float64, x: int, z: int, span: int, every: bool, regression: Regression,
    predictions: Int64,
) -> None:  # fmt: skip
    """Fill `predictions` (PREDICTIONS,) of the sample in column x and row z, in 2^-FRACTION.
    Where not `every` sample is predicted, the sums are those of a window.
    """
    before, above, system, right, weights, scaled, column, prior = regression
    base, left = image[x + PADDING, z + PADDING - 1], image[x + PADDING - 1, z + PADDING]
    if x == 0:
        predictions[:] = int(base) << FRACTION
        return
    plane = base + left - image[x + PADDING - 1, z + PADDING - 1]
    predictions[PREDICTIONS - 1] = (
        int(min(max(plane, min(base, left)), max(base, left))) << FRACTION
    )
    at = z if every else 0
    near, row, at = column[at], before[at], 0
    _fill_differences(image, x, z, near)
    if every:
        for k in range(SUMS):
            row[k] += above[k]
    else:
        _gather(image, x, z, above, row)
    for k in range(MOST_ORDER):
        for m in range(k + 1):
            system[m, k] = row[at + m]
        at += k + 1
        system[k, k] += REGULARISATION
        scaled[LANES + k] = system[k, k]
    for k in range(MOST_ORDER):
        right[k] = row[at + k] + REGULARISATION * prior[k]
    _factor(system, right, scaled)
    for k in range(MOST_ORDER):
        right[k] /= system[k, k]
    for n in range(len(ORDERS)):
        order = ORDERS[n]
        total = base
        for k in range(order - 1, -1, -1):
            weight, factors = right[k], system[k]
            for m in range(k + 1, order):
                weight -= factors[m] * weights[m]
            weights[k] = weight
            total += weight * near[k]
        total = min(max(total, 0.0), span - 1.0)
        predictions[n] = int(np.floor(total * (1 << FRACTION) + 0.5))


@njit(cache=True, allocates=False)
def learn_predictions(wanted: float, x: int, z: int, regression: Regression) -> None:
    """Learn that sample z of column x is `wanted` more than the one above."""
    if x == 0:
        return
    near, above = regression.column[z], regression.above
    near[MOST_ORDER] = wanted
    _add_products(near, 1.0, above)
    for k in range(SUMS):
        above[k] = NEARNESS * above[k]
