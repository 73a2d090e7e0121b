"""What is handed over as arrays: NumPy's own and its kin, tensors, labelled arrays.

Each is converted where it has one meaning, and refused by name otherwise.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputDtypeError, InputShapeError
from velcodec.formats.files.absent import check_all_present, marks_of
from velcodec.formats.files.axes import axes_of, named_form
from velcodec.formats.files.base import Form, Hints, depth_first
from velcodec.formats.files.netcdf import coordinates_in
from velcodec.formats.files.npy import check_dtype
from velcodec.formats.files.words import check_unpacked, velocity_units
from velcodec.formats.no_data import NoData, no_data_of

EXPECTED = "an array (nz, nx), (n, nz, nx) or (n, 1, nz, nx), or a list of arrays"


def is_array(models: Any) -> bool:
    """Whether this is one array, not a list of them. Raises InputShapeError for what is neither."""
    if hasattr(models, "data_vars") or isinstance(models, dict | str | bytes):
        found = type(models).__name__
        raise InputShapeError(f"models: found a {found}, expected {EXPECTED}")
    if isinstance(models, np.ndarray | np.generic) or hasattr(models, "__array__"):
        return True
    if not hasattr(models, "__iter__"):
        raise InputShapeError(f"models: found {models!r}, expected {EXPECTED}")
    return False


def plain_array(models: Any, name: str = "models", no_data: NoData | None = None) -> NDArray[Any]:
    """A NumPy array of what is one: of a tensor, wherever it is and whether it needs gradients, of
    a matrix, of a masked array that masks nothing but samples of the value `no_data`.

    Raises NoDataError for samples that are masked, InputDtypeError for what NumPy cannot hold,
    InputShapeError for what is no array.
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
    """Models (n, nz, nx), depth down, of an array whose axes have names, and what it says."""

    models: NDArray[Any]
    form: Form


def labelled(models: Any, hints: Hints, name: str) -> Labelled | None:
    """An xarray DataArray by the names, coordinates and units that it has; None for other arrays.

    Raises as `velcodec.formats.files.axes.named_form`, and NoDataError.
    """
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(models, xarray.DataArray):
        return None
    dims = [str(dim) for dim in models.dims]
    check_unpacked(models.attrs, name)

    def keys(sizes: tuple[int, ...]) -> tuple[str, ...] | None:
        texts = [
            dim for dim in dims if dim in models.coords and models.coords[dim].dtype.kind in "OU"
        ]
        found = [tuple(map(str, models.coords[dim].values)) for dim in texts]
        return next((each for each in found if len(sizes) > 2 and len(each) == sizes[0]), None)

    array = plain_array(models.data, name, hints.no_data)
    form, own = named_form(
        array.shape, array.dtype, name, hints,
        axes_of(dims, coordinates_in(models), name), models.attrs,
        units=velocity_units(models.attrs.get("units"), name, hints), keys=keys,
    )  # fmt: skip
    marks = marks_of(models.attrs, name)
    check_all_present(array, name, lambda place: place, marks, form.no_data)
    found = depth_first(array if own is None else array.transpose(own), form.axes)
    return Labelled(found[:, ::-1] if form.z_up else found, form)
