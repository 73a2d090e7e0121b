"""What files say in words and attributes: units, names of axes, spacing and origin.

What cannot be understood is refused rather than guessed, unless the caller states it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputFileError
from .base import Form, Ground, Hints, first_line

Z_NAMES = ("z", "depth")
X_NAMES = ("x", "distance", "position", "offset")
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
AXIS_NAMES = {"n": "model", "1": "channel", "z": "z", "x": "x"}
SAID = ("units", "dx", "dz", "origin", "origin_x", "origin_z")
PACKED = ("scale_factor", "add_offset")
EVEN = 1e-4  # of a step: what float32 coordinates of a long line may be off by


def velocity_units(text: Any, name: str, hints: Hints) -> str | None:
    """The units that a file states, as m/s or km/s; None where it states none.

    Raises InputFileError for others, unless the caller states the units.
    """
    words = " ".join(_text(text).lower().split())
    if hints.units is not None or not words:
        return hints.units
    if words in SPEEDS:
        return SPEEDS[words]
    raise InputFileError(
        f"{name}: units: found {words!r}, expected m/s or km/s; state which with --units"
    )


def metres(text: Any, name: str) -> float:
    """The metres in a file's unit of length; none is taken as metres. Raises InputFileError."""
    words = _text(text).strip().lower()
    if words not in LENGTHS:
        raise InputFileError(f"{name}: unit of length: found {words!r}, expected m, km or ft")
    return LENGTHS[words]


def order_of(names: Sequence[str | None]) -> str | None:
    """The order of the two spatial axes by their names; None unless the names tell."""
    if len(names) < 2:
        return None
    slow, fast = (_axis(name) for name in names[-2:])
    if slow == fast:
        return None
    return "xz" if slow == "x" or fast == "z" else "zx"


def _axis(name: str | None) -> str:
    words = (name or "").lower().replace("(", " ").split()
    first = words[0] if words else ""
    return "z" if first in Z_NAMES else "x" if first in X_NAMES else "?"


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


def attributes_of(ground: Ground, units: str | None) -> dict[str, Any]:
    """What `ground_of` and `velocity_units` read, for writers."""
    values = {
        "dx": ground.dx_m, "dz": ground.dz_m,
        "origin_x": ground.origin_x_m, "origin_z": ground.origin_z_m, "units": units,
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
    if not (step > 0 and np.abs(np.diff(values) - step).max() <= EVEN * step):
        raise InputFileError(
            f"{name}: coordinates: expected them to rise in even steps; state the spacing and the "
            "origin to leave them aside"
        )
    return float(f"{step * scale:.9g}"), float(values[0]) * scale  # without the rounding of sums


def ground_of_axes(
    axes: dict[str, tuple[NDArray[Any], Any] | None], name: str, hints: Hints, otherwise: Ground
) -> Ground:
    """Spacing and origin from the coordinates (values, unit) of `x` and `z`.

    Coordinates are not looked at where the caller states both. Raises InputFileError.
    """
    found = Ground()
    for axis, values in axes.items():
        stated = (getattr(hints.ground, f"d{axis}_m"), getattr(hints.ground, f"origin_{axis}_m"))
        if values is not None and None in stated:
            step, origin = steps_of(*values, f"{name}: {axis}")
            found = replace(found, **{f"d{axis}_m": step, f"origin_{axis}_m": origin})
    return found.or_else(otherwise)


def coordinates_of(form: Form) -> dict[str, tuple[NDArray[Any], dict[str, str]]]:
    """Coordinates in metres of the axes whose spacing and origin are known, with attributes."""
    axes = {}
    for axis, size in (("z", form.nz), ("x", form.nx)):
        step = getattr(form.ground, f"d{axis}_m")
        origin = getattr(form.ground, f"origin_{axis}_m")
        if None not in (step, origin):
            attributes = {"units": "m", "axis": axis.upper()}
            if axis == "z":
                attributes["positive"] = "down"
            axes[axis] = origin + step * np.arange(size), attributes
    return axes


def check_keys(found: tuple[int, ...], name: str, shape: tuple[int, ...]) -> None:
    """Raises InputFileError for other than one key for each model, before they are read."""
    count = shape[0] if len(shape) > 2 else 1
    if count > MAX_KEYS:
        raise InputFileError(f"{name}: keys: found {count}, expected at most {MAX_KEYS}")
    if found != (count,):
        raise InputFileError(f"{name}: keys: found shape {found} for {count} models")


def check_unpacked(attributes: Mapping[str, Any], name: str) -> None:
    """Raises InputFileError for an array whose values are to be scaled before use."""
    for key in PACKED:
        if key in attributes:
            raise InputFileError(f"{name}: {key}: found packed values, expected velocities as such")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
