"""NetCDF files: one variable of models with named dimensions and coordinates.

Read by xarray (version 4 through h5netcdf, version 3 through SciPy); written by h5netcdf, which
writes in slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError
from velcodec.formats.extras import needed
from velcodec.formats.files.absent import Marks, marks_of
from velcodec.formats.files.attributes import (
    AMBIGUOUS_NAMES,
    AXIS_NAMES,
    GRID_FACTS,
    GROUNDS,
    KEYS,
    MAX_KEYS,
    PACKED,
    attributes_of,
    check_keys,
    columns_of,
    fill_value_of,
    merged,
    velocity_units,
)
from velcodec.formats.files.axes import Axis, Coordinate, are_volumes, axes_of, named_form
from velcodec.formats.files.base import ChunkedPart, Part, check_packed, reading
from velcodec.formats.files.choose_arrays import choose_arrays
from velcodec.formats.files.facts import (
    CONVENTIONS,
    GRID_MAPPING,
    coordinates_of,
    facts_in,
    global_attributes,
    grid_mapping,
    grid_mapping_in,
)
from velcodec.formats.files.failsafe import FailsafeFile
from velcodec.formats.files.form import Form, Hints
from velcodec.formats.files.hdf5 import inner_datasets
from velcodec.formats.files.sinks import IndexedSink

CLASSIC = b"CDF"
ABSENT = ("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max")
MAX_CLASSIC_READ = 1 << 28


@dataclass(frozen=True)
class NetcdfPart(ChunkedPart):
    """A variable of a NetCDF file."""

    packed: bool = False
    packed_marks: Marks = field(default=Marks())

    def _indexed(self, index: Any) -> NDArray[Any]:
        with _opened(self.path) as source:
            variable = source[self.array][index].load()
            if not self.packed:
                return np.array(variable.values)
            mask = self.packed_marks.mask(variable.values)
            values = _unpacked(variable).values
            if values.dtype.kind == "f":  # absent samples have no velocity to unpack
                values = np.where(mask, values.dtype.type(np.nan), values)
            return np.ma.masked_array(values, mask)


def read_netcdf(path: Path, hints: Hints) -> list[Part]:
    """The only variable of models in the file, or the named one.

    Names of dimensions, and units and attributes of their coordinates, identify the axes.
    Coordinates (in m, km or ft) give spacing and origin, or else the attributes that HDF5 files may
    have. Packed values are unpacked.
    """
    file = str(path)
    xarray = needed("xarray", "xarray")
    with reading(file):
        _check_inside(path, file)
        with _opened(path) as source:
            found = {
                str(name): (v.shape, v.dtype)
                for name, v in source.data_vars.items()
                if name not in (KEYS, *GRID_FACTS)
            }
            volumes = [
                name
                for name, (shape, _) in found.items()
                if are_volumes([Axis(str(dim)) for dim in source[name].dims], shape, hints)
            ]
            (name,) = choose_arrays(found, hints.array, file, volumes=volumes)
            variable, place = source[name], f"{file}:{name}"
            assert isinstance(variable, xarray.DataArray)
            dims = [str(dim) for dim in variable.dims]
            beside = {
                key: source[key].values
                for key in (*GRID_FACTS, *AMBIGUOUS_NAMES)
                if key in source.variables and source[key].ndim == 0
            }
            places = (
                ("file", source.attrs),
                ("variables beside it", beside),
                ("variable", variable.attrs),
            )
            attributes = merged(places, place, hints)
            packed = any(key in variable.attrs for key in (*PACKED, "_Unsigned"))
            shape, dtype = found[name]
            if packed:
                dtype = _unpacked(variable[(slice(0, 1),) * variable.ndim]).dtype
            form, own = named_form(
                shape, dtype, place, hints,
                axes_of(dims, coordinates_in(variable), place), attributes,
                units=velocity_units(attributes.get("units"), place, hints),
                columns=_columns(source),
                keys=lambda sizes: _keys(source, dims, place, sizes),
                facts=facts_in(places, place, hints, grid_mapping_in(variable.attrs, source.get)),
            )  # fmt: skip
            if "chunksizes" in variable.encoding:  # not a file of the classic format
                chunks = variable.encoding["chunksizes"]
                check_packed(form, chunks, variable.dtype, path.stat().st_size, place)
            marks = marks_of(variable.attrs, place)
    return [
        NetcdfPart(
            path, file, name, form,
            own=own, packed=packed,
            marks=Marks() if packed else marks,
            packed_marks=marks if packed else Marks(),
        )
    ]  # fmt: skip


def _unpacked(variable: Any) -> Any:
    """A variable's values after `scale_factor`, `add_offset` and `_Unsigned`."""
    xarray = needed("xarray", "xarray")
    kept = {key: v for key, v in variable.attrs.items() if key not in ABSENT}
    packed = variable.copy(deep=False)
    packed.attrs = kept
    return xarray.decode_cf(packed.to_dataset(name="packed"), decode_times=False)["packed"]


