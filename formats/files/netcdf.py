"""NetCDF files: one variable of models with named dimensions and coordinates.

Read by xarray (version 4 by way of h5netcdf, version 3 by way of scipy), written by h5netcdf, which
writes in slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputFileError
from .base import Form, Hints, Part, check_packed, form_of, reading
from .choose import chosen
from .extras import needed
from .hdf5 import inner_datasets
from .sinks import FileSink
from .words import (
    AXIS_NAMES,
    KEYS,
    attributes_of,
    check_keys,
    coordinates_of,
    ground_of,
    ground_of_axes,
    order_of,
    velocity_units,
)

CLASSIC = b"CDF"
MAX_CLASSIC_READ = 1 << 28


@dataclass(frozen=True)
class NetcdfPart(Part):
    """A variable of a NetCDF file."""

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        with _opened(self.path) as source:
            variable = source[self.array]
            if "n" in self.form.axes:
                variable = variable[start:stop]
            return np.array(variable.values)


def read_netcdf(path: Path, hints: Hints) -> list[Part]:
    """The only variable of models in the file, or the one that is named.

    Dimensions named z or depth and x or distance tell the order; their coordinates (in m, km or ft)
    the spacing and origin, and otherwise the attributes that HDF5 files may have. Packed values are
    unpacked.
    """
    file = str(path)
    xarray = needed("xarray", "xarray")
    with reading(file):
        _check_inside(path, file)
        with _opened(path) as source:
            found = {str(name): (v.shape, v.dtype) for name, v in source.data_vars.items()}
            (name,) = chosen(found, hints.array, file)
            variable, place = source[name], f"{file}:{name}"
            assert isinstance(variable, xarray.DataArray)
            check_packed(variable.shape, variable.encoding.get("chunksizes"), variable.dtype, place)
            dims = [str(dim) for dim in variable.dims]
            order = hints.order or order_of(dims) or hints.unstated_order
            attributes = {**source.attrs, **variable.attrs}
            form = form_of(
                *found[name], place, hints,
                order=order,
                units=velocity_units(attributes.get("units"), place, hints),
                ground=ground_of_axes(
                    {axis: _axis(source, dim) for axis, dim in zip(order, dims[-2:], strict=False)},
                    place, hints, ground_of(attributes, place),
                ),
                keys=_keys(source, dims, place, found[name][0]),
            )  # fmt: skip
    return [NetcdfPart(path, file, name, form)]


def _opened(path: Path) -> Any:
    with path.open("rb") as stream:
        classic = stream.read(len(CLASSIC)) == CLASSIC
    if not classic:
        needed("h5netcdf", "xarray")
    options: dict[str, Any] = {"engine": "h5netcdf"}
    if classic:
        # Mapped, a file that is cut off meanwhile would end the process; read, it takes memory.
        options = {"engine": "scipy", "mmap": path.stat().st_size > MAX_CLASSIC_READ}
    return needed("xarray", "xarray").open_dataset(path, decode_times=False, cache=False, **options)


def _check_inside(path: Path, file: str) -> None:
    """A NetCDF file of version 4 is an HDF5 file, and may lead to others as any of them may."""
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(CLASSIC):
        return
    if start != b"\x89HDF\r\n\x1a\n":
        raise InputFileError(f"{file}: found {start!r}, expected a NetCDF file")
    h5py = needed("h5py", "xarray")
    with h5py.File(path, "r") as source:
        inner_datasets(h5py, source, file)


def _axis(source: Any, dim: str) -> tuple[NDArray[Any], Any] | None:
    if dim not in source.coords or source.coords[dim].dtype.kind not in "iuf":
        return None
    return source.coords[dim].values, source.coords[dim].attrs.get("units")


def _keys(
    source: Any, dims: list[str], name: str, shape: tuple[int, ...]
) -> tuple[str, ...] | None:
    """The texts that number the models: a variable `keys`, or the coordinate of their dimension."""
    for word in (KEYS, *dims[:-2][:1]):
        if word in source.variables:
            variable = source[word]
            if variable.ndim == 1 and variable.dtype.kind in "OUT":
                check_keys(variable.shape, variable.dtype.itemsize, name, shape)
                return tuple(map(str, variable.values))
    return None


class NetcdfSink(FileSink):
    """Writes one variable with dimensions model, z, x, and coordinates in metres."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        h5netcdf, h5py = needed("h5netcdf", "io"), needed("h5py", "io")
        self._file = h5netcdf.File(path, "x")
        sizes = dict(zip(form.axes, form.shape, strict=True))
        self._file.dimensions = {AXIS_NAMES[axis]: size for axis, size in sizes.items()}
        for axis, (values, attributes) in coordinates_of(form).items():
            variable = self._file.create_variable(axis, (axis,), "<f8")
            variable[...] = values
            variable.attrs.update(attributes)
        dims = tuple(AXIS_NAMES[axis] for axis in form.axes)
        self._data = self._file.create_variable(array, dims, form.dtype)
        self._data.attrs["long_name"] = "velocity"
        # Half of what coordinates tell may be known alone: a spacing without an origin.
        self._data.attrs.update(attributes_of(form.ground, form.units))
        if form.keys is not None:
            dims = ("model",) if "n" in form.axes else ()
            keys = self._file.create_variable(KEYS, dims, h5py.string_dtype())
            keys[...] = np.array(form.keys if dims else form.keys[0], dtype=object)

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._data[slice(start, stop) if "n" in self.form.axes else ...] = array

    def _close(self) -> None:
        self._file.close()
