"""What every format must do, on models that tell depth from distance and one model from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.files import FORMATS, Form, Ground, Models, open_models, open_sink

GROUND = Ground(dx_m=12.5, dz_m=7.5, origin_x_m=1000.0, origin_z_m=-25.0)
NZ, NX = 5, 7


def asymmetric(count: int = 4, nz: int = NZ, nx: int = NX, dtype: str = "<f4") -> NDArray[Any]:
    """Models (count, nz, nx): 100 more for each sample down, 1 across, 2000 for each model."""
    n, z, x = np.mgrid[0:count, 0:nz, 0:nx]
    return np.asarray(1500 + 100 * z + x + 2000 * n, dtype=dtype)


def form_for(models: NDArray[Any], axes: str = "nzx", **known: Any) -> Form:
    return Form(len(models), *models.shape[1:], axes, models.dtype.str, **known)


def written(
    folder: Path, format: str, models: NDArray[Any], axes: str = "nzx", **known: Any
) -> Path:
    """A file of this format with these models, added in blocks of one and more."""
    path = folder / f"models{FORMATS[format].suffixes[0]}"
    with open_sink(path, form_for(models, axes, **known)) as sink:
        for start, stop in ((0, 1), (1, 3), (3, len(models))):
            sink.add(models[start:stop])
    return path


def all_of(models: Models) -> NDArray[Any]:
    return np.concatenate([array for _, array in models.read(0, len(models))])


def check_round_trip(
    folder: Path, format: str, models: NDArray[Any], axes: str, **known: Any
) -> Form:
    """Write and read: the same values in the same dtype, whole, one by one and in part.

    Returns the form that was read.
    """
    path = written(folder, format, models, axes, **known)
    hints: dict[str, Any] = {}
    if format in ("npy", "npz", "raw"):  # they say nothing of their axes
        hints["order"] = axes[-2:]
    if format == "raw":
        hints |= {"shape": form_for(models, axes).shape, "dtype": models.dtype.str}
    found = open_models(path, **hints)
    (part,) = found.parts
    assert (len(found), part.form.nz, part.form.nx) == models.shape
    assert part.file == path.name
    back = part.read(0, len(models))
    assert back.dtype.str == part.form.dtype == models.dtype.str
    assert np.array_equal(back, models)
    for number in range(len(models)):
        assert np.array_equal(part.read(number, number + 1), models[number : number + 1])
    if len(models) > 3:
        assert np.array_equal(part.read(1, 3), models[1:3])
        assert np.array_equal(part.read(0, 2), models[0:2])  # backwards too
    return part.form
