"""Checks that every sample of an array of models must pass: finite, and not absent unless declared.

`index` maps a place in an array to a place in the file's, or the caller's, array.
"""

from __future__ import annotations

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

PLANES_AT_ONCE = 64
"""Planes of a volume that are read or checked together: bounds memory."""


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
    volume: Any, name: str, index: Callable[[Place], Place], marks: Marks = NO_MARKS,
    no_data: NoData | None = None, number: int | None = None,
) -> None:  # fmt: skip
    """Check the samples of a volume, some planes of its first axis at a time: an array, or what
    gives arrays for ranges of planes. `number` is that of the volume if there are several.

    Raises NonFiniteError, NoDataError, and EmptyInputError if every sample is absent.
    """
    some = no_data is None
    for first in range(0, len(volume), PLANES_AT_ONCE):

        def at(place: Place, first: int = first) -> Place:
            return index((place[0] + first, *place[1:]))

        planes = volume[first : first + PLANES_AT_ONCE]
        check_finite(np.ma.filled(planes, 0), name, at, no_data)
        check_all_present(planes, name, at, marks, no_data)
        if no_data is not None and not some:
            some = not find_absent(np.ma.getdata(planes), no_data).all()
    if not some:
        name = name if number is None else f"{name}: model {number}"
        raise EmptyInputError(f"{name}: every sample is absent ({no_data}), expected some")
