"""What every reader gives and every writer takes, whatever the format of the file.

A `Part` is an array of models in one file; it holds no open file, so that parts can be counted in
the thousands and sent to other processes. Nothing here knows any format.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.header import AXES, DTYPES, MAX_SAMPLES, UNITS
from velcodec.formats.errors import (
    InputFileError,
    InputShapeError,
    NonFiniteError,
    OptionError,
    VelcodecError,
)
from velcodec.formats.files.absent import Marks, check_all_present
from velcodec.formats.files.npy import (
    AS_ABSENT,
    ORDERS,
    check_dtype,
    check_last_axis,
    check_option,
    check_shape,
)
from velcodec.formats.no_data import NoData, check_some_present, find_absent, no_data_of
from velcodec.formats.storage.locks import lazy_property

DIRECTIONS = ("down", "up")


@dataclass(frozen=True)
class Ground:
    """Spacing and position of the first sample, in metres; None where nothing says it."""

    dx_m: float | None = None
    dz_m: float | None = None
    origin_x_m: float | None = None
    origin_z_m: float | None = None

    def or_else(self, other: Ground) -> Ground:
        """These figures, and those of `other` where there are none."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Ground(*(mine if mine is not None else theirs for mine, theirs in pairs))

    def checked(self, name: str) -> Ground:
        """Raises InputFileError for a spacing or a position that cannot be."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            spacing = each.name in ("dx_m", "dz_m")
            if not (isfinite(value) and abs(value) < 1e12 and (value > 0 or not spacing)):
                what = "a spacing above zero" if spacing else "a position"
                raise InputFileError(f"{name}: {each.name[:-2]}: found {value} m, expected {what}")
        return self


@dataclass(frozen=True)
class Form:
    """How models lie in a file: enough to write them, and all that a reader tells of them.

    `axes` are the array's own, slowest first ("n1xz": models, singleton, x, z), `dtype` NumPy's
    name with byte order. What a file does not say is None. Rows go up where `z_up`; the ground is
    that of depth down all the same, its origin the shallowest sample. Models that do not lie on one
    ground have `grounds`, one for each, beside one that says nothing. Samples of the value
    `no_data`, nan or a number, are absent. `array` is what the array is to be called in a file that
    is written.
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

    def __post_init__(self) -> None:
        check_option("axes", self.axes, AXES)
        check_option("dtype", self.dtype, DTYPES)
        if self.units is not None:
            check_option("units", self.units, UNITS)
        if min(self.count, self.nz, self.nx) < 1 or self.nz * self.nx > MAX_SAMPLES:
            raise OptionError(
                f"models: found {self.count} of {self.nz} x {self.nx}, expected at least one and "
                f"at most {MAX_SAMPLES} samples each"
            )
        if self.count != 1 and "n" not in self.axes:
            raise OptionError(f"axes: found {self.axes!r} for {self.count} models")
        if self.keys is not None and len(self.keys) != self.count:
            raise OptionError(f"keys: found {len(self.keys)} for {self.count} models")
        if self.grounds is not None and len(self.grounds) != self.count:
            raise OptionError(f"grounds: found {len(self.grounds)} for {self.count} models")

    def part(self, start: int, stop: int) -> Form:
        """The form of models `start` to `stop` alone."""
        keys = None if self.keys is None else self.keys[start:stop]
        some = replace(self, count=stop - start, keys=keys, grounds=None)
        return some if self.grounds is None else some.on(self.grounds[start:stop])

    def on(self, grounds: tuple[Ground, ...]) -> Form:
        """The same on the ground of each model."""
        if len(set(grounds)) == 1:
            return replace(self, ground=grounds[0], grounds=None)
        return replace(self, ground=Ground(), grounds=grounds)

    @property
    def order(self) -> str:
        """The order of the two spatial axes: zx or xz."""
        return self.axes[-2:]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array with its own axes."""
        sizes = {"n": self.count, "1": 1, "z": self.nz, "x": self.nx}
        return tuple(sizes[axis] for axis in self.axes)


@dataclass(frozen=True)
class Hints:
    """What the caller says of the files; it goes before what they say themselves.

    `array` names one of several arrays in a file, `shape` and `dtype` are those of raw files;
    `unstated_order` is that of arrays of which the file, or its format, says none. `z_positive`, up
    or down, is which way depth's coordinates point, or its rows where it has none. `no_data`, nan
    or a number, is the value of absent samples.
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

    def __post_init__(self) -> None:
        check_option("order", self.unstated_order, ORDERS)
        for way in (self.z_positive or "down", self.unstated_z_positive):
            check_option("z_positive", way, DIRECTIONS)
        if self.order is not None:
            check_option("order", self.order, ORDERS)
        if self.units is not None:
            check_option("units", self.units, UNITS)


@dataclass(frozen=True)
class Placed:
    """The axes of an array, and which of its own axes stands in each place, unless it is that."""

    axes: str
    own: tuple[int, ...] | None = None

    def sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The array's shape with its axes in their places."""
        return shape if self.own is None else tuple(shape[i] for i in self.own)


