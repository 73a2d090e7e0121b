"""Array-like input: NumPy arrays, tensors, masked arrays, xarray DataArrays.

Each converts if its meaning is unambiguous; otherwise an error names it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputDtypeError, InputShapeError
from velcodec.formats.files.absent import check_all_present, marks_of
from velcodec.formats.files.attributes import check_unpacked, merged, velocity_units
from velcodec.formats.files.axes import axes_of, named_form
from velcodec.formats.files.facts import facts_in, grid_mapping_in
from velcodec.formats.files.form import Form, Hints, depth_first
from velcodec.formats.files.netcdf import coordinates_in
from velcodec.formats.files.npy import check_dtype
from velcodec.formats.no_data import NoData, no_data_of

EXPECTED = "an array (nz, nx), (n, nz, nx) or (n, 1, nz, nx), or a list of arrays"


def is_array(models: Any) -> bool:
    """Whether `models` is one array rather than a list of arrays.

    Raises InputShapeError if it is neither.
    """
    if hasattr(models, "data_vars") or isinstance(models, dict | str | bytes):
        found = type(models).__name__
        raise InputShapeError(f"models: found a {found}, expected {EXPECTED}")
    if isinstance(models, np.ndarray | np.generic) or hasattr(models, "__array__"):
        return True
    if not hasattr(models, "__iter__"):
        raise InputShapeError(f"models: found {models!r}, expected {EXPECTED}")
    return False


def plain_array(models: Any, name: str = "models", no_data: NoData | None = None) -> NDArray[Any]:
    """Convert to a NumPy array: a tensor on any device, with or without gradients; a matrix; a
    masked array that masks only samples equal to `no_data`.

    Raises NoDataError for masked samples, InputDtypeError for a dtype that NumPy lacks,
    InputShapeError for anything that is not an array.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(models, torch.Tensor):
        try:
            return np.asarray(models.detach().cpu().resolve_conj().resolve_neg().numpy())
        except (TypeError, RuntimeError) as error:
            raise InputDtypeError(
                f"{name}: found a tensor of {models.dtype} and layout {models.layout}, expected a "
                "dense one of float32, float64 or integers"
            ) from error
    if isinstance(models, np.ma.MaskedArray):
        check_dtype(models.dtype, name)
        absent = no_data_of(no_data, models.dtype, name)
        check_all_present(models, name, lambda place: place, no_data=absent)
        return np.asarray(models.data)
    try:
        return np.asarray(models)
    except Exception as error:
        raise InputShapeError(
            f"{name}: found {type(models).__name__}, which NumPy does not take: expected {EXPECTED}"
        ) from error


@dataclass(frozen=True)
class Labelled:
    """Models (n, nz, nx), depth down, of an array with named axes, and its metadata."""

    models: NDArray[Any]
    form: Form


def labelled(models: Any, hints: Hints, name: str) -> Labelled | None:
    """Read an xarray DataArray by its names, coordinates and units; None for other arrays.

    Raises what `velcodec.formats.files.axes.named_form` raises, and NoDataError.
    """
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(models, xarray.DataArray):
        return None
    dims = [str(dim) for dim in models.dims]
    check_unpacked(models.attrs, name)

    def keys(sizes: tuple[int, ...]) -> tuple[str, ...] | None:
        text_dims = [
            dim for dim in dims if dim in models.coords and models.coords[dim].dtype.kind in "OU"
        ]
        columns = [tuple(map(str, models.coords[dim].values)) for dim in text_dims]
        return next((keys for keys in columns if len(sizes) > 2 and len(keys) == sizes[0]), None)

    array = plain_array(models.data, name, hints.no_data)
    attributes = merged((("array", models.attrs),), name, hints)
    form, permutation = named_form(
        array.shape, array.dtype, name, hints,
        axes_of(dims, coordinates_in(models), name), attributes,
        units=velocity_units(attributes.get("units"), name, hints), keys=keys,
        facts=facts_in(
            (("array", models.attrs),), name, hints,
            grid_mapping_in(models.attrs | models.encoding, models.coords.get),
        ),
    )  # fmt: skip
    marks = marks_of(models.attrs, name)
    check_all_present(array, name, lambda place: place, marks, form.no_data)
    if permutation is not None:
        array = array.transpose(permutation)
    depth_down = depth_first(array, form.axes)
    return Labelled(depth_down[:, ::-1] if form.z_up else depth_down, form)
