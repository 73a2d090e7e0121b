"""What files say in attributes: units, names of axes, spacing and origin.

What cannot be understood is refused rather than guessed, unless the caller states it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.facts import DEPTH, checked_fact
from velcodec.formats.files.base import first_line
from velcodec.formats.files.form import Form, Ground, Hints
from velcodec.formats.no_data import no_data_value

LENGTHS = {
    "": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "km": 1000.0, "kilometre": 1000.0, "kilometres": 1000.0, "kilometer": 1000.0,
    "kilometers": 1000.0, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
}  # fmt: skip
TIMES = {
    "ms": 1.0, "msec": 1.0, "millisecond": 1.0, "milliseconds": 1.0, "s": 1000.0, "sec": 1000.0,
    "second": 1000.0, "seconds": 1000.0, "us": 0.001, "microsecond": 0.001, "microseconds": 0.001,
}  # fmt: skip
SPEEDS = {
    f"{metre}{second}": units
    for units, metres in (
        ("m/s", ("m", "meter", "metre", "meters", "metres")),
        ("km/s", ("km", "kilometer", "kilometre", "kilometers", "kilometres")),
    )
    for metre in metres
    for second in ("/s", "/sec", "/second", " s-1", " s^-1", " s**-1", ".s-1", " per second")
}
KEYS = "keys"
MAX_KEYS = 1 << 22
MAX_KEYS_BYTES = 1 << 26
AXIS_NAMES = {"n": "model", "1": "channel", "z": "z", "y": "y", "x": "x"}
GRID_FACTS = (
    "units", "dx", "dz", "dy", "origin", "origin_x", "origin_z", "origin_y", "z_positive",
    "vertical_domain",
)  # fmt: skip
FILL_VALUE = "_FillValue"
GROUNDS = {
    "dx": "dx_m", "dz": "dz_m", "origin_x": "origin_x_m", "origin_z": "origin_z_m",
    "dy": "dy_m", "origin_y": "origin_y_m",
}  # fmt: skip
UNIT = "unit"
AMBIGUOUS_NAMES = (
    UNIT, "spacing", "spacings", "grid_spacing", "sampling", "extent", "dh", "xmin", "xmax", "zmin",
    "zmax", "x0", "z0", "ox", "oz",
)  # fmt: skip
"""Other names under which files state units, spacing and origin, with no agreed units or order."""

DEGREES = "degrees"
PACKED = ("scale_factor", "add_offset")
LEAST_METRES = 0.1
"""Smaller steps are probably kilometres."""

EVEN = 1e-4  # of a step: float32 rounding of the coordinates of a long line


def velocity_units(text: Any, name: str, hints: Hints) -> str | None:
    """The units that a file states, as m/s or km/s; None if it states none.

    Raises InputFileError for other units, unless the caller states them.
    """
    words = " ".join(text_of(text).lower().split())
    if hints.units is not None or not words:
        return hints.units
    if words in SPEEDS:
        return SPEEDS[words]
    raise InputFileError(
        f"{name}: units: found {words!r}, expected m/s or km/s; convert the models first, or "
        "state --units if the label is wrong"
    )


def metres(text: Any, name: str) -> float:
    """Metres per unit of length of a file; no unit means metres. Raises InputFileError."""
    words = text_of(text).strip().lower()
    if words not in LENGTHS:
        raise InputFileError(f"{name}: unit of length: found {words!r}, expected m, km or ft")
    return LENGTHS[words]


def milliseconds(text: Any, name: str) -> float:
    """Milliseconds per unit of time of a file. Raises InputFileError, also for no unit."""
    words = text_of(text).strip().lower()
    if words not in TIMES:
        raise InputFileError(f"{name}: unit of time: found {words!r}, expected ms, s or us")
    return TIMES[words]


def vertical_of(attributes: Mapping[str, Any], name: str) -> str:
    """The vertical domain that a file states, or "". Raises InputFileError for an unknown one."""
    try:
        return checked_fact("vertical", text_of(attributes.get("vertical_domain")))
    except OptionError as error:
        raise InputFileError(f"{name}: {error}; state it with --vertical") from error


def ground_of(attributes: Mapping[str, Any], name: str) -> Ground:
    """Spacing and origin from attributes `dx`, `dz`, and `origin` (x, z) or `origin_x`, `origin_z`,
    all in metres; of volumes also `dy` and `origin_y`. Raises InputFileError.
    """
    try:
        x, z = attributes.get("origin_x"), attributes.get("origin_z")
        if "origin" in attributes:
            x, z = np.asarray(attributes["origin"], dtype=float).ravel()
        values = (
            attributes.get("dx"), attributes.get("dz"), x, z, attributes.get("dy"),
            attributes.get("origin_y"),
        )  # fmt: skip
        return Ground(*(None if v is None else float(np.asarray(v).item()) for v in values))
    except (TypeError, ValueError) as error:
        raise InputFileError(f"{name}: dx, dz or origin: {first_line(error)}") from error


def merged(
    places: Sequence[tuple[str, Mapping[str, Any]]], name: str, hints: Hints
) -> dict[str, Any]:
    """Merge what several places, such as the file and the array, say of `GRID_FACTS`, by name.

    Raises InputFileError if two of them differ, unless the caller states the fact.
    """
    said: dict[str, Any] = {}
    where: dict[str, str] = {}
    for place, given in places:
        attributes = {key.lower() if isinstance(key, str) else key: given[key] for key in given}
        if UNIT in attributes:
            attributes.setdefault("units", attributes[UNIT])
        other = [key for key in AMBIGUOUS_NAMES if key != UNIT and key in attributes]
        if other and None in (hints.ground.dx_m, hints.ground.dz_m):
            raise InputFileError(
                f"{name}: {other[0]}: found {shown_value(attributes[other[0]])} of the {place}, "
                "whose meaning is not known; expected dx, dz, origin_x and origin_z; state what it "
                "says with --dx and --dz, and --origin"
            )
        for key in GRID_FACTS:
            value = attributes.get(key)
            if value is None or (np.asarray(value).dtype.kind in "USO" and not text_of(value)):
                continue
            if (
                key in said
                and not _equal(key, said[key], value)
                and not _is_stated_by_caller(key, hints)
            ):
                raise InputFileError(
                    f"{name}: {key}: found {shown_value(said[key])} of the {where[key]} and "
                    f"{shown_value(value)} of the {place}, expected one; state which with "
                    f"{OPTIONS[key]}"
                )
            said[key], where[key] = value, place
    return said


OPTIONS = {
    "units": "--units", "dx": "--dx", "dz": "--dz", "origin": "--origin", "origin_x": "--origin",
    "origin_z": "--origin", "z_positive": "--z-positive", "dy": "--dy", "origin_y": "--origin-y",
    "vertical_domain": "--vertical",
}  # fmt: skip


def _is_stated_by_caller(key: str, hints: Hints) -> bool:
    """Whether the caller states the fact that `key` is about."""
    if key in ("units", "z_positive"):
        return getattr(hints, key) is not None
    if key == "vertical_domain":
        return bool(hints.facts.vertical)
    fields = {"origin": ("origin_x_m", "origin_z_m")}.get(key) or (GROUNDS[key],)
    return all(getattr(hints.ground, each) is not None for each in fields)


def _equal(key: str, one: Any, other: Any) -> bool:
    """Whether two values mean the same."""
    if key in ("units", "z_positive", "vertical_domain"):
        words = [" ".join(text_of(value).lower().split()) for value in (one, other)]
        speeds = [SPEEDS.get(word) for word in words]
        return words[0] == words[1] or (
            key == "units" and (None in speeds or len(set(speeds)) == 1)
        )
    try:
        here, there = (np.asarray(value, dtype=float).ravel() for value in (one, other))
    except (TypeError, ValueError):
        return text_of(one) == text_of(other)
    return here.shape == there.shape and bool(np.allclose(here, there, rtol=EVEN, atol=0.0))


def shown_value(value: Any) -> str:
    """An attribute's value as a text."""
    array = np.asarray(value)
    if array.dtype.kind in "iuf":
        return ", ".join(f"{number:g}" for number in array.ravel().tolist())
    return repr(text_of(value))


