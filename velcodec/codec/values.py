"""Velocities between the user's dtype and units and m/s in float64, never widening a range.

A rendering that was clamped to [low, high] in m/s stays within the user's own minimum and maximum
after the way back: `inner_range` picks the ends so that they survive the conversion. (Exception:
float64 in km/s, where no m/s value may exist for an end; it can be off by one unit in the last
place.) It never clips a value to fit a dtype.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from velcodec.coordinates import Float64
from velcodec.formats.errors import OptionError

METRES_PER_SECOND = {"m/s": 1.0, "km/s": 1000.0}


def unit_scale(units: str) -> float:
    """m/s in one of `units`; OptionError for units other than m/s and km/s."""
    try:
        return METRES_PER_SECOND[units]
    except KeyError:
        raise OptionError(f"units: expected m/s or km/s, found {units!r}") from None


def to_m_s(values: NDArray[np.generic], units: str) -> Float64:
    """Values in `units` as float64 m/s, same shape."""
    metres = np.asarray(values, dtype=np.float64)
    scale = unit_scale(units)
    return metres if scale == 1.0 else metres * scale


def from_m_s(values: Float64, dtype: np.dtype[np.generic], units: str) -> NDArray[np.generic]:
    """float64 m/s in the user's `units` and `dtype`; integers are rounded to nearest."""
    scale = unit_scale(units)
    return as_dtype(values if scale == 1.0 else values / scale, dtype)


def as_dtype(values: Float64, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Values in `dtype`; integers are rounded to nearest, and held within what the dtype can."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    ends = np.iinfo(cast("np.dtype[np.integer[Any]]", dtype))
    rounded = np.rint(values)
    # The greatest integers of 64 bits have no float64 of their own: it would wrap around.
    found = rounded.clip(float(ends.min), np.nextafter(float(ends.max), 0.0)).astype(dtype)
    return np.where(rounded >= float(ends.max), ends.max, found).astype(dtype)


def inner_range(model: NDArray[np.generic], units: str) -> tuple[float, float]:
    """Least and greatest m/s value that come back within the minimum and maximum of `model`."""
    least, greatest = model.min(), model.max()
    low, high = (float(to_m_s(end, units)) for end in (least, greatest))
    scale = unit_scale(units)
    if scale != 1.0:
        if low / scale < float(least):
            low = float(np.nextafter(low, np.inf))
        if high / scale > float(greatest):
            high = float(np.nextafter(high, -np.inf))
        if low > high:
            low = high
    return low, high