def form_of(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str, hints: Hints, *,
    placed: Placed | None = None, units: str | None = None, ground: Ground = Ground(),
    keys: tuple[str, ...] | None = None, z_up: bool | None = None,
    grounds: tuple[Ground, ...] | None = None,
) -> Form:  # fmt: skip
    """The form of a file's array, with what the file says and the caller's hints before it.

    Raises InputShapeError, InputDtypeError, EmptyInputError, InputFileError.
    """
    check_dtype(dtype, name)
    if placed is None:
        if hints.order is None:
            check_last_axis(shape, name)
        placed = Placed(check_shape(shape, name)[:-2] + (hints.order or hints.unstated_order))
    axes, shape = placed.axes, placed.sizes(shape)
    count = shape[0] if "n" in axes else 1
    nz, nx = shape[-2:] if axes.endswith("zx") else shape[:-3:-1]
    if nz * nx > MAX_SAMPLES:
        raise InputShapeError(f"{name}: shape: found {shape}, expected at most 2**32 samples each")
    if keys is not None and len(keys) != count:
        raise InputFileError(f"{name}: keys: found {len(keys)} for {count} models")
    units = hints.units or units
    if z_up is None:
        z_up = (hints.z_positive or hints.unstated_z_positive) == "up"
    ground = hints.ground.or_else(ground).checked(name)
    form = Form(
        count, nz, nx, axes, np.dtype(dtype).str, units, ground, keys, z_up,
        no_data=no_data_of(hints.no_data, np.dtype(dtype), name),
    )  # fmt: skip
    if grounds is None:
        return form
    return form.on(tuple(hints.ground.or_else(each).or_else(ground) for each in grounds))


MAX_PACKED_SAMPLES = 1 << 27
MAX_CHUNK_BYTES = 1 << 30


def check_packed(
    shape: tuple[int, ...], chunk: tuple[int, ...] | None, dtype: np.dtype[Any], name: str
) -> None:
    """Raises InputFileError for an array whose model, or chunk, would take more memory than a small
    file should: where samples are compressed or left out, a shape costs nothing to claim.
    """
    if prod(shape[-2:]) > MAX_PACKED_SAMPLES:
        raise InputFileError(
            f"{name}: found models of {shape[-2:]} samples, expected at most "
            f"{MAX_PACKED_SAMPLES:,} in a file that is compressed or has chunks"
        )
    size = prod(chunk or ()) * dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise InputFileError(
            f"{name}: found chunks of {size:,} bytes, expected at most {MAX_CHUNK_BYTES:,}"
        )


@dataclass(frozen=True)
class Part(ABC):
    """Models of one shape and dtype: an array of a file.

    `path` is where the samples are; `file` the path as the user would know it, relative to the
    folder that was opened. `own` is which of the array's own axes stands where the form has one,
    unless they stand so; `marks` is what the file says of absent samples.
    """

    path: Path
    file: str
    array: str | None
    form: Form
    own: tuple[int, ...] | None = field(default=None, kw_only=True)
    marks: Marks = field(default=Marks(), kw_only=True)

    @property
    def name(self) -> str:
        """The file, and the array in it where there may be several."""
        return self.file if self.array is None else f"{self.file}:{self.array}"

    @property
    def place(self) -> str:
        """What errors call it."""
        return str(self.path) if self.array is None else f"{self.path}:{self.array}"

    def __len__(self) -> int:
        return self.form.count

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Models `start` to `stop`, (stop - start, nz, nx), depth first, in the file's dtype.

        Reads no other model where the format allows it. Raises OptionError for models that are not
        there, InputFileError, NonFiniteError.
        """
        if not 0 <= start < stop <= len(self):
            raise OptionError(
                f"{self.place}: models: found {start} to {stop}, expected some of {len(self)}"
            )
        with reading(self.place):
            array = np.asanyarray(self._load(start, stop))
        if self.own is not None:
            array = array.transpose(self.own)
        models = depth_first(array, self.form.axes)
        if self.form.z_up:
            models = models[:, ::-1]
        if models.shape != (stop - start, self.form.nz, self.form.nx):
            raise InputFileError(f"{self.place}: ends before model {stop}, or has changed")

        def index(place: tuple[int, ...]) -> tuple[int, ...]:
            return self._index(start, place)

        no_data = self.form.no_data
        check_finite(np.ma.filled(models, 0), self.place, index, no_data)
        check_all_present(models, self.place, index, self.marks, no_data)
        models = np.array(np.ma.getdata(models), dtype=self.form.dtype, order="C")
        if no_data is not None:
            several = "n" in self.form.axes
            check_some_present(models, no_data, self.place, start if several else None)
        return models

    def _index(self, start: int, place: tuple[int, ...]) -> tuple[int, ...]:
        """Where a sample (model after `start`, z, x) is in the file's array."""
        number, z, x = place
        z = self.form.nz - 1 - z if self.form.z_up else z
        at = {"n": start + number, "1": 0, "z": z, "x": x}
        found = [at[axis] for axis in self.form.axes]
        return (
            tuple(found[self.own.index(i)] for i in range(len(found))) if self.own else tuple(found)
        )

    def _some(self, start: int, stop: int) -> Any:
        """What takes these models out of the array; all of it where there is no axis of models."""
        if "n" not in self.form.axes:
            return ...
        return (*[slice(None)] * (self.own[0] if self.own else 0), slice(start, stop))

    @abstractmethod
    def _load(self, start: int, stop: int) -> NDArray[Any]:
        """These models with the array's own axes; all of it where there is no axis of models.

        May raise anything that a broken file makes a library raise.
        """

    def sha256(self) -> bytes:
        """SHA-256 of the file, read for it. Raises InputFileError."""
        with reading(self.place), self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()