def _columns(source: Any) -> dict[str, NDArray[Any]]:
    """The variables with each model's position."""
    return {
        key: np.asarray(source[key].values)
        for key in GROUNDS
        if key in source.variables and source[key].ndim == 1 and source[key].size <= MAX_KEYS
    }


def _opened(path: Path) -> Any:
    with path.open("rb") as stream:
        classic = stream.read(len(CLASSIC)) == CLASSIC
    if not classic:
        needed("h5netcdf", "xarray")
    options: dict[str, Any] = {"engine": "h5netcdf"}
    if classic:
        # Reading takes memory, but truncating a mapped file would kill the process.
        options = {"engine": "scipy", "mmap": path.stat().st_size > MAX_CLASSIC_READ}
    return needed("xarray", "xarray").open_dataset(
        path, decode_times=False, cache=False, mask_and_scale=False, **options
    )


def _check_inside(path: Path, file: str) -> None:
    """Version 4 is HDF5, and may refer to other files like any HDF5 file."""
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(CLASSIC):
        return
    if start != b"\x89HDF\r\n\x1a\n":
        raise InputFileError(f"{file}: found {start!r}, expected a NetCDF file")
    h5py = needed("h5py", "xarray")
    with h5py.File(path, "r") as source:
        inner_datasets(h5py, source, file)


def coordinates_in(variable: Any) -> list[Coordinate]:
    """The numeric coordinates of an xarray DataArray, not read."""
    return [
        Coordinate(
            str(name),
            tuple(map(str, found.dims)),
            found.size,
            dict(found.attrs),
            lambda found=found: np.asarray(found.values),  # type: ignore[misc]
        )
        for name, found in variable.coords.items()
        if found.dtype.kind in "iuf"
    ]


def _keys(
    source: Any, dims: list[str], name: str, shape: tuple[int, ...]
) -> tuple[str, ...] | None:
    """The models' keys: a variable `keys`, or the text coordinate of their dimension."""
    for word in (KEYS, *dims):
        if word in source.variables:
            variable = source[word]
            if variable.ndim < 2 and variable.dtype.kind in "OUT":
                # The key of a model without an axis of models has none either.
                check_keys(variable.shape or (1,), variable.dtype.itemsize, name, shape)
                return tuple(map(str, np.atleast_1d(variable.values)))
    return None


class NetcdfSink(IndexedSink):
    """Writes one variable with dimensions model, z, x, and coordinates in metres, by CF."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        h5netcdf, h5py = needed("h5netcdf", "io"), needed("h5py", "io")
        self._stream = FailsafeFile(path)
        self._file = h5netcdf.File(self._stream, "w")
        sizes = dict(zip(form.axes, form.shape, strict=True))
        self._file.dimensions = {AXIS_NAMES[axis]: size for axis, size in sizes.items()}
        for axis, (values, attributes) in coordinates_of(form).items():
            variable = self._file.create_variable(axis, (axis,), "<f8")
            variable[...] = values
            variable.attrs.update(attributes)
        dims = tuple(AXIS_NAMES[axis] for axis in form.axes)
        fill = fill_value_of(form)
        self._data = self._file.create_variable(array, dims, form.dtype, fillvalue=fill)
        self._data.attrs["long_name"] = "velocity"
        self._file.attrs.update({"Conventions": CONVENTIONS} | global_attributes(form.facts))
        if (mapping := grid_mapping(form.facts)) is not None:
            self._file.create_variable(GRID_MAPPING, (), "<i4").attrs.update(mapping)
            self._data.attrs["grid_mapping"] = GRID_MAPPING
        # A spacing may be known without an origin, for which there are no coordinates.
        self._data.attrs.update(attributes_of(form))
        for key, column in columns_of(form).items():
            self._file.create_variable(key, ("model",), "<f8")[...] = column
        if form.keys is not None:
            dims = ("model",) if "n" in form.axes else ()
            keys = self._file.create_variable(KEYS, dims, h5py.string_dtype())
            keys[...] = np.array(form.keys if dims else form.keys[0], dtype=object)

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        super()._put(start, stop, array)
        self._stream.check()

    def _put_planes(self, number: int, first: int, planes: NDArray[Any]) -> None:
        super()._put_planes(number, first, planes)
        self._stream.check()

    def _close(self) -> None:
        self._file.close()
        self._stream.finish()
