"""Identify axes and the direction of depth from names, units and coordinates.

What cannot be identified is refused with the names found, never guessed. Arrays with no information
on their axes follow the convention of their format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, InputShapeError
from velcodec.formats.facts import ELEVATION, Facts
from velcodec.formats.files.attributes import (
    DEGREES,
    LENGTHS,
    check_metres,
    ground_of,
    grounds_of,
    metres,
    milliseconds,
    positive_of,
    steps_of,
    text_of,
    vertical_of,
)
from velcodec.formats.files.form import Form, Ground, Hints, Placed, form_of
from velcodec.formats.files.npy import check_last_axis, check_shape, check_volume

DEPTHS = ("depth", "depths", "tvd", "tvdss")
HEIGHTS = ("elevation", "elev", "height", "altitude", "alt")
ELEVATIONS = ("elevation", "elev", "altitude", "alt")
HEIGHTS_ABOVE = ("altitude", "height_above_mean_sea_level", "height_above_geopotential_datum")
Z_NAMES = ("z", "nz", "iz", "zs", "vertical", *DEPTHS, *HEIGHTS)
X_NAMES = (
    "x", "nx", "ix", "xs", "distance", "dist", "position", "offset", "trace", "traces", "cdp",
    "cmp", "horizontal", "lateral", "easting", "lon", "longitude", "crossline", "xline",
)  # fmt: skip
Y_NAMES = ("y", "ny", "iy", "ys", "northing", "lat", "latitude", "inline", "iline", "line")
N_NAMES = (
    "n", "model", "models", "number", "realization", "realisation", "member", "ensemble", "batch",
    "example", "case", "family", "record",
)  # fmt: skip
ONE_NAMES = ("channel", "channels", "band", "component")
T_NAMES = ("t", "nt", "time", "twt", "times")
ANGLES = ("lat", "lon", "latitude", "longitude")
ROLES = {
    **dict.fromkeys(Z_NAMES, "z"), **dict.fromkeys(X_NAMES, "x"), **dict.fromkeys(Y_NAMES, "y"),
    **dict.fromkeys(N_NAMES, "n"), **dict.fromkeys(ONE_NAMES, "1"), **dict.fromkeys(T_NAMES, "t"),
}  # fmt: skip
STANDARD = {
    "projection_x_coordinate": "x", "projection_y_coordinate": "y", "longitude": "x",
    "latitude": "y", "depth": "z", "height": "z", "altitude": "z", "time": "t",
    "height_above_mean_sea_level": "z", "height_above_geopotential_datum": "z",
}  # fmt: skip
UNNAMED = re.compile(r"(?:phony_)?(?:dim|axis)_?\d*|")
ROUNDING = 1e-6
TOLERANCE = 1e-3
"""Tolerance, as a fraction of a step, for a spacing or an origin that is stated twice."""

VOLUME_FACTS = {"dy", "origin_y"}
"""Facts that only volumes have: they make an array without names of its axes one."""

UP_OR_DOWN = "state which way it points with --z-positive up or down"


@dataclass(frozen=True)
class Axis:
    """What a file says of one axis: its name, and coordinates with their attributes."""

    name: str = ""
    values: NDArray[Any] | None = None
    attributes: Mapping[str, Any] | None = None

    def said(self, key: str) -> str:
        """An attribute of the coordinates as a lower-case word, or ""."""
        return text_of((self.attributes or {}).get(key)).strip().lower()

    @property
    def words(self) -> list[str]:
        """The name in pieces: `Depth (km)` is depth, km."""
        return [word for word in re.split(r"[^a-z0-9]+", self.name.lower()) if word]

    @property
    def role(self) -> str:
        """z, x, y (also across), n (models), 1 or t (time); ? for another name, "" for none."""
        if UNNAMED.fullmatch(self.name.lower()) and not self.attributes:
            return ""
        if self.said("axis") in ("x", "y", "z", "t"):
            return self.said("axis")
        if self.said("positive") in ("up", "down"):
            return "z"
        if self.said("standard_name") in STANDARD:
            return STANDARD[self.said("standard_name")]
        unit = self.said("units")
        if unit.startswith(("degrees_", "degree_")):
            return "y" if unit.endswith(("north", "n")) else "x"
        first = self.words[0] if self.words else ""
        return ROLES.get(first, "" if UNNAMED.fullmatch(self.name.lower()) else "?")

    @property
    def is_elevation(self) -> bool:
        """Whether the axis is called an elevation: heights above a datum."""
        return bool(
            set(self.words[:1]) & set(ELEVATIONS) or self.said("standard_name") in HEIGHTS_ABOVE
        )

    @property
    def unit(self) -> Any:
        """The unit of the coordinates, from an attribute or the name."""
        unit = (self.attributes or {}).get("units")
        if text_of(unit).strip():
            return unit
        if self.words[:1] and self.words[0] in ANGLES:
            return DEGREES
        return next((word for word in self.words[1:] if word in LENGTHS), unit)


MAX_COORDINATES = 1 << 22


@dataclass(frozen=True)
class Coordinate:
    """A coordinate array along some of a file's dimensions, not read yet."""

    name: str
    dims: tuple[str, ...]
    size: int
    attributes: Mapping[str, Any]
    read: Callable[[], NDArray[Any]]