@dataclass(frozen=True)
class Slice(Part):
    """Models `first` to `first` + count of another part, under the same name."""

    whole: Part
    first: int

    def read(self, start: int, stop: int) -> NDArray[Any]:
        return self.whole.read(self.first + start, self.first + stop)

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        return self.whole._load(self.first + start, self.first + stop)

    def sha256(self) -> bytes:
        return self.whole.sha256()


def first_of(part: Part) -> int:
    """The number that a part's first model has in the array."""
    return part.first + first_of(part.whole) if isinstance(part, Slice) else 0


def slice_part(part: Part, start: int, stop: int) -> Part:
    """Models `start` to `stop` of a part as a part."""
    if (start, stop) == (0, part.form.count):
        return part
    some = part.form.part(start, stop)
    return Slice(part.path, part.file, part.array, some, part, start)


@dataclass(frozen=True)
class Models:
    """Models of one or many files, in order, numbered through; `listed` where a folder or a pattern
    gave the files.
    """

    parts: tuple[Part, ...]
    listed: bool = False

    @property
    def need_names(self) -> bool:
        """Whether it takes the files' names to write the models as they lie."""
        return self.listed or len(self.parts) > 1

    def __len__(self) -> int:
        return self._ends[-1] if self.parts else 0

    @lazy_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(part) for part in self.parts))

    def read(self, start: int, stop: int) -> Iterator[tuple[Part, NDArray[Any]]]:
        """Models `start` to `stop`, piece by piece: each with the part that it is of.

        Raises what `Part.read` does, when the piece is reached.
        """
        if not 0 <= start < stop <= len(self):
            raise OptionError(f"models: found {start} to {stop}, expected some of {len(self)}")
        number = bisect_right(self._ends, start)
        while start < stop:
            part, end = self.parts[number], self._ends[number]
            first = end - len(part)
            yield part, part.read(start - first, min(stop, end) - first)
            start, number = end, number + 1

    def slice(self, start: int, stop: int) -> Models:
        """Models `start` to `stop` alone; nothing is read."""
        found, first = [], 0
        for part in self.parts:
            a, b = max(start - first, 0), min(stop - first, len(part))
            if a < b:
                found.append(slice_part(part, a, b))
            first += len(part)
        return replace(self, parts=tuple(found))

    def without_keys(self) -> Models:
        """The same models, of which no file says what they are called."""
        forms = ((part, replace(part.form, keys=None)) for part in self.parts)
        return replace(self, parts=tuple(replace(part, form=form) for part, form in forms))

    def sha256(self) -> bytes:
        """SHA-256 of the file; of the files' SHA-256, one after the other, if there are many."""
        files = {part.path: part for part in self.parts}
        hashes = [part.sha256() for part in files.values()]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256(b"".join(hashes)).digest()


def depth_first(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """A view (n, nz, nx) of an array with these axes."""
    models = {2: array[None], 3: array}.get(array.ndim)
    if models is None:
        models = array[:, 0]
    return models.swapaxes(1, 2) if axes.endswith("xz") else models


def own_axes(models: NDArray[Any], axes: str) -> NDArray[Any]:
    """The inverse of `depth_first`."""
    array = models.swapaxes(1, 2) if axes.endswith("xz") else models
    if "1" in axes:
        return array[:, None]
    return array if "n" in axes else array[0]


def check_finite(
    models: NDArray[Any], name: str, index: Callable[[tuple[int, ...]], tuple[int, ...]],
    no_data: NoData | None = None,
) -> None:  # fmt: skip
    """Raises NonFiniteError with the first value and its place in the file's array; samples of the
    value `no_data` are absent.
    """
    if models.dtype.kind != "f":
        return
    finite = np.isfinite(models)
    if no_data is not None:
        finite |= find_absent(models, no_data)
    if finite.all():
        return
    place = tuple(int(i) for i in np.argwhere(~finite)[0])
    hint = AS_ABSENT if np.isnan(models[place]) else ""
    raise NonFiniteError(
        f"{name}: found {models[place]} at index {index(place)}, expected finite velocities "
        f"({np.count_nonzero(~finite)} of {finite.size} samples are not){hint}"
    )


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Whatever a library raises on a file becomes one InputFileError that names it."""
    try:
        yield
    except VelcodecError:
        raise
    except OSError as error:
        raise InputFileError(f"{name}: {error.strerror or first_line(error)}") from error
    except Exception as error:
        raise InputFileError(f"{name}: cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