def positive_of(attributes: Mapping[str, Any]) -> str:
    """The direction of depth from an attribute `z_positive`: up, down or ""."""
    return text_of(attributes.get("z_positive")).strip().lower()


def grounds_of(
    columns: Mapping[str, NDArray[Any]], count: int, name: str, nz: int = 1, z_up: bool = False
) -> tuple[Ground, ...] | None:
    """The ground of each model from columns `dx`, `dz`, `origin_x`, `origin_z`; None without them.
    Unknown values of a model are NaN. If rows go up, `origin_z` is minus the depth of the deepest
    of `nz` samples, as in `attributes_of`.

    Raises InputFileError.
    """
    known = {key: np.asarray(columns[key], dtype=float) for key in GROUNDS if key in columns}
    if not known:
        return None
    for key, column in known.items():
        if column.shape != (count,):
            raise InputFileError(f"{name}: {key}: found shape {column.shape} for {count} models")
    if z_up and "origin_z" in known:
        known["origin_z"] = 0.0 - known["origin_z"] - known.get("dz", np.nan) * (nz - 1)
    rows = zip(*(column.tolist() for column in known.values()), strict=True)
    fields = [GROUNDS[key] for key in known]
    return tuple(
        Ground(**{f: v for f, v in zip(fields, row, strict=True) if v == v}).checked(
            f"{name}: model {number}"
        )
        for number, row in enumerate(rows)
    )


