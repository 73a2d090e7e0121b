"""Fewer values for a model: samples near a frequent value take it.

Layers with faint noise become layers, of the very values that most of their samples have.
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