def axes_of(dims: Sequence[str], coordinates: Sequence[Coordinate], name: str) -> list[Axis]:
    """The axes of an array with named dimensions. Each gets its own coordinates, or else the only
    coordinates along it that are a depth or a distance.

    Raises InputFileError for depths that vary laterally, and for too many coordinates.
    """
    for each in coordinates:
        role = _role(each)
        if len(each.dims) > 1 and set(each.dims) <= set(dims) and role in ("z", "x"):
            what, line = ("depths", "row") if role == "z" else ("distances", "column")
            raise InputFileError(
                f"{name}: coordinates {each.name}: found {what} along {', '.join(each.dims)}, "
                f"expected the same for all samples of a {line}"
            )
    found = []
    for dim in dims:
        along = [each for each in coordinates if each.dims == (dim,)]
        own = [each for each in along if each.name == dim]
        other = [each for each in along if _role(each) in ("z", "x", "y")]
        if not own and len(other) == 1 and Axis(dim).role not in ("n", "1"):
            own = other
        if not own or Axis(dim).role in ("n", "1"):
            found.append(Axis(dim))
            continue
        (chosen,) = own
        if chosen.size > MAX_COORDINATES:
            raise InputFileError(
                f"{name}: coordinates {chosen.name}: found {chosen.size}, expected at most "
                f"{MAX_COORDINATES}"
            )
        found.append(Axis(chosen.name, chosen.read(), chosen.attributes))
    return found


def _role(coordinate: Coordinate) -> str:
    return Axis(coordinate.name, None, coordinate.attributes).role


def axes_beside(
    shape: tuple[int, ...], beside: Sequence[Coordinate], hints: Hints, unstated: str | None = None
) -> list[Axis]:
    """The axes of an array without axis names, from arrays beside it with axis names and matching
    lengths; empty if they fit neither order of the last two axes.
    """
    fitting = [each for each in beside if each.size in shape]
    roles = {role: [c for c in fitting if _role(c) in role] for role in ("z", "x", "y")}
    if any(len(some) > 1 for some in roles.values()):
        return []
    z, x, y = ([*roles[role], None][0] for role in ("z", "x", "y"))
    if len(shape) == 3 and z and x and y and {z.size, x.size, y.size} == set(shape):
        along = [next(c for c in (z, y, x) if c.size == size) for size in shape]
        return [Axis(each.name, each.read(), each.attributes) for each in along]
    if hints.volume:
        return []
    x = x or y
    usual = hints.order or unstated or hints.unstated_order
    for order in (usual, usual[::-1]) if hints.order is None else (usual,):
        sizes = dict(zip(order, shape[-2:], strict=True))
        if (z or x) and (z is None or z.size == sizes["z"]) and (x is None or x.size == sizes["x"]):
            both = {"z": z, "x": x}
            last = [
                Axis(axis) if (c := both[axis]) is None else Axis(c.name, c.read(), c.attributes)
                for axis in order
            ]
            return [*(Axis() for _ in shape[:-2]), *last]
    return []


