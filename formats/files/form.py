"""What a file says of its models, and the order of the axes of their arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.header import AXES, DTYPES, MAX_SAMPLES, UNITS, VOLUME_AXES
from velcodec.formats.errors import InputFileError, InputShapeError, OptionError
from velcodec.formats.facts import NO_FACTS, Facts
from velcodec.formats.files.npy import (
    ORDERS,
    check_dtype,
    check_last_axis,
    check_option,
    check_order,
    check_shape,
    check_volume,
)
from velcodec.formats.no_data import NoData, no_data_of

DIRECTIONS = ("down", "up")


@dataclass(frozen=True)
class Ground:
    """Spacing and position of the first sample in metres, each None if unknown."""

    dx_m: float | None = None
    dz_m: float | None = None
    origin_x_m: float | None = None
    origin_z_m: float | None = None
    dy_m: float | None = None
    origin_y_m: float | None = None

    def or_else(self, other: Ground) -> Ground:
        """These figures, with missing ones from `other`."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Ground(*(mine if mine is not None else theirs for mine, theirs in pairs))

    def checked(self, name: str) -> Ground:
        """The ground itself. Raises InputFileError for an impossible spacing or position."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            spacing = each.name in ("dx_m", "dz_m", "dy_m")
            if not (isfinite(value) and abs(value) < 1e12 and (value > 0 or not spacing)):
                what = "a spacing above zero" if spacing else "a position"
                raise InputFileError(f"{name}: {each.name[:-2]}: found {value} m, expected {what}")
        return self


@dataclass(frozen=True)
class Form:
    """The form of models in a file: enough to write them, and everything that a reader knows of
    them.

    `axes` are the array's own, slowest first ("n1xz": models, singleton, x, z), `dtype` is NumPy's
    name with byte order. Unknown facts are None. `z_up` says that rows go up; the ground is still
    that of depth down, with its origin at the shallowest sample. Models on different grounds have
    `grounds`, one each, and an empty `ground`. Samples of the value `no_data` (nan or a number) are
    absent. `array` is the array's name in a file that is written. Volumes have `ny` samples along
    their other horizontal axis, and axes such as "nzyx". Where `facts` say that z is time, figures
    of z are in milliseconds.
    """

    count: int
    nz: int
    nx: int
    axes: str = "nzx"
    dtype: str = "<f4"
    units: str | None = None
    ground: Ground = Ground()
    keys: tuple[str, ...] | None = None
    z_up: bool = False
    grounds: tuple[Ground, ...] | None = None
    no_data: NoData | None = None
    array: str | None = None
    ny: int | None = None
    facts: Facts = NO_FACTS

    def __post_init__(self) -> None:
        check_option("axes", self.axes, AXES if self.ny is None else VOLUME_AXES)
        check_option("dtype", self.dtype, DTYPES)
        if self.units is not None:
            check_option("units", self.units, UNITS)
        if min(self.count, *self.sizes) < 1 or self.samples > MAX_SAMPLES:
            raise OptionError(
                f"models: found {self.count} of {' x '.join(map(str, self.sizes))}, expected at "
                f"least one and at most {MAX_SAMPLES} samples each"
            )
        if self.count != 1 and "n" not in self.axes:
            raise OptionError(f"axes: found {self.axes!r} for {self.count} models")
        if self.keys is not None and len(self.keys) != self.count:
            raise OptionError(f"keys: found {len(self.keys)} for {self.count} models")
        if self.grounds is not None and len(self.grounds) != self.count:
            raise OptionError(f"grounds: found {len(self.grounds)} for {self.count} models")

    def part(self, start: int, stop: int) -> Form:
        """The form of models `start` to `stop`."""
        keys = None if self.keys is None else self.keys[start:stop]
        some = replace(self, count=stop - start, keys=keys, grounds=None)
        return some if self.grounds is None else some.on(self.grounds[start:stop])

    def on(self, grounds: tuple[Ground, ...]) -> Form:
        """The same form with one ground per model."""
        if len(set(grounds)) == 1:
            return replace(self, ground=grounds[0], grounds=None)
        return replace(self, ground=Ground(), grounds=grounds)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(nz, nx) of sections, (nz, ny, nx) of volumes."""
        return (self.nz, self.nx) if self.ny is None else (self.nz, self.ny, self.nx)

    @property
    def samples(self) -> int:
        """Samples of a model."""
        return prod(self.sizes)

    @property
    def order(self) -> str:
        """The order of the spatial axes: zx or xz, or that of z, y and x."""
        return self.axes[-len(self.sizes) :]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array with its own axes."""
        sizes = {"n": self.count, "1": 1, "z": self.nz, "y": self.ny or 1, "x": self.nx}
        return tuple(sizes[axis] for axis in self.axes)


@dataclass(frozen=True)
class Hints:
    """What the caller states of the files; it takes precedence over what they say themselves.

    `array` names one of several arrays in a file; `shape` and `dtype` are those of raw files;
    `unstated_order` applies if neither the file nor its format gives an order. `z_positive` (up or
    down) is the direction of depth's coordinates, or of the rows if there are none. `no_data` (nan
    or a number) is the value of absent samples.
    """

    order: str | None = None
    units: str | None = None
    ground: Ground = Ground()
    array: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    unstated_order: str = "zx"
    z_positive: str | None = None
    unstated_z_positive: str = "down"
    no_data: NoData | None = None
    facts: Facts = NO_FACTS
    volume: bool = False
    """Whether arrays are volumes, (nz, ny, nx) or (n, nz, ny, nx) unless `order` or names say
    otherwise."""

    def __post_init__(self) -> None:
        if not self.volume or self.unstated_order not in ORDERS:  # which says nothing of volumes
            check_order(self.unstated_order, self.volume)
        for way in (self.z_positive or "down", self.unstated_z_positive):
            check_option("z_positive", way, DIRECTIONS)
        if self.order is not None:
            check_order(self.order, self.volume)
        if self.units is not None:
            check_option("units", self.units, UNITS)

    @property
    def volume_order(self) -> str:
        """The order of z, y and x in arrays of volumes that do not name their axes."""
        return self.order or (self.unstated_order if len(self.unstated_order) == 3 else "zyx")


@dataclass(frozen=True)
class Placed:
    """The axes of an array, and which of its own axes stands in each place, or None if they stand
    in order.
    """

    axes: str
    own: tuple[int, ...] | None = None

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The array's shape with its axes in place."""
        return shape if self.own is None else tuple(shape[i] for i in self.own)


