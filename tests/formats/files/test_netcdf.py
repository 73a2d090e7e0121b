"""NetCDF files: dimensions identify the axes, coordinates the positions of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
from round_trips import GROUND, all_of, asymmetric, written

from velcodec.formats import errors
from velcodec.formats.files import Ground, open_models


def saved(path: Path, dims: tuple[str, ...], array: Any, name: str = "vp", **more: Any) -> Path:
    data = xarray.Dataset({name: (dims, array)}, **more)
    data.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize(
    ("dims", "turned"),
    [
        (("model", "z", "x"), False),
        (("model", "depth", "distance"), False),
        (("model", "x", "z"), True),
        (("model", "Distance", "Depth"), True),
        (("model", "cdp", "z"), True),
        (("model", "u", "z"), True),
        (("model", "dim_1", "dim_2"), False),
    ],
)
def test_names_of_dimensions_give_the_order(
    tmp_path: Path, dims: tuple[str, ...], turned: bool
) -> None:
    models = asymmetric()
    path = saved(tmp_path / "in.nc", dims, models.swapaxes(1, 2) if turned else models)
    found = open_models(path)
    assert np.array_equal(all_of(found), models)
    assert found.parts[0].form.axes == ("nxz" if turned else "nzx")


def test_the_caller_gives_the_order_if_names_do_not(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.nc", ("n", "u", "v"), asymmetric().swapaxes(1, 2))
    assert np.array_equal(all_of(open_models(path, order="xz")), asymmetric())


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("km", 1000.0), ("ft", 0.3048)])
def test_coordinates_give_spacing_and_origin_in_metres(
    tmp_path: Path, unit: str, scale: float
) -> None:
    coords = {
        "z": ("z", 2.0 + 0.01 * np.arange(5), {"units": unit}),
        "x": ("x", -1.0 + 0.025 * np.arange(7, dtype="f4"), {"units": unit}),
    }
    path = saved(tmp_path / "in.nc", ("z", "x"), asymmetric(1)[0], coords=coords)
    ground = open_models(path).parts[0].form.ground
    assert ground.dz_m == pytest.approx(0.01 * scale)
    assert ground.dx_m == pytest.approx(0.025 * scale, rel=1e-5)
    assert (ground.origin_x_m, ground.origin_z_m) == (-1.0 * scale, 2.0 * scale)


@pytest.mark.parametrize(
    "z", [[0.0, 1.0, 2.0, 4.0, 5.0], [1.0, 3.0, 3.5, 3.6, 9.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
)
def test_uneven_coordinates_are_refused_unless_stated(tmp_path: Path, z: list[float]) -> None:
    path = saved(tmp_path / "in.nc", ("z", "x"), asymmetric(1)[0], coords={"z": z})
    with pytest.raises(errors.InputFileError, match="z: coordinates: expected increasing ones"):
        open_models(path)
    stated = Ground(dz_m=10.0, origin_z_m=0.0)
    assert open_models(path, ground=stated).parts[0].form.ground == stated


def test_an_unknown_unit_of_length_is_refused(tmp_path: Path) -> None:
    coords = {"z": ("z", np.arange(5.0), {"units": "fathom"})}
    path = saved(tmp_path / "in.nc", ("z", "x"), asymmetric(1)[0], coords=coords)
    with pytest.raises(errors.InputFileError, match="unit of length: found 'fathom'"):
        open_models(path)


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    data = xarray.Dataset({"vp": (("model", "z", "x"), asymmetric(dtype="<f8"))})
    packing = {"vp": {"dtype": "i4", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -1}}
    data.to_netcdf(tmp_path / "in.nc", engine="h5netcdf", encoding=packing)
    assert np.array_equal(all_of(open_models(tmp_path / "in.nc")), asymmetric())


def test_files_of_version_3_are_read(tmp_path: Path) -> None:
    coords = {"x": ("x", 5.0 * np.arange(7))}
    data = xarray.Dataset({"vp": (("model", "x", "z"), asymmetric().swapaxes(1, 2))}, coords)
    data.to_netcdf(tmp_path / "in.nc", engine="scipy")
    found = open_models(tmp_path / "in.nc")
    assert np.array_equal(all_of(found), asymmetric())
    assert found.parts[0].form.ground.dx_m == 5.0


def test_text_coordinates_of_the_models_are_keys(tmp_path: Path) -> None:
    coords = {"model": ["a", "b", "c", "d"]}
    path = saved(tmp_path / "in.nc", ("model", "z", "x"), asymmetric(), coords=coords)
    assert open_models(path).parts[0].form.keys == ("a", "b", "c", "d")


def test_references_to_other_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.nc", ("model", "z", "x"), asymmetric())
    with h5py.File(path, "a") as out:
        out["other"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(errors.InputFileError, match="other: leads to another file"):
        open_models(path)


def test_written_files_are_read_by_xarray_with_coordinates_and_units(tmp_path: Path) -> None:
    path = written(tmp_path, "netcdf", asymmetric(), units="km/s", ground=GROUND)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert dict(data.sizes) == {"model": 4, "z": 5, "x": 7}
        assert data.velocity.attrs["units"] == "km/s"
        assert data.z.attrs["units"] == "m"
        assert data.z.attrs["positive"] == "down"
        assert np.array_equal(data.x, 1000.0 + 12.5 * np.arange(7))
        assert np.array_equal(data.velocity, asymmetric())
