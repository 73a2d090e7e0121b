"""Linear predictions of a sample, with weights fitted at every sample.

The weights are those of regularised least squares over nearby samples already coded; the
regularisation pulls them towards weights learned from generated models. One system serves all
orders: the factors of its leading part are the leading part of its factors. Source: Li and Orchard,
"Edge-directed prediction for lossless compression of natural images" (2001).

Every operation takes two float64, in a fixed order and without fusing, so that every machine gets
the same predictions.
"""

from __future__ import annotations

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

PADDING = 3
REACH = 6
"""Samples up to this many columns and rows away enter the fit."""

NEARNESS = np.array([64, 45, 31, 22, 15, 11, 8, 5, 4, 3, 2, 1, 1])
"""Weight of a sample in the fit, by the sum of its distances in columns and rows."""

REGULARISATION = 128.0
"""Strength of the regularisation towards the learned weights."""

LEAST_PIVOT = 2.0**-36
"""Smallest pivot relative to its diagonal element: below it there is only rounding error."""

FRACTION = 4
"""Predictions are in units of 2^-FRACTION."""

MAX_SPAN = 1 << 26
"""Wider spans are not coded: their squares would swamp the regularisation."""


def padded(columns: Int64, span: int) -> Float64:
    """An array for an image (nx, nz) and its border, filled with the middle of [0, span)."""
    nx, nz = columns.shape
    return np.full((nx + PADDING, nz + 2 * PADDING), float(span // 2))


@njit(cache=True)
def open_column(image: Float64, x: int) -> None:
    """Fill the border above column x with the top of the column before."""
    if x > 0:
        for k in range(PADDING):
            image[x + PADDING, k] = image[x + PADDING - 1, PADDING]


@njit(cache=True)
def close_column(image: Float64, x: int) -> None:
    """Fill the border below column x, and left of the first column."""
    nz = image.shape[1] - 2 * PADDING
    for k in range(PADDING):
        image[x + PADDING, nz + PADDING + k] = image[x + PADDING, nz + PADDING - 1]
    if x == 0:
        for k in range(PADDING):
            image[k] = image[PADDING]


@njit(cache=True)
def _gather(image: Float64, x: int, z: int, system: Float64, right: Float64) -> None:
    """Fill in the normal equations of the samples near (x, z), without regularisation."""
    nz = image.shape[1] - 2 * PADDING
    system[:] = 0.0
    right[:] = 0.0
    near = np.empty(MOST_ORDER)
    for i in range(max(x - REACH, 1), x + 1):
        for j in range(max(z - REACH, 0), min(z + REACH + 1, nz)):
            if i == x and j >= z:
                break
            weight = float(NEARNESS[x - i + abs(z - j)])
            base = image[i + PADDING, j + PADDING - 1]
            for k in range(MOST_ORDER):
                dx, dz = NEIGHBOURS[k + 1]
                near[k] = image[i + PADDING + dx, j + PADDING + dz] - base
            wanted = image[i + PADDING, j + PADDING] - base
            for k in range(MOST_ORDER):
                weighted = weight * near[k]
                right[k] += weighted * wanted
                for m in range(k + 1):
                    system[k, m] += weighted * near[m]


@njit(cache=True)
def _factor(system: Float64, right: Float64) -> None:
    """Replace `system` by L below its diagonal and D on it, and `right` by L^-1 `right`."""
    for i in range(MOST_ORDER):
        for j in range(i):
            total = system[i, j]
            for k in range(j):
                total -= system[i, k] * system[j, k]
            system[i, j] = total
        least = max(REGULARISATION / 2, system[i, i] * LEAST_PIVOT)
        pivot = system[i, i]
        for j in range(i):
            scaled = system[i, j] / system[j, j]
            pivot -= system[i, j] * scaled
            right[i] -= scaled * right[j]
            system[i, j] = scaled
        system[i, i] = max(pivot, least)


@njit(cache=True)
def fill_predictions(
    image: Float64, x: int, z: int, span: int, prior: Float64, system: Float64, right: Float64,
    predictions: Int64,
) -> None:  # fmt: skip
    """Fill `predictions` (PREDICTIONS,) of the sample in column x and row z, in 2^-FRACTION.
    `system` and `right` are scratch space for MOST_ORDER equations.
    """
    base, left = image[x + PADDING, z + PADDING - 1], image[x + PADDING - 1, z + PADDING]
    if x == 0:
        predictions[:] = int(base) << FRACTION
        return
    plane = base + left - image[x + PADDING - 1, z + PADDING - 1]
    predictions[PREDICTIONS - 1] = (
        int(min(max(plane, min(base, left)), max(base, left))) << FRACTION
    )
    _gather(image, x, z, system, right)
    for k in range(MOST_ORDER):
        system[k, k] += REGULARISATION
        right[k] += REGULARISATION * prior[k]
    _factor(system, right)
    weights = np.empty(MOST_ORDER)
    for n in range(len(ORDERS)):
        order = ORDERS[n]
        total = base
        for k in range(order - 1, -1, -1):
            weight = right[k] / system[k, k]
            for m in range(k + 1, order):
                weight -= system[m, k] * weights[m]
            weights[k] = weight
            dx, dz = NEIGHBOURS[k + 1]
            total += weight * (image[x + PADDING + dx, z + PADDING + dz] - base)
        total = min(max(total, 0.0), span - 1.0)
        predictions[n] = int(np.floor(total * (1 << FRACTION) + 0.5))