def columns_of(form: Form) -> dict[str, NDArray[Any]]:
    """What `grounds_of` reads, for writers; empty if all models have one ground."""
    if form.grounds is None:
        return {}
    columns = {
        key: np.array([getattr(ground, field) for ground in form.grounds], dtype=float)
        for key, field in GROUNDS.items()
        if form.ny is not None or not key.endswith("y")
    }
    if form.z_up:
        columns["origin_z"] = 0.0 - columns["origin_z"] - columns["dz"] * (form.nz - 1)
    return columns


def attributes_of(form: Form) -> dict[str, Any]:
    """What `ground_of`, `positive_of` and `velocity_units` read, for writers."""
    ground, top = form.ground, form.ground.origin_z_m
    if form.z_up and top is not None:
        top = None if ground.dz_m is None else 0.0 - (top + ground.dz_m * (form.nz - 1))
    values = {
        "dx": ground.dx_m, "dz": ground.dz_m, "origin_x": ground.origin_x_m, "origin_z": top,
        "units": form.units, "z_positive": "up" if form.z_up else None,
        "dy": ground.dy_m, "origin_y": ground.origin_y_m,
        "vertical_domain": form.facts.vertical if form.facts.vertical not in ("", DEPTH) else None,
    }  # fmt: skip
    return {key: value for key, value in values.items() if value is not None}


def steps_of(
    values: NDArray[Any], unit: Any, name: str, *, time: bool = False
) -> tuple[float | None, float]:
    """Spacing (None for one sample) and origin in metres, or with `time` in milliseconds, from an
    axis' coordinates.

    Raises InputFileError unless they are evenly spaced and increase: the model would be distorted.
    """
    scale = milliseconds(unit, name) if time else metres(unit, name)
    values = np.asarray(values, dtype=float)
    if len(values) == 1:
        return None, float(values[0]) * scale
    step = float(values[-1] - values[0]) / (len(values) - 1)
    if step < 0:
        raise InputFileError(
            f"{name}: coordinates: found decreasing ones, from {values[0]:g} to {values[-1]:g}, "
            "expected increasing ones: reverse coordinates and samples along this axis, or state "
            "spacing and origin (--dx and --origin) to take the samples as if they rose"
        )
    if not (step > 0 and np.abs(np.diff(values) - step).max() <= EVEN * step):
        raise InputFileError(
            f"{name}: coordinates: expected increasing ones in even steps; state the spacing "
            "and the origin to ignore them"
        )
    return float(f"{step * scale:.9g}"), float(values[0]) * scale  # without the rounding of sums


def fill_value_of(form: Form) -> Any:
    """The value of absent samples in the models' own dtype; None if none may be absent."""
    if form.no_data is None:
        return None
    dtype = np.dtype(form.dtype)
    return no_data_value(form.no_data, dtype).astype(dtype)


def check_metres(step: float | None, unit: Any, name: str, option: str) -> None:
    """Raise InputFileError for a step too small for metres if no unit is stated."""
    if step is not None and 0 < abs(step) < LEAST_METRES and not text_of(unit).strip():
        raise InputFileError(
            f"{name}: found steps of {step:g} and no unit, expected metres, or a unit; state the "
            f"spacing with {option}"
        )


def check_keys(found: tuple[int, ...], width: int, name: str, shape: tuple[int, ...]) -> None:
    """Raise InputFileError unless there is one key per model, of `width` bytes each, or if they are
    too many, before they are read.
    """
    count = shape[0] if len(shape) > 2 else 1
    if count > MAX_KEYS:
        raise InputFileError(f"{name}: keys: found {count}, expected at most {MAX_KEYS}")
    if count * width > MAX_KEYS_BYTES:
        raise InputFileError(
            f"{name}: keys: found {count * width:,} bytes, expected at most {MAX_KEYS_BYTES:,}"
        )
    if found != (count,):
        raise InputFileError(f"{name}: keys: found shape {found} for {count} models")


def check_unpacked(attributes: Mapping[str, Any], name: str) -> None:
    """Raise InputFileError for an array whose values must be scaled before use."""
    for key in PACKED:
        if key in attributes:
            raise InputFileError(f"{name}: {key}: found packed values, expected velocities as such")


def text_of(value: Any) -> str:
    """An attribute's text, which may be bytes or an array of one; "" for None."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
