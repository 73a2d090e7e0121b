"""Simplifying models: fewer values, shorter borders, no specks.

Layers with faint noise become uniform layers.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit

NEIGHBOURS, CORNER = 8, 0.5
"""Neighbours of a sample, and the weight of a diagonal one."""

SWEEPS = 8
"""Most sweeps over the image."""


def merge_values(codes: Int64, reach: int) -> Int64:
    """Merge rare values into frequent ones at most `reach` away, the most frequent first; of the
    same shape.
    """
    values, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
    centre = values.copy()
    free = np.ones(len(values), dtype=bool)
    for k in np.lexsort((values, -counts)):
        if free[k]:
            first, last = np.searchsorted(values, (values[k] - reach, values[k] + reach + 1))
            near = slice(int(first), int(last))
            centre[near] = np.where(free[near], values[k], centre[near])
            free[near] = False
    merged: Int64 = centre[which].reshape(codes.shape)
    return merged


def shorten_borders(codes: Int64, values: Int64, price: float) -> Int64:
    """Shorten the borders between `values` (nz, nx) by iterated conditional modes (Besag, "On the
    statistical analysis of dirty pictures", 1986).

    Each sample takes the value of least cost among its own and those of its eight neighbours. The
    cost is the squared distance from `codes` (nz, nx), plus `price` for every neighbour with
    another value (half of it for a diagonal one).
    """
    labels: Int64 = values.copy()
    _iterate_modes(np.ascontiguousarray(codes), labels, price)
    return labels


@njit(cache=True)
def _iterate_modes(codes: Int64, values: Int64, price: float) -> None:
    nz, nx = codes.shape
    around = np.zeros(NEIGHBOURS, dtype=np.int64)
    prices = np.zeros(NEIGHBOURS)
    for _ in range(SWEEPS):
        changed = False
        for x in range(nx):
            for z in range(nz):
                n = 0
                for dz in range(-1, 2):
                    for dx in range(-1, 2):
                        if (dz or dx) and 0 <= z + dz < nz and 0 <= x + dx < nx:
                            around[n] = values[z + dz, x + dx]
                            prices[n] = price * (CORNER if dz and dx else 1.0)
                            n += 1
                own = best = values[z, x]
                least = _cost(own, codes[z, x], around[:n], prices)
                for k in range(n):
                    if around[k] != own:
                        cost = _cost(around[k], codes[z, x], around[:n], prices)
                        if cost < least:
                            best, least = around[k], cost
                if best != own:
                    values[z, x], changed = best, True
        if not changed:
            break


@njit(cache=True)
def _cost(value: int, code: int, around: Int64, prices: Float64) -> float:
    cost = float(value - code) ** 2
    for k in range(len(around)):
        if around[k] != value:
            cost += prices[k]
    return cost


def class_means(codes: Int64, values: Int64) -> Int64:
    """Each of `values` (nz, nx) replaced by the rounded mean of the `codes` (nz, nx) of its
    samples.
    """
    _, which = np.unique(values, return_inverse=True)
    which = which.reshape(-1)
    means = np.bincount(which, codes.reshape(-1)) / np.bincount(which)
    replaced: Int64 = np.rint(means).astype(np.int64)[which].reshape(values.shape)
    return replaced
