"""Checks that every sample of an array of models must pass: finite, and not absent unless declared.

`index` maps a place in an array to a place in the file's, or the caller's, array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import EmptyInputError, NonFiniteError
from velcodec.formats.files.absent import Marks, check_all_present
from velcodec.formats.no_data import NoData, find_absent

Place = tuple[int, ...]

NAN_AS_ABSENT = "; --mask nan (mask='nan') keeps NaN as absent samples"

NO_MARKS = Marks()

LAYER = 64
"""Planes of a volume that are read together where samples lie in chunks: those of a brick."""

SAMPLES_AT_ONCE = 1 << 22
"""Samples of a volume that are checked together: bounds memory."""


def check_finite(
    models: NDArray[Any], name: str, index: Callable[[Place], Place], no_data: NoData | None = None
) -> None:
    """Raise NonFiniteError with the first non-finite value and its place; samples of the value
    `no_data` are allowed.
    """
    if models.dtype.kind != "f":
        return
    finite = np.isfinite(models)
    if no_data is not None:
        finite |= find_absent(models, no_data)
    if finite.all():
        return
    place = tuple(int(i) for i in np.argwhere(~finite)[0])
    hint = NAN_AS_ABSENT if np.isnan(models[place]) else ""
    raise NonFiniteError(
        f"{name}: found {models[place]} at index {index(place)}, expected finite velocities "
        f"({np.count_nonzero(~finite)} of {finite.size} samples are not){hint}"
    )


def check_volume_samples(
    planes: Callable[[int, int], NDArray[Any]], shape: Place, name: str,
    index: Callable[[Place], Place], marks: Marks = NO_MARKS, no_data: NoData | None = None,
    number: int | None = None, padded: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Check the samples of a volume of this shape, which `planes` gives from one index of its first
    axis to another; its least and greatest present sample. `number` is that of the volume if there
    are several; none of a `padded` one's samples is taken for an undeclared no-data value.

    Raises NonFiniteError, NoDataError, and EmptyInputError if every sample is absent.
    """
    ends: list[Any] = []
    for start, stop in plane_ranges(shape):

        def at(place: Place, start: int = start) -> Place:
            return index((place[0] + start, *place[1:]))

        some = planes(start, stop)
        check_finite(np.ma.filled(some, 0), name, at, no_data)
        if not padded:
            check_all_present(some, name, at, marks, no_data)
        values = np.ma.getdata(some)
        present = values if no_data is None else values[~find_absent(values, no_data)]
        if present.size:
            ends += [present.min(), present.max()]
    if not ends:
        name = name if number is None else f"{name}: model {number}"
        raise EmptyInputError(f"{name}: every sample is absent ({no_data}), expected some")
    return min(ends), max(ends)


def plane_ranges(shape: Place) -> list[tuple[int, int]]:
    """Ranges of a volume's first axis, each of at most SAMPLES_AT_ONCE samples or one plane, and
    within one layer.
    """
    step = max(1, SAMPLES_AT_ONCE // math.prod(shape[1:]))
    layers = ((first, min(first + LAYER, shape[0])) for first in range(0, shape[0], LAYER))
    return [
        (start, min(start + step, end))
        for first, end in layers
        for start in range(first, end, step)
    ]
