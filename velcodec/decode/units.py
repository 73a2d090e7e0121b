"""Velocities between the user's dtype and units and m/s in float64, never widening a range.

A rendering that was clamped to [low, high] in m/s stays within the user's own minimum and maximum
after the way back: `inner_range` picks the ends so that they survive the conversion. (Exception:
float64 in km/s, where no m/s value may exist for an end; it can be off by one unit in the last
place. So with integers of 64 bits beyond 2^53.) Integers are held within what their dtype can.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import OptionError
from velcodec.geometry import Float64

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


def difference_m_s(values: NDArray[np.generic], others: NDArray[np.generic], units: str) -> Float64:
    """`values` less `others` of the same shape, both in `units`, as float64 m/s. Integers of 64
    bits are subtracted before they are rounded to float64.
    """
    if not _both_whole(values, others):
        return to_m_s(values, units) - to_m_s(others, units)
    before: NDArray[np.bool_] = np.less(values, others)
    distance: Float64 = np.where(before, -1.0, 1.0) * _distance(values, others)
    return distance * unit_scale(units)


def lie_within(values: NDArray[Any], others: NDArray[Any], bound: float, units: str) -> bool:
    """Whether no value, in `units`, is more than `bound` (m/s) from the other in its place. Exact
    for integers.
    """
    if _both_whole(values, others):
        # Python compares integers with floats exactly.
        return int(_distance(values, others).max()) * int(unit_scale(units)) <= bound
    return bool(np.abs(difference_m_s(values, others, units)).max() <= bound)


def _both_whole(values: NDArray[Any], others: NDArray[Any]) -> bool:
    return values.dtype == others.dtype and values.dtype.kind in "iu"


def _distance(values: NDArray[Any], others: NDArray[Any]) -> NDArray[np.uint64]:
    """How far integers of one dtype lie apart: no less than 0, and at most 2^64 - 1."""
    there, here = (each.astype(np.uint64) for each in (values, others))  # modulo 2^64
    return np.where(values < others, here - there, there - here)


def inner_range(model: NDArray[np.generic], units: str) -> tuple[float, float]:
    """Least and greatest m/s value that come back within the minimum and maximum of `model`."""
    least, greatest = model.min(), model.max()
    low, high = (float(to_m_s(end, units)) for end in (least, greatest))
    scale = unit_scale(units)
    wide = model.dtype.kind in "iu" and model.dtype.itemsize == 8
    if scale != 1.0 or wide:
        # Of integers of 64 bits not every one is a float64; Python compares the two exactly.
        first, last = (end.item() if wide else float(end) for end in (least, greatest))
        if low / scale < first:
            low = float(np.nextafter(low, np.inf))
        if high / scale > last:
            high = float(np.nextafter(high, -np.inf))
        if low > high:
            low = high
    return low, high
