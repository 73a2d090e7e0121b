"""Converting between the user's dtype and units and float64 m/s, without widening a range.

A rendering clamped to [low, high] in m/s stays within the user's minimum and maximum when it is
converted back: `inner_range` picks ends that survive the conversion. (Exceptions: float64 in km/s
and 64-bit integers beyond 2^53, where no m/s value may exist for an end; it can be off by one unit
in the last place.) Integers are clamped to their dtype's range.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float64
from velcodec.formats.errors import OptionError

METRES_PER_SECOND = {"m/s": 1.0, "km/s": 1000.0}


def unit_scale(units: str) -> float:
    """m/s per unit of `units`; OptionError for units other than m/s and km/s."""
    try:
        return METRES_PER_SECOND[units]
    except KeyError:
        raise OptionError(f"units: expected m/s or km/s, found {units!r}") from None


def to_m_s(values: NDArray[np.generic], units: str) -> Float64:
    """Values in `units` as float64 m/s, of the same shape."""
    metres = np.asarray(values, dtype=np.float64)
    scale = unit_scale(units)
    return metres if scale == 1.0 else metres * scale


def from_m_s(values: Float64, dtype: np.dtype[np.generic], units: str) -> NDArray[np.generic]:
    """float64 m/s in the user's `units` and `dtype`; integers are rounded to nearest."""
    scale = unit_scale(units)
    return as_dtype(values if scale == 1.0 else values / scale, dtype)


def as_dtype(values: Float64, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Values in `dtype`; integers are rounded to nearest and clamped to the dtype's range."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    ends = np.iinfo(cast("np.dtype[np.integer[Any]]", dtype))
    rounded = np.rint(values)
    # The greatest 64-bit integer rounds up as a float64, and would wrap around.
    clamped = rounded.clip(float(ends.min), np.nextafter(float(ends.max), 0.0)).astype(dtype)
    return np.where(rounded >= float(ends.max), ends.max, clamped).astype(dtype)


def difference_m_s(values: NDArray[np.generic], others: NDArray[np.generic], units: str) -> Float64:
    """`values` minus `others` of the same shape, both in `units`, as float64 m/s. Integers are
    subtracted before they are rounded to float64.
    """
    if not _both_whole(values, others):
        return to_m_s(values, units) - to_m_s(others, units)
    before: NDArray[np.bool_] = np.less(values, others)
    distance: Float64 = np.where(before, -1.0, 1.0) * _distance(values, others)
    return distance * unit_scale(units)


def lie_within(values: NDArray[Any], others: NDArray[Any], bound: float, units: str) -> bool:
    """Whether no value of `values` is more than `bound` (m/s) from that of `others`, both in
    `units`. Exact for integers.
    """
    if _both_whole(values, others):
        # Python compares integers with floats exactly.
        return int(_distance(values, others).max()) * int(unit_scale(units)) <= bound
    return bool(np.abs(difference_m_s(values, others, units)).max() <= bound)


def _both_whole(values: NDArray[Any], others: NDArray[Any]) -> bool:
    return values.dtype == others.dtype and values.dtype.kind in "iu"


def _distance(values: NDArray[Any], others: NDArray[Any]) -> NDArray[np.uint64]:
    """Absolute difference of integers of one dtype: 0 to 2^64 - 1."""
    left, right = (each.astype(np.uint64) for each in (values, others))  # modulo 2^64
    return np.where(values < others, right - left, left - right)


def inner_range(model: NDArray[np.generic], units: str) -> tuple[float, float]:
    """Least and greatest value in m/s that convert back to within `model`'s minimum and maximum."""
    least, greatest = model.min(), model.max()
    low, high = (float(to_m_s(end, units)) for end in (least, greatest))
    scale = unit_scale(units)
    wide = model.dtype.kind in "iu" and model.dtype.itemsize == 8
    if scale != 1.0 or wide:
        # Not every 64-bit integer is a float64; Python compares the two exactly.
        first, last = (end.item() if wide else float(end) for end in (least, greatest))
        if low / scale < first:
            low = float(np.nextafter(low, np.inf))
        if high / scale > last:
            high = float(np.nextafter(high, -np.inf))
        if low > high:
            low = high
    return low, high