def place(
    axes: Sequence[Axis],
    shape: tuple[int, ...],
    name: str,
    hints: Hints,
    unstated: str | None = None,
) -> Placed:
    """Where each axis of an array goes: models first, then depth and distance in their own order.

    `unstated` is the order if names give none. Axes named z, y and x make a volume. Raises
    InputShapeError for arrays that are not models, InputFileError for axes that cannot be
    identified.
    """
    count = len(shape)
    axes = [*axes, *(Axis() for _ in range(count - len(axes)))]
    roles = _roles(axes, hints)
    names = ", ".join(axis.name or "(no name)" for axis in axes)
    if hints.volume or _across(roles, shape) > 1:
        return _place_volume(roles, shape, names, name, hints)
    if not any(roles) or count not in (2, 3, 4):
        if hints.order is None and count == 3:
            check_last_axis(shape, name)
        return Placed(
            check_shape(shape, name)[:-2] + (hints.order or unstated or hints.unstated_order)
        )
    if hints.order is not None:
        if {"n", "1"} & set(roles[-2:]):
            raise InputFileError(f"{name}: order: {hints.order} was stated, found axes {names}")
        return Placed(check_shape(shape, name)[:-2] + hints.order)
    pair = _pair(roles, shape)
    if pair == "unnamed":
        return Placed(check_shape(shape, name)[:-2] + (unstated or hints.unstated_order))
    if not isinstance(pair, tuple):
        raise InputFileError(
            f"{name}: axes: found {names}, expected depth and distance, by names such as z and x, "
            "and models before them; state the order of the last two with --order zx or xz"
        )
    z, x = pair
    rest = [i for i in range(count) if i not in pair]
    if len(rest) == 2:
        ones = sorted((i for i in rest if shape[i] == 1), key=lambda i: (roles[i] != "1", -i))
        if not ones:
            check_shape((shape[rest[0]], shape[rest[1]], shape[z], shape[x]), name)
        rest = [i for i in rest if i != ones[0]] + ones[:1]
    order = "zx" if z < x else "xz"
    own = (*rest, *sorted(pair))
    found = "n1"[: len(rest)] + order
    check_shape(tuple(shape[i] for i in own), name)
    return Placed(found, None if own == tuple(range(count)) else own)


def are_volumes(axes: Sequence[Axis], shape: tuple[int, ...], hints: Hints) -> bool:
    """Whether an array of four axes holds volumes: their names, or the caller, say so."""
    return len(shape) == 4 and (hints.volume or {"x", "y", "z"} <= set(_roles(axes, hints)))


def _roles(axes: Sequence[Axis], hints: Hints) -> list[str]:
    """What each axis is; time is z where that is what z is."""
    return ["z" if hints.facts.is_time and axis.role == "t" else axis.role for axis in axes]


def _across(roles: Sequence[str], shape: Sequence[int]) -> int:
    """How many horizontal axes have more than one sample."""
    return sum(role in ("x", "y") and size > 1 for role, size in zip(roles, shape, strict=True))


def _place_volume(
    roles: Sequence[str], shape: tuple[int, ...], names: str, name: str, hints: Hints
) -> Placed:
    """Where each axis of an array of volumes goes: models first, then the others in their order.

    Raises InputShapeError for axes that are not z, y and x, with models before them.
    """
    if not any(roles):
        return Placed(check_volume(shape, name) + hints.volume_order)
    spatial = [i for i, role in enumerate(roles) if role in ("x", "y", "z")]
    found = "".join(roles[i] for i in spatial)
    rest = [i for i in range(len(shape)) if i not in spatial]
    if sorted(found) != ["x", "y", "z"] or len(rest) > 1 or {roles[i] for i in rest} & {"1", "t"}:
        raise InputShapeError(
            f"{name}: axes: found {names} of sizes {tuple(shape)}, expected depth and distance of "
            "sections, or z, y and x of 3-D models, and models before them"
        )
    if hints.order not in (None, found):
        raise InputFileError(
            f"{name}: order: {hints.order} was stated, found axes {names}, which are {found}"
        )
    own = (*rest, *spatial)
    check_volume(tuple(shape[i] for i in own), name)
    return Placed("n" * len(rest) + found, None if own == tuple(range(len(shape))) else own)


