"""What files say in words and attributes: units, names of axes, spacing and origin.

What cannot be understood is refused rather than guessed, unless the caller states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError
from velcodec.formats.files.base import Form, Ground, Hints, first_line

LENGTHS = {
    "": 1.0, "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "km": 1000.0, "kilometre": 1000.0, "kilometres": 1000.0, "kilometer": 1000.0,
    "kilometers": 1000.0, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
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
AXIS_NAMES = {"n": "model", "1": "channel", "z": "z", "x": "x"}
SAID = ("units", "dx", "dz", "origin", "origin_x", "origin_z", "z_positive")
GROUNDS = {"dx": "dx_m", "dz": "dz_m", "origin_x": "origin_x_m", "origin_z": "origin_z_m"}
DEGREES = "degrees"
PACKED = ("scale_factor", "add_offset")
EVEN = 1e-4  # of a step: what float32 coordinates of a long line may be off by


def velocity_units(text: Any, name: str, hints: Hints) -> str | None:
    """The units that a file states, as m/s or km/s; None where it states none.

    Raises InputFileError for others, unless the caller states the units.
    """
    words = " ".join(text_of(text).lower().split())
    if hints.units is not None or not words:
        return hints.units
    if words in SPEEDS:
        return SPEEDS[words]
    raise InputFileError(
        f"{name}: units: found {words!r}, expected m/s or km/s; state which with --units"
    )


def metres(text: Any, name: str) -> float:
    """The metres in a file's unit of length; none is taken as metres. Raises InputFileError."""
    words = text_of(text).strip().lower()
    if words not in LENGTHS:
        raise InputFileError(f"{name}: unit of length: found {words!r}, expected m, km or ft")
    return LENGTHS[words]


def ground_of(attributes: Mapping[str, Any], name: str) -> Ground:
    """Spacing and origin from attributes `dx`, `dz`, and `origin` (x, z) or `origin_x`, `origin_z`,
    all in metres. Raises InputFileError.
    """
    try:
        x, z = attributes.get("origin_x"), attributes.get("origin_z")
        if "origin" in attributes:
            x, z = np.asarray(attributes["origin"], dtype=float).ravel()
        values = (attributes.get("dx"), attributes.get("dz"), x, z)
        return Ground(*(None if v is None else float(np.asarray(v).item()) for v in values))
    except (TypeError, ValueError) as error:
        raise InputFileError(f"{name}: dx, dz or origin: {first_line(error)}") from error


def positive_of(attributes: Mapping[str, Any]) -> str:
    """Which way depth points by an attribute `z_positive`: up, down, or empty."""
    return text_of(attributes.get("z_positive")).strip().lower()


def grounds_of(
    columns: Mapping[str, NDArray[Any]], count: int, name: str, nz: int = 1, z_up: bool = False
) -> tuple[Ground, ...] | None:
    """The ground of each model by columns `dx`, `dz`, `origin_x`, `origin_z`; None where there are
    none. What is not known of a model is not a number. Where rows go up, `origin_z` is minus the
    depth of the deepest sample of `nz`, as in `attributes_of`.

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
    """What `grounds_of` reads, for writers; nothing where all models lie on one ground."""
    if form.grounds is None:
        return {}
    columns = {
        key: np.array([getattr(ground, field) for ground in form.grounds], dtype=float)
        for key, field in GROUNDS.items()
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
    }  # fmt: skip
    return {key: value for key, value in values.items() if value is not None}


def steps_of(values: NDArray[Any], unit: Any, name: str) -> tuple[float | None, float]:
    """Spacing (None for one sample) and origin in metres of an axis' coordinates.

    Raises InputFileError unless they are evenly spaced and rise: other models would lie askew.
    """
    scale = metres(unit, name)
    values = np.asarray(values, dtype=float)
    if len(values) == 1:
        return None, float(values[0]) * scale
    step = float(values[-1] - values[0]) / (len(values) - 1)
    if step < 0:
        raise InputFileError(f"{name}: coordinates: found them falling, expected them to rise")
    if not (step > 0 and np.abs(np.diff(values) - step).max() <= EVEN * step):
        raise InputFileError(
            f"{name}: coordinates: expected them to rise in even steps; state the spacing and the "
            "origin to leave them aside"
        )
    return float(f"{step * scale:.9g}"), float(values[0]) * scale  # without the rounding of sums


def coordinates_of(form: Form) -> dict[str, tuple[NDArray[Any], dict[str, str]]]:
    """Coordinates in metres of the axes whose spacing and origin are known, with attributes."""
    axes = {}
    for axis, size in (("z", form.nz), ("x", form.nx)):
        step = getattr(form.ground, f"d{axis}_m")
        origin = getattr(form.ground, f"origin_{axis}_m")
        if None not in (step, origin):
            attributes = {"units": "m", "axis": axis.upper()}
            values = origin + step * np.arange(size)
            if axis == "z":
                attributes["positive"] = "up" if form.z_up else "down"
                values = 0.0 - values[::-1] if form.z_up else values
            axes[axis] = values, attributes
    return axes


def check_keys(found: tuple[int, ...], width: int, name: str, shape: tuple[int, ...]) -> None:
    """Raises InputFileError for other than one key for each model, of `width` bytes each, or for
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
    """Raises InputFileError for an array whose values are to be scaled before use."""
    for key in PACKED:
        if key in attributes:
            raise InputFileError(f"{name}: {key}: found packed values, expected velocities as such")


def text_of(value: Any) -> str:
    """A text of an attribute, which may be bytes or an array of one; empty for None."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
