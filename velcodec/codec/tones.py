"""Simpler models of about the same samples: fewer values, no specks.

Layers with faint noise become layers, of the very values that most of their samples have; a speck
costs as many bits as many good samples, and may be further off.
"""

from __future__ import annotations

import numpy as np

from velcodec.tiling import Int64


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


def without_specks(codes: Int64, reach: int) -> Int64:
    """Integers (nz, nx) in which a sample that differs from all four around it takes the nearer
    value of the two above and below, if it is no more than `reach` away.
    """
    padded = np.pad(codes, 1, mode="reflect") if min(codes.shape) > 1 else np.pad(codes, 1, "edge")
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    alone = (codes != above) & (codes != below)
    alone &= (codes != padded[1:-1, :-2]) & (codes != padded[1:-1, 2:])
    nearer = np.where(np.abs(codes - above) <= np.abs(codes - below), above, below)
    return np.where(alone & (np.abs(codes - nearer) <= reach), nearer, codes)
