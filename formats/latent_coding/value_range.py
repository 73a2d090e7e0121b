"""A tile's value range: its minimum and maximum in m/s, rounded inward so that both still bound it.

Ranges lie on a grid of `range_step` m/s where that loses little, on one 64 times finer where the
tile's contrast is low, and are stored exactly where even that is too coarse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]

FINE_BITS = 6
FINE = 1 << FINE_BITS
MIN_GRID_STEPS = 24
"""A range narrower than this many steps of a grid moves to the next finer one."""


def _inward(least: Float64, greatest: Float64, base: float, step: float) -> tuple[Float64, Float64]:
    low = base + np.ceil((least - base) / step) * step
    high = base + np.floor((greatest - base) / step) * step
    # `least - base` may round onto the grid, or overflow: then it is left to a finer range.
    inside = (low >= least) & (high <= greatest)
    return np.where(inside, low, greatest), np.where(inside, high, least)


def inward_range(
    minimum: ArrayLike, maximum: ArrayLike, base: float, step: float
) -> tuple[Float64, Float64]:
    """Ranges (low, high) in m/s within [minimum, maximum], as they will be stored.

    `step` (m/s) is a power of two and `base` a multiple of it, so grid values are exact in float64.
    """
    least = np.asarray(minimum, dtype=np.float64)
    greatest = np.asarray(maximum, dtype=np.float64)
    low, high = least.copy(), greatest.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for grid in (step / FINE, step):
            at_low, at_high = _inward(least, greatest, base, grid)
            wide = at_high - at_low >= MIN_GRID_STEPS * grid
            low, high = np.where(wide, at_low, low), np.where(wide, at_high, high)
    return low, high


def on_grid(values: Float64, base: float, step: float, bits: int) -> NDArray[np.bool_]:
    """Which values are base + k step with 0 <= k < 2^bits."""
    k = _steps(values, base, step)
    # `values - base` may have rounded: only what comes back exactly is on the grid.
    found: NDArray[np.bool_] = (k == np.floor(k)) & (k >= 0) & (k < 2.0**bits)
    found &= base + k * step == values
    return found


def grid_index(values: Float64, base: float, step: float) -> NDArray[np.uint64]:
    """Index k of values base + k step that are on the grid; anything for the others."""
    k = _steps(values, base, step)
    return np.where((k >= 0) & (k < 2.0**32), k, 0).astype(np.uint64)


def _steps(values: Float64, base: float, step: float) -> Float64:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num((values - base) / step, nan=-1.0, posinf=2.0**63, neginf=-1.0)