def _pair(roles: Sequence[str], shape: Sequence[int]) -> tuple[int, int] | str | None:
    """The axes of depth and distance; "unnamed" if names leave it to the format; or None."""
    count = len(roles)
    z = [i for i, role in enumerate(roles) if role == "z"]
    x = [i for i, role in enumerate(roles) if role in ("x", "y")]
    if len(x) > 1:
        x = [i for i in x if shape[i] > 1] or [i for i in x if roles[i] == "x"][:1] or x[:1]
    if len(z) > 1 or len(x) > 1:
        return None
    if any(role == "1" and size > 1 for role, size in zip(roles, shape, strict=True)):
        return None  # channels are not models
    single = {i for i in range(count - 2) if count == 4 and shape[i] == 1}
    open_ = [i for i, role in enumerate(roles) if role in ("", "?") and i not in single]
    if z and x:
        odd = [i for i in open_ if roles[i] == "?" and i > 0]
        return None if odd else (z[0], x[0])
    if z or x:
        known = (z or x)[0]
        if known == 0 and count > 2:
            open_ = [i for i in open_ if i > 0] if len(open_) == 1 else []
        others = [i for i in open_ if i != known]
        most = [i for i in others if i >= count - 2]
        if len(most) != 1 or (len(others) > 1 and min(others) > 0):
            return None
        return (known, most[0]) if z else (most[0], known)
    last = roles[-2:]
    return "unnamed" if not any(last) else None


def named_form(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str, hints: Hints, axes: Sequence[Axis],
    attributes: Mapping[str, Any], *, unstated: str | None = None, convention: bool = True,
    units: str | None = None, columns: Mapping[str, NDArray[Any]] | None = None,
    keys: Callable[[tuple[int, ...]], tuple[str, ...] | None] | None = None,
    facts: Facts | None = None,
) -> tuple[Form, tuple[int, ...] | None]:  # fmt: skip
    """The form of an array with named axes or coordinates, and where its axes are.

    `facts` lack only what z is, which attributes, or the name of its axis, say. `attributes` and
    `columns` are the inputs of `ground_of` and `grounds_of`; `keys` returns the models' keys for
    the shape with its axes in place. Raises as `place` and `form_of`.
    """
    if len(shape) > 2 and not any(axis.role for axis in axes) and attributes.keys() & VOLUME_FACTS:
        hints = replace(hints, volume=True)
    facts = hints.facts if facts is None else facts
    if not facts.vertical:
        facts = replace(facts, vertical=vertical_of(attributes, name))
    hints = replace(hints, facts=facts)
    placed = place(axes, shape, name, hints, unstated)
    axes = [*axes, *(Axis() for _ in range(len(shape) - len(axes)))]
    sizes = placed.sizes(shape)
    in_place = axes if placed.own is None else [axes[i] for i in placed.own]
    for axis, size in zip(in_place, sizes, strict=True):
        if axis.values is not None and axis.values.shape != (size,):
            raise InputFileError(
                f"{name}: coordinates of {axis.name}: found shape {axis.values.shape}, "
                f"expected {(size,)}"
            )
    axis_of = dict(zip(placed.axes, in_place, strict=True))
    if not facts.vertical and axis_of["z"].is_elevation:
        facts = replace(facts, vertical=ELEVATION)
    nz = sizes[placed.axes.index("z")]
    ground, z_up = ground_of_axes(
        axis_of["z"], axis_of["x"], nz, name, hints, ground_of(attributes, name),
        positive_of(attributes), convention=convention, y=axis_of.get("y"),
    )  # fmt: skip
    count = sizes[0] if "n" in placed.axes else 1
    form = form_of(
        shape, dtype, name, hints,
        placed=placed, units=units, ground=ground, z_up=z_up,
        keys=None if keys is None else keys(sizes),
        grounds=grounds_of(columns or {}, count, name, nz, z_up), facts=facts,
    )  # fmt: skip
    return form, placed.own


