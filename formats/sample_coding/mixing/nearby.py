"""How far off predictions were near a sample."""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit

ERROR_REACH = 2
"""Errors up to this many columns and rows away count."""

COLUMNS = ERROR_REACH + 1


@njit(cache=True, allocates=False)
def nearby_error(errors: Int64, x: int, z: int) -> int:
    """Weighted sum of the errors near and before (x, z). `errors` has the last COLUMNS columns,
    with a border above and below.
    """
    total = 0
    for i in range(ERROR_REACH + 1):
        for j in range(-ERROR_REACH, ERROR_REACH + 1):
            if i == 0 and j >= 0:
                break
            square = i * i + j * j
            share = 4 if square == 1 else 2 if square == 2 else 1
            total += share * errors[(x - i) % COLUMNS, z + ERROR_REACH + j]
    return total


@njit(cache=True, allocates=False)
def raised_error(error: int) -> int:
    """About `error` to the power of 3/2, which `blend` squares: weights are inverse cubes."""
    raised = error + 8
    return raised * int(np.sqrt(raised))


@njit(cache=True, allocates=False)
def nearby_weights(x: int, z: int, nz: int) -> int:
    """Sum of the weights of `nearby_error` over samples that exist."""
    total = 0
    for i in range(min(ERROR_REACH, x) + 1):
        for j in range(max(-ERROR_REACH, -z), min(ERROR_REACH, nz - 1 - z) + 1):
            if i == 0 and j >= 0:
                break
            square = i * i + j * j
            total += 4 if square == 1 else 2 if square == 2 else 1
    return total
