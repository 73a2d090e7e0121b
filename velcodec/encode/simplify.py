"""Simpler models of about the same samples: fewer values, shorter borders, no specks.

Layers with faint noise become layers, of the values that most of their samples have.
"""

from __future__ import annotations

import numpy as np

from velcodec.decode.tiling import Int64
from velcodec.formats.compiled import njit
from velcodec.geometry import Float64

NEIGHBOURS, CORNER = 8, 0.5
SWEEPS = 8


def toned(codes: Int64, reach: int) -> Int64:
    """Integers of the same shape, none more than `reach` away: frequent ones stay, and draw others
    to them, the most frequent first.
    """
    values, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
    centre = values.copy()
    free = np.ones(len(values), dtype=bool)
    for k in np.lexsort((values, -counts)):
        if free[k]:
            first, last = np.searchsorted(values, (values[k] - reach, values[k] + reach + 1))
            own = slice(int(first), int(last))
            centre[own] = np.where(free[own], values[k], centre[own])
            free[own] = False
    found: Int64 = centre[which].reshape(codes.shape)
    return found


def smoothed(codes: Int64, values: Int64, price: float) -> Int64:
    """`values` (nz, nx) with fewer borders: each sample takes, of its own value and those of the
    eight around it, the one whose squared distance from `codes` (nz, nx), with `price` for every
    neighbour of another value (half of it across a corner), is least.

    Besag, "On the statistical analysis of dirty pictures" (1986): iterated conditional modes.
    """
    found: Int64 = values.copy()
    _smooth(np.ascontiguousarray(codes), found, price)
    return found


@njit(cache=True)
def _smooth(codes: Int64, values: Int64, price: float) -> None:
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


def recentred(codes: Int64, values: Int64) -> Int64:
    """`values` (nz, nx), each replaced by the mean of the `codes` (nz, nx) that have it."""
    _, which = np.unique(values, return_inverse=True)
    which = which.reshape(-1)
    means = np.bincount(which, codes.reshape(-1)) / np.bincount(which)
    found: Int64 = np.rint(means).astype(np.int64)[which].reshape(values.shape)
    return found