@dataclass(frozen=True)
class Depth:
    """Spacing, depth of the shallowest sample, and whether the rows go up."""

    step: float | None = None
    origin: float | None = None
    up: bool = False


def ground_of_axes(
    z: Axis, x: Axis, nz: int, name: str, hints: Hints, said: Ground, positive: str = "",
    *, convention: bool = True, y: Axis | None = None,
) -> tuple[Ground, bool]:  # fmt: skip
    """The ground, from the coordinates of the axes or else as `said` by attributes, and whether
    the rows go up. `positive` (up or down) is what attributes say of z; `convention` is what they
    say is depth; `y` is the other horizontal axis of volumes.

    If the caller states both spacing and origin, coordinates give no ground; they always give the
    direction of depth. Raises InputFileError.
    """
    step, origin = _along("x", x, said, name, hints)
    step_y, origin_y = (None, None) if y is None else _along("y", y, said, name, hints)
    if z.values is None:
        first, down = said.origin_z_m, said.dz_m or hints.ground.dz_m
        last = None if first is None or down is None else first + down * (nz - 1)
        if last is not None and down is not None and abs(last) < ROUNDING * abs(down):
            last = 0.0  # a rounding error of a sum
        line = Line(first, last, said.dz_m, nz)
        depth = depth_of(z, line, name, hints, positive, convention=convention)
    else:
        stated = _stated(hints, "z")
        line = _line(z, f"{name}: z", stated, hints.facts.is_time)
        depth = depth_of(z, line, name, hints, positive)
        if hints.ground.dz_m is None and not hints.facts.is_time:
            check_metres(line.step, z.unit, f"{name}: z", "--dz")
        if not stated:  # heights and depths have different signs
            ends = [
                end * sign for end in (line.first, line.last) if end is not None for sign in (1, -1)
            ]
            _check_agree("z", depth.step, ends, said, name, hints)
    found = Ground(step, depth.step, origin, depth.origin, step_y, origin_y)
    rest = Ground(
        dx_m=said.dx_m, origin_x_m=said.origin_x_m, dy_m=said.dy_m, origin_y_m=said.origin_y_m
    )
    return found.or_else(rest), depth.up


def _along(
    axis: str, said_of: Axis, said: Ground, name: str, hints: Hints
) -> tuple[float | None, float | None]:
    """Spacing and origin in metres of a horizontal axis by its coordinates, None without them."""
    if said_of.values is None or _stated(hints, axis):
        return None, None
    step, origin = steps_of(said_of.values, said_of.unit, f"{name}: {axis}")
    if getattr(hints.ground, f"d{axis}_m") is None:
        check_metres(step, said_of.unit, f"{name}: {axis}", f"--d{axis}")
    _check_agree(axis, step, [origin], said, name, hints)
    return step, origin


def _check_agree(
    axis: str, step: float | None, ends: Sequence[float], said: Ground, name: str, hints: Hints
) -> None:
    """Raise InputFileError if coordinates and attributes give different spacings, or if none of the
    coordinates' `ends` is the attributes' origin, unless the caller states it.
    """
    spacing, origin = getattr(said, f"d{axis}_m"), getattr(said, f"origin_{axis}_m")
    if getattr(hints.ground, f"d{axis}_m") is not None or step is None:
        spacing = None
    if getattr(hints.ground, f"origin_{axis}_m") is not None:
        origin = None
    if spacing is not None and step is not None and abs(spacing - step) > TOLERANCE * step:
        raise InputFileError(
            f"{name}: d{axis}: found {spacing:g} m, and coordinates of {axis} in steps of {step:g} "
            f"m; state which with --d{axis}"
        )
    near = TOLERANCE * (step or spacing or 1.0)
    if origin is not None and all(abs(origin - end) > near for end in ends):
        raise InputFileError(
            f"{name}: origin_{axis}: found {origin:g} m, and coordinates of {axis} from "
            f"{ends[0]:g} m on; state which with --origin"
        )


