"""Guesses at a sample by linear prediction, with weights fitted anew at every sample.

The weights are those of least squares over the samples before it nearby, drawn a little to weights
that generated models taught. One system serves predictions from few neighbours and from many: the
factors of its leading part are the leading part of its factors. Source: edge-directed prediction by
local least squares, Li and Orchard, "Edge-directed prediction for lossless compression of natural
images" (2001).

Each operation is one of two float64, in a fixed order and with nothing fused, so that each machine
finds the same guesses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

NEIGHBOURS = np.array(
    [
        (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, 2), (-1, -2),
        (-2, 1), (-2, -1), (0, -3), (-3, 0), (-2, 2), (-2, -2), (-3, 1), (-3, -1),
    ]
)  # fmt: skip
"""Columns and rows from a sample to those that foretell it; differences to the first count."""

ORDERS = (5, 9, 15)
"""Numbers of differences that the predictions use, the first ones."""

MOST_ORDER = ORDERS[-1]
GUESSES = len(ORDERS) + 1
"""One more is the plane through three neighbours, held within two of them."""

PADDING = 3
REACH = 6
"""Samples so many columns and rows away teach the weights."""

NEARNESS = np.array([64, 45, 31, 22, 15, 11, 8, 5, 4, 3, 2, 1, 1])
"""What one counts for by columns and rows away, together."""

DRAWN = 128.0
"""How strongly weights are drawn to those that generated models taught."""

LEAST_PIVOT = 2.0**-36
"""Of a diagonal element that much is left at least, as rounding leaves nothing more exact."""

FRACTION = 4
"""Guesses are in 2^-FRACTION."""

MAX_SPAN = 1 << 26
"""Wider integers are not coded: squares of them would swamp what weights are drawn by."""


def padded(columns: Int64, span: int) -> Float64:
    """Room for an image (nx, nz) with a border that `close_column` fills, and what there is of it
    before the first sample.
    """
    nx, nz = columns.shape
    return np.full((nx + PADDING, nz + 2 * PADDING), float(span // 2))


@njit(cache=True)
def open_column(image: Float64, x: int) -> None:
    """Fill the border above column x: it is like the top of the column before."""
    if x > 0:
        for k in range(PADDING):
            image[x + PADDING, k] = image[x + PADDING - 1, PADDING]


@njit(cache=True)
def close_column(image: Float64, x: int) -> None:
    """Fill the border below column x, and left of the first one."""
    nz = image.shape[1] - 2 * PADDING
    for k in range(PADDING):
        image[x + PADDING, nz + PADDING + k] = image[x + PADDING, nz + PADDING - 1]
    if x == 0:
        for k in range(PADDING):
            image[k] = image[PADDING]


@njit(cache=True)
def _gather(image: Float64, x: int, z: int, system: Float64, right: Float64) -> None:
    """The normal equations of the samples around (x, z), without what draws to the prior."""
    nz = image.shape[1] - 2 * PADDING
    system[:] = 0.0
    right[:] = 0.0
    near = np.empty(MOST_ORDER)
    for i in range(max(x - REACH, 1), x + 1):
        for j in range(max(z - REACH, 0), min(z + REACH + 1, nz)):
            if i == x and j >= z:
                break
            share = float(NEARNESS[x - i + abs(z - j)])
            base = image[i + PADDING, j + PADDING - 1]
            for k in range(MOST_ORDER):
                dx, dz = NEIGHBOURS[k + 1]
                near[k] = image[i + PADDING + dx, j + PADDING + dz] - base
            wanted = image[i + PADDING, j + PADDING] - base
            for k in range(MOST_ORDER):
                counted = share * near[k]
                right[k] += counted * wanted
                for m in range(k + 1):
                    system[k, m] += counted * near[m]


@njit(cache=True)
def _factor(system: Float64, right: Float64) -> None:
    """Replace the system by L below its diagonal and D on it, the right side by L^-1 of it."""
    for i in range(MOST_ORDER):
        for j in range(i):
            total = system[i, j]
            for k in range(j):
                total -= system[i, k] * system[j, k]
            system[i, j] = total
        least = max(DRAWN / 2, system[i, i] * LEAST_PIVOT)
        pivot = system[i, i]
        for j in range(i):
            scaled = system[i, j] / system[j, j]
            pivot -= system[i, j] * scaled
            right[i] -= scaled * right[j]
            system[i, j] = scaled
        system[i, i] = max(pivot, least)


@njit(cache=True)
def fill_guesses(
    image: Float64, x: int, z: int, span: int, prior: Float64, system: Float64, right: Float64,
    guesses: Int64,
) -> None:  # fmt: skip
    """The guesses (GUESSES,) at the sample in column x and row z, in 2^-FRACTION. `system` and
    `right` are room for MOST_ORDER equations.
    """
    base, left = image[x + PADDING, z + PADDING - 1], image[x + PADDING - 1, z + PADDING]
    if x == 0:
        guesses[:] = int(base) << FRACTION
        return
    plane = base + left - image[x + PADDING - 1, z + PADDING - 1]
    guesses[GUESSES - 1] = int(min(max(plane, min(base, left)), max(base, left))) << FRACTION
    _gather(image, x, z, system, right)
    for k in range(MOST_ORDER):
        system[k, k] += DRAWN
        right[k] += DRAWN * prior[k]
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
        guesses[n] = int(np.floor(total * (1 << FRACTION) + 0.5))
