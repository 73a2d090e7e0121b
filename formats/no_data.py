"""No-data: the value that says that a sample of a model is absent, and which samples have it.

A no-data value is `nan`, or a number of the models' dtype: what stands in arrays and files where
nothing is known, such as above the ground. It is never a velocity.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import EmptyInputError, OptionError

NAN = "nan"
NoData = str | int | float
"""`nan`, or a number."""


def no_data_of(option: Any, dtype: np.dtype[Any], name: str) -> NoData | None:
    """The no-data value that an option (`nan` or a number) means in models of `dtype`; None for
    None.

    Raises OptionError, naming the models, for what is neither and for what the dtype cannot hold.
    """
    if option is None:
        return None
    given = option.item() if isinstance(option, (np.integer, np.floating)) else option
    if isinstance(given, bool) or not (isinstance(given, (int, float)) or given == NAN):
        raise OptionError(f"mask: found {option!r}, expected nan or a number")
    wanted: NoData = NAN if given != given else given
    found = wanted
    with suppress(OverflowError):  # then the dtype cannot hold it
        if isinstance(wanted, (int, float)):
            if dtype.kind == "f":
                found = _rounded(float(wanted), dtype)
            elif int(wanted) == wanted:
                found = int(wanted)
    if not holds(dtype, found):
        raise OptionError(f"{name}: mask: found {wanted}, expected what {dtype} can hold")
    return found


def _rounded(value: float, dtype: np.dtype[Any]) -> float:
    """The nearest value of a floating-point dtype; 0 for -0."""
    with np.errstate(over="ignore"):
        return float(dtype.type(value)) + 0.0


def holds(dtype: np.dtype[Any], no_data: object) -> bool:
    """Whether this is a no-data value that models of `dtype` can have."""
    if isinstance(no_data, str):
        return no_data == NAN and dtype.kind == "f"
    if isinstance(no_data, bool) or not isinstance(no_data, (int, float)):
        return False
    if dtype.kind == "f":
        try:
            return bool(np.isfinite(float(no_data))) and _rounded(float(no_data), dtype) == no_data
        except OverflowError:
            return False
    limits = np.iinfo(dtype)
    return no_data == no_data // 1 and int(limits.min) <= no_data <= int(limits.max)


def no_data_value(no_data: NoData, dtype: np.dtype[Any]) -> Any:
    """The sample that says so, in `dtype`; of NaN the quiet one whose other bits are 0."""
    native = dtype.newbyteorder("=")
    return native.type(np.nan) if no_data == NAN else native.type(no_data)


def find_absent(models: NDArray[Any], no_data: NoData) -> NDArray[np.bool_]:
    """Which samples have the no-data value."""
    if no_data == NAN:
        return np.isnan(models)
    found: NDArray[np.bool_] = models == no_data_value(no_data, models.dtype)
    return found


def check_some_present(
    models: NDArray[Any], no_data: NoData, name: str, start: int | None = 0
) -> None:
    """Raises EmptyInputError for a model of (n, nz, nx) without any sample; they are numbered from
    `start` on, or not at all.
    """
    for number, model in enumerate(models):
        if find_absent(model, no_data).all():
            place = name if start is None else f"{name}: model {start + number}"
            raise EmptyInputError(f"{place}: every sample is absent ({no_data}), expected some")
