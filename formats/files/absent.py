"""Samples that stand for no data: marked by the file, or by a value that is no velocity.

None is ever taken for a velocity: whoever reads models refuses them, with position and count, but
for those of the value that the caller has declared absent (see `no_data`).
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, NoDataError
from velcodec.formats.no_data import NoData, find_absent

SENTINELS = (
    -999.0, -999.25, -9999.0, -99999.0, 1e20, -1e20, 1e30, -1e30, 9.969209968386869e36,
    3.4028234663852886e38, -3.4028234663852886e38,
)  # fmt: skip
"""Values that software writes where there is no data: of well logs, grids, NetCDF, raster files."""

LEAST_SENTINEL, GREATEST_SENTINEL = -900.0, 1e19
"""Between these two no sentinel lies."""

AS_ABSENT = "; --mask={0} (mask={1}) keeps samples of this value as absent ones"


@dataclass(frozen=True)
class Marks:
    """What a file says of absent samples: their values, and the range of those that are there."""

    values: tuple[float, ...] = ()
    least: float | None = None
    greatest: float | None = None

    def mask(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """True where a sample of the array is absent."""
        found = np.zeros(array.shape, dtype=bool)
        for value in self.values:
            if value != value:
                found |= np.isnan(array)
            elif (here := _as_in(array, value)) is not None:
                found |= array == here
        if self.least is not None:
            found |= array < self.least
        if self.greatest is not None:
            found |= array > self.greatest
        return found


def marks_of(attributes: Mapping[str, Any], name: str, fill: Any = None) -> Marks:
    """What `_FillValue`, `missing_value`, `valid_range`, `valid_min` and `valid_max` say, and the
    `fill` of what was never written, unless it is zero, which is what it is where nobody chose.

    Raises InputFileError for one that is no number.
    """
    values = [
        value
        for key in ("_FillValue", "missing_value")
        for value in _numbers(attributes, key, name)
    ]
    if (
        fill is not None
        and np.ndim(fill) == 0
        and np.asarray(fill).dtype.kind in "iuf"
        and fill != 0
    ):
        values.append(float(fill))
    ends = _numbers(attributes, "valid_range", name)
    if len(ends) not in (0, 2):
        raise InputFileError(f"{name}: valid_range: found {len(ends)} numbers, expected two")
    least = _numbers(attributes, "valid_min", name) or ends[:1]
    greatest = _numbers(attributes, "valid_max", name) or ends[1:]
    return Marks(
        tuple(dict.fromkeys(values)), least[0] if least else None, greatest[0] if greatest else None
    )


def _numbers(attributes: Mapping[str, Any], key: str, name: str) -> list[float]:
    if key not in attributes:
        return []
    value = attributes[key]
    if isinstance(value, str):  # as xarray writes floats into Zarr stores of version 3
        try:
            return [struct.unpack("<d", base64.b64decode(value, validate=True))[0]]
        except (binascii.Error, struct.error):
            pass
    try:
        found = np.asarray(value)
        return [v if isinstance(v, int) else float(v) for v in found.ravel().tolist()]
    except (TypeError, ValueError) as error:
        raise InputFileError(f"{name}: {key}: found {value!r}, expected a number") from error


def check_all_present(
    array: NDArray[Any], name: str, index: Callable[[tuple[int, ...]], tuple[int, ...]],
    marks: Marks = Marks(), no_data: NoData | None = None,
) -> None:  # fmt: skip
    """Raises NoDataError for masked samples, for those that `marks` tell and for sentinels, but for
    samples of the value `no_data`, which the caller has declared absent.

    `index` gives the place in the file's array of a place in this one.
    """
    values = np.ma.getdata(array)
    declared = None if no_data is None else find_absent(values, no_data)

    def refuse(found: NDArray[np.bool_], what: str, way: str) -> None:
        _refuse(found if declared is None else found & ~declared, values, name, index, what, way)

    if isinstance(array, np.ma.MaskedArray):
        way = "; filled with a value that --mask (mask=) names, they are kept as absent samples"
        refuse(np.ma.getmaskarray(array), "masked", way)
    elif marks != Marks():
        refuse(marks.mask(values), "marked as absent", AS_ABSENT)
    # NaN, where it is declared, is neither the least nor the greatest.
    least, greatest = np.fmin, np.fmax
    if values.size and (
        least.reduce(values, axis=None) < LEAST_SENTINEL
        or greatest.reduce(values, axis=None) > GREATEST_SENTINEL
    ):
        kept = {_as_in(values, value) for value in SENTINELS}
        if values.dtype.itemsize == 8 and values.dtype.kind == "f":
            kept |= {float(np.float32(value)) for value in SENTINELS}
        stand = np.isin(values, np.array([v for v in kept if v is not None], dtype=values.dtype))
        refuse(stand, "a value that stands for no data", AS_ABSENT)


def _as_in(array: NDArray[Any], value: float) -> Any:
    """A value as the array's dtype has it; None where it has not."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.dtype.type(value)
    info = np.iinfo(array.dtype)
    return int(value) if value == int(value) and info.min <= value <= info.max else None


def _refuse(
    mask: NDArray[np.bool_], array: NDArray[Any], name: str,
    index: Callable[[tuple[int, ...]], tuple[int, ...]], what: str, way: str,
) -> None:  # fmt: skip
    count = int(np.count_nonzero(mask))
    if not count:
        return
    place = tuple(int(i) for i in np.argwhere(mask)[0])
    value = str(array[place])
    argument = "'nan'" if value == "nan" else value
    raise NoDataError(
        f"{name}: found {value} at index {index(place)}, {what}, as are {count} of "
        f"{mask.size} samples; expected velocities alone{way.format(value, argument)}"
    )