def _stated(hints: Hints, axis: str) -> bool:
    ground = hints.ground
    return None not in (getattr(ground, f"d{axis}_m"), getattr(ground, f"origin_{axis}_m"))


@dataclass(frozen=True)
class Line:
    """Coordinates of an axis in metres, or milliseconds: first, last, step, and their number."""

    first: float | None
    last: float | None
    step: float | None
    size: int


def _line(z: Axis, name: str, stated: bool, time: bool) -> Line:
    """The coordinates of depth, or `time`, which may decrease. They may be uneven if the caller
    states the ground.
    """
    values = np.asarray(z.values, dtype=float)
    first, last = float(values[0]), float(values[-1])
    if stated:
        return Line(first, last, last - first or None, len(values))
    falls = last < first
    step, _ = steps_of(values[::-1] if falls else values, z.unit, name, time=time)
    scale = milliseconds(z.unit, name) if time else metres(z.unit, name)
    signed = None if step is None else -step if falls else step
    return Line(first * scale, last * scale, signed, len(values))


def depth_of(
    z: Axis, line: Line, name: str, hints: Hints, positive: str = "", *, convention: bool = False
) -> Depth:
    """Depth from the coordinates of an axis.

    Coordinates are up if the caller or the file says so, if they are heights, or if the axis is
    only called z and none of them is above zero. Raises InputFileError if it is ambiguous.
    """
    words = set(z.words)
    named = "down" if words & set(DEPTHS) else "up" if words & set(HEIGHTS) else ""
    told = z.said("positive") or positive
    if hints.z_positive is None and positive and told != positive:
        raise InputFileError(
            f"{name}: z_positive: found {positive!r}, and coordinates of z that are positive "
            f"{told!r}; {UP_OR_DOWN}"
        )
    if told not in ("", "up", "down"):
        raise InputFileError(f"{name}: z: positive: found {told!r}, expected up or down")
    if hints.z_positive is None and told == "down" and named == "up":
        raise InputFileError(f"{name}: z: found {z.name!r} that is positive down; {UP_OR_DOWN}")
    way = hints.z_positive or told or (named if named == "up" else "")
    up = (way or _way(line, named, convention, name) or hints.unstated_z_positive) == "up"
    ends = [end for end in (line.first, line.last) if end is not None]
    if line.size == 1 or not up:
        shallowest = min(ends, default=None) if line.last is not None else line.first
        origin = shallowest if not up or shallowest is None else 0.0 - shallowest
    else:
        origin = 0.0 - max(ends) if len(ends) == 2 else None
    falls = line.step is not None and line.step < 0
    step = None if line.step is None else abs(line.step)
    return Depth(step, origin, line.size > 1 and up != falls)


def _way(line: Line, named: str, convention: bool, name: str) -> str:
    """Up or down by the coordinates' signs; "" without coordinates. Raises InputFileError."""
    if convention and (line.step is None or line.step > 0):
        return ""  # spacing and origin of depth, as documented
    if line.step is not None and line.step < 0 and line.first is None:
        raise InputFileError(f"{name}: dz: found {line.step} m, expected above zero; {UP_OR_DOWN}")
    if line.first is None or line.last is None:
        return ""
    low, high = sorted((line.first, line.last))
    sure = bool(named) or convention
    if low < 0 and high <= 0 and not sure:
        return "up"
    if (low < 0 and (high <= 0 or not sure)) or (line.last < line.first and not sure):
        raise InputFileError(
            f"{name}: z: found coordinates from {line.first:g} to {line.last:g} m, which may be "
            f"depths or heights; {UP_OR_DOWN}"
        )
    return "down"