def form_of(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str, hints: Hints, *,
    placed: Placed | None = None, units: str | None = None, ground: Ground = Ground(),
    keys: tuple[str, ...] | None = None, z_up: bool | None = None,
    grounds: tuple[Ground, ...] | None = None, facts: Facts | None = None,
) -> Form:  # fmt: skip
    """The form of a file's array, from what the file says and the caller's hints, which win.

    Raises InputShapeError, InputDtypeError, EmptyInputError, InputFileError.
    """
    check_dtype(dtype, name)
    if placed is None and hints.volume:
        placed = Placed(check_volume(shape, name) + hints.volume_order)
    if placed is None:
        if hints.order is None:
            check_last_axis(shape, name)
        placed = Placed(check_shape(shape, name)[:-2] + (hints.order or hints.unstated_order))
    axes, shape = placed.axes, placed.sizes(shape)
    count = shape[0] if "n" in axes else 1
    size_of = dict(zip(axes, shape, strict=True))
    nz, ny, nx = size_of["z"], size_of.get("y"), size_of["x"]
    if nz * (ny or 1) * nx > MAX_SAMPLES:
        raise InputShapeError(f"{name}: shape: found {shape}, expected at most 2**32 samples each")
    if keys is not None and len(keys) != count:
        raise InputFileError(f"{name}: keys: found {len(keys)} for {count} models")
    units = hints.units or units
    if z_up is None:
        z_up = (hints.z_positive or hints.unstated_z_positive) == "up"
    ground = hints.ground.or_else(ground).checked(name)
    if ny is None:
        ground = replace(ground, dy_m=None, origin_y_m=None)
    form = Form(
        count, nz, nx, axes, np.dtype(dtype).str, units, ground, keys, z_up,
        no_data=no_data_of(hints.no_data, np.dtype(dtype), name), ny=ny,
        facts=hints.facts if facts is None else facts,
    )  # fmt: skip
    if grounds is None:
        return form
    return form.on(tuple(hints.ground.or_else(each).or_else(ground) for each in grounds))


def depth_first(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """A view (n, nz, nx), or (n, nz, ny, nx) of volumes, of an array with these axes."""
    if "y" in axes:
        volumes = array if array.ndim == 4 else array[None]
        return volumes.transpose(0, *(1 + axes[-3:].index(axis) for axis in "zyx"))
    models = {2: array[None], 3: array}.get(array.ndim)
    if models is None:
        models = array[:, 0]
    return models.swapaxes(1, 2) if axes.endswith("xz") else models


def own_axes(models: NDArray[Any], axes: str) -> NDArray[Any]:
    """The inverse of `depth_first`."""
    if "y" in axes:
        volumes = models.transpose(0, *(1 + "zyx".index(axis) for axis in axes[-3:]))
        return volumes if "n" in axes else volumes[0]
    array = models.swapaxes(1, 2) if axes.endswith("xz") else models
    if "1" in axes:
        return array[:, None]
    return array if "n" in axes else array[0]
