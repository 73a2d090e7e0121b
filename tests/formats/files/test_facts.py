"""What files say of axes, depth and absent samples counts alike in every format."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
import zarr
from round_trips import GROUND, NX, NZ, all_of, asymmetric, form_for

from velcodec.formats import errors
from velcodec.formats.files import FORMATS, Form, Ground, Models, open_models, open_sink
from velcodec.formats.files.axes import Axis, place
from velcodec.formats.files.form import Hints

Coordinates = Mapping[str, tuple[Any, Mapping[str, str]]]

NAMED = ("netcdf", "zarr", "hdf5", "rsf")
"""Formats whose axes may have names and coordinates."""


def saved(
    folder: Path, format: str, dims: Sequence[str], array: Any, coords: Coordinates | None = None,
    **attributes: Any,
) -> Path:  # fmt: skip
    """A file of this format as other software writes it: an array, named axes, coordinates."""
    path, coords = folder / f"in{FORMATS[format].suffixes[0]}", coords or {}
    if format in ("netcdf", "zarr"):
        about = {dim: (dim, values, attrs) for dim, (values, attrs) in coords.items()}
        data = xarray.Dataset({"vp": (dims, array, attributes)}, about)
        if format == "netcdf":
            data.to_netcdf(path, engine="h5netcdf")
        else:
            data.to_zarr(path, consolidated=False)
    elif format == "hdf5":
        with h5py.File(path, "w") as out:
            out["vp"] = array
            out["vp"].attrs.update(attributes)
            for number, dim in enumerate(dims):
                values, attrs = coords.get(dim, (np.arange(array.shape[number]), {}))
                out[dim] = values
                out[dim].attrs.update(attrs)
                out[dim].make_scale(dim)
                out["vp"].dims[number].attach_scale(out[dim])
    else:
        words = ['esize=4 data_format="native_float" in="stdin"']
        for number, (dim, size) in enumerate(zip(dims[::-1], array.shape[::-1], strict=True), 1):
            words.append(f'n{number}={size} label{number}="{dim}"')
            if dim in coords:
                values, attrs = coords[dim]
                words.append(f"o{number}={values[0]} d{number}={values[1] - values[0]}")
                words.append(f'unit{number}="{attrs.get("units", "")}"')
                if "positive" in attrs:
                    words.append(f"z_positive={attrs['positive']}")
        samples = np.ascontiguousarray(array, dtype="<f4").tobytes()
        path.write_bytes(" ".join(words).encode() + b"\x0c\x0c\x04" + samples)
    return path


def opened(folder: Path, format: str, *said: Any, **hints: Any) -> Models:
    return open_models(saved(folder, format, *said), **hints)


ORDERS = {  # where models, depth and distance are
    ("model", "z", "x"): (0, 1, 2),
    ("model", "x", "z"): (0, 2, 1),
    ("z", "x", "model"): (2, 0, 1),
    ("x", "z", "model"): (2, 1, 0),
    ("z", "model", "x"): (1, 0, 2),
    ("realization", "depth", "distance"): (0, 1, 2),
    ("n", "nx", "nz"): (0, 2, 1),
    ("x_m", "z_m", "number"): (2, 1, 0),
    ("time", "Depth (km)", "Distance [km]"): (0, 1, 2),
}


@pytest.mark.parametrize("dims", ORDERS, ids=" ".join)
@pytest.mark.parametrize("format", NAMED)
def test_axes_follow_their_names(tmp_path: Path, format: str, dims: tuple[str, ...]) -> None:
    array = np.moveaxis(asymmetric(), [0, 1, 2], ORDERS[dims])
    found = opened(tmp_path, format, dims, array)
    assert np.array_equal(all_of(found), asymmetric())
    (part,) = found.parts
    assert np.array_equal(part.read(1, 3), asymmetric()[1:3])


VOLUMES = {
    ("z", "y", "x"): "zyx", ("depth", "lat", "lon"): "zyx", ("y", "x", "z"): "yxz",
    ("inline", "crossline", "z"): "yxz", ("Depth", "northing", "easting"): "zyx",
}  # fmt: skip


@pytest.mark.parametrize("dims", VOLUMES, ids=" ".join)
@pytest.mark.parametrize("format", NAMED)
def test_volumes_are_read_in_the_order_of_their_axes_and_not_as_stacks_of_sections(
    tmp_path: Path, format: str, dims: tuple[str, ...]
) -> None:
    stated = Ground(10.0, 10.0, 0.0, 0.0, 10.0, 0.0)  # some of these axes would be in degrees
    path = saved(tmp_path, format, dims, asymmetric())
    (part,) = open_models(path, ground=stated).parts
    order = VOLUMES[dims]
    assert part.form.order == order
    expected = asymmetric().transpose([order.index(axis) for axis in "zyx"])
    assert np.array_equal(part.read(0, 1)[0], expected)
    with pytest.raises(errors.InputFileError, match="order: zx was stated"):
        open_models(path, ground=stated, order="zx")


@pytest.mark.parametrize("format", NAMED)
def test_an_array_without_depth_is_neither_sections_nor_a_volume(
    tmp_path: Path, format: str
) -> None:
    dims = ("model", "y", "x")
    with pytest.raises(errors.InputShapeError, match=f"found {', '.join(dims)} of sizes") as caught:
        opened(tmp_path, format, dims, asymmetric())
    assert "3-D models" in str(caught.value)


@pytest.mark.parametrize(
    "dims", [("u", "v"), ("time", "x"), ("z", "depth"), ("z", "model"), ("k", "")], ids=" ".join
)
def test_unidentified_axes_are_refused_with_their_names(dims: tuple[str, ...]) -> None:
    axes = [Axis(dim) for dim in dims]
    with pytest.raises(errors.InputFileError, match=f"axes: found {dims[0]}, .*--order"):
        place(axes, (NZ, NX), "in.nc", Hints())
    if "model" not in dims:
        assert place(axes, (NZ, NX), "in.nc", Hints(order="xz")).axes == "xz"


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("z", "u", "v"), (5, 7, 4)), (("z", "x", "u"), (5, 7, 4)), (("u", "v", "w"), (4, 5, 7)),
        (("channel", "z", "x"), (3, 5, 7)),
    ],
)  # fmt: skip
def test_three_axes_with_one_unidentified_are_refused(
    dims: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    with pytest.raises(errors.InputFileError, match=f"axes: found {', '.join(dims)}"):
        place([Axis(dim) for dim in dims], shape, "in.nc", Hints())


@pytest.mark.parametrize(
    ("dims", "shape", "axes", "own"),
    [
        ((), (5, 7), "zx", None),
        (("dim_0", "dim_1", "dim_2"), (4, 5, 7), "nzx", None),
        (("phony_dim_0", "z"), (7, 5), "xz", None),
        (("model", "channel", "z", "x"), (4, 1, 5, 7), "n1zx", None),
        (("channel", "z", "x", "model"), (1, 5, 7, 4), "n1zx", (3, 0, 1, 2)),
        (("z", "x", "y"), (5, 7, 1), "nzx", (2, 0, 1)),
    ],
)
def test_axes_of_models_and_of_one_sample_go_first(
    dims: tuple[str, ...], shape: tuple[int, ...], axes: str, own: tuple[int, ...] | None
) -> None:
    found = place([Axis(dim) for dim in dims], shape, "in.nc", Hints())
    assert (found.axes, found.own) == (axes, own)


def test_units_and_attributes_of_coordinates_identify_axes_too() -> None:
    def role(name: str, **attributes: str) -> str:
        return Axis(name, np.arange(3.0), attributes).role

    assert role("k", positive="down") == "z"
    assert role("k", axis="X") == "x"
    assert role("k", standard_name="height") == "z"
    assert role("k", units="degrees_north") == "y"
    assert Axis("z_km").unit == "km"
    assert Axis("z_km", None, {"units": "m"}).unit == "m"


@pytest.mark.parametrize("format", NAMED)
def test_degrees_are_not_a_distance(tmp_path: Path, format: str) -> None:
    coords = {"lon": (np.arange(NX) / 100, {"units": "degrees_east"})}
    with pytest.raises(errors.InputFileError, match="unit of length: found 'degrees"):
        opened(tmp_path, format, ("z", "lon"), asymmetric(1)[0], coords)


# --- depth ----------------------------------------------------------------------------------------

STEPS = np.arange(NZ) * 10.0
LINES: dict[str, tuple[str, Any, dict[str, str], bool, float]] = {
    # name of the axis, coordinates, attributes, whether its rows go up, depth of the top
    "depths": ("depth", 20 + STEPS, {}, False, 20.0),
    "depths that fall": ("depth", 20 + STEPS[::-1], {}, True, 20.0),
    "positive down": ("z", -30 + STEPS, {"positive": "down"}, False, -30.0),
    "positive down, falling": ("z", STEPS[::-1], {"positive": "down"}, True, 0.0),
    "positive up": ("z", STEPS - 15, {"positive": "up"}, True, -25.0),
    "positive up, falling": ("z", STEPS[::-1], {"positive": "up"}, False, -40.0),
    "elevations": ("elevation", STEPS, {}, True, -40.0),
    "heights that fall": ("Height", STEPS[::-1] - 100, {}, False, 60.0),
    "z to zero": ("z", STEPS - 40, {}, True, 0.0),
    "z from zero down": ("z", STEPS[::-1] - 40, {}, False, 0.0),
    "z in km": ("z", (STEPS - 40) / 1000, {"units": "km"}, True, 0.0),
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("format", NAMED)
def test_depth_goes_down_whichever_way_its_coordinates_go(
    tmp_path: Path, format: str, line: str
) -> None:
    name, values, attributes, up, top = LINES[line]
    array = asymmetric(4)[:, ::-1] if up else asymmetric(4)
    found = opened(tmp_path, format, ("model", name, "x"), array, {name: (values, attributes)})
    form = found.parts[0].form
    assert form.z_up is up
    assert form.ground.dz_m == pytest.approx(10.0)
    assert form.ground.origin_z_m == pytest.approx(top)
    assert np.array_equal(all_of(found), asymmetric(4))


UNSURE: dict[str, tuple[str, Any, dict[str, str]]] = {
    "z falls": ("z", STEPS[::-1], {}),
    "z on both sides of zero": ("z", STEPS - 20, {}),
    "depth that is negative": ("depth", STEPS - 40, {}),
    "height that is positive down": ("height", STEPS, {"positive": "down"}),
}


@pytest.mark.parametrize("line", UNSURE)
@pytest.mark.parametrize("format", NAMED)
def test_ambiguous_depth_is_refused_until_it_is_stated(
    tmp_path: Path, format: str, line: str
) -> None:
    name, values, attributes = UNSURE[line]
    path = saved(tmp_path, format, (name, "x"), asymmetric(1)[0], {name: (values, attributes)})
    stated = Ground(dz_m=10.0, origin_z_m=0.0)  # leaves the direction open
    for ground in (Ground(), stated):
        with pytest.raises(errors.InputFileError, match=r"z: found .* --z-positive up or down"):
            open_models(path, ground=ground)
    rises = values[-1] > values[0]
    for way in ("up", "down"):
        found = open_models(path, z_positive=way, ground=stated)
        assert found.parts[0].form.z_up == ((way == "up") == rises)
        assert found.parts[0].form.ground.origin_z_m == 0.0


@pytest.mark.parametrize("format", FORMATS)
def test_rows_that_go_up_are_flipped_if_the_caller_says_so(tmp_path: Path, format: str) -> None:
    models = asymmetric(1)
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    with open_sink(path, Form(1, NZ, NX, "xz" if format in ("segy", "rsf") else "zx")) as sink:
        sink.add(models[:, ::-1])
    hints: dict[str, Any] = {"shape": (NZ, NX)} if format == "raw" else {}
    found = open_models(path, z_positive="up", **hints)
    assert np.array_equal(all_of(found), models)
    assert found.parts[0].form.z_up


@pytest.mark.parametrize("axes", ["nzx", "nxz", "n1zx"])
@pytest.mark.parametrize("format", FORMATS)
def test_rows_go_up_again_in_what_is_written(tmp_path: Path, format: str, axes: str) -> None:
    count = 1 if format == "segy" else 3
    models, path = asymmetric(count), tmp_path / f"in{FORMATS[format].suffixes[0]}"
    form = replace(form_for(models, axes), ground=GROUND, z_up=True)
    with open_sink(path, form) as sink:
        sink.add(models)
    hints: dict[str, Any] = {"unstated_z_positive": "up", "unstated_order": axes[-2:]}
    if format == "raw":
        hints["shape"] = form.shape
    found = open_models(path, **hints)
    assert np.array_equal(all_of(found), models)
    assert found.parts[0].form.z_up is (format != "segy")  # whose traces go down by definition
    assert found.parts[0].form.ground == (Ground() if format in ("npy", "raw") else GROUND)
    if format == "npy":
        rows = np.load(path)
        assert np.array_equal(rows, np.flip(form_array(models, axes), axes.index("z")))


def form_array(models: np.ndarray, axes: str) -> np.ndarray:
    array = models.swapaxes(1, 2) if axes.endswith("xz") else models
    return array[:, None] if "1" in axes else array


def test_a_negative_depth_spacing_is_used_with_an_origin_and_refused_without(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path, "hdf5", ("z", "x"), asymmetric(1)[0, ::-1])
    with h5py.File(path, "r+") as out:
        del out["z"], out["x"], out["vp"].attrs["DIMENSION_LIST"]
        out["vp"].attrs["dz"] = -10.0
    with pytest.raises(errors.InputFileError, match=r"dz: found -10\.0 m.*--z-positive"):
        open_models(path)
    with h5py.File(path, "r+") as out:
        out["vp"].attrs["origin"] = [0.0, 90.0]
    found = open_models(path)
    assert found.parts[0].form.ground == Ground(None, 10.0, 0.0, 50.0)
    assert np.array_equal(all_of(found), asymmetric(1))


# --- several grounds ------------------------------------------------------------------------------

GROUNDS = (GROUND, replace(GROUND, dz_m=5.0), Ground(100.0, 7.5, 0.0, 250.0))


@pytest.mark.parametrize("z_up", [False, True])
@pytest.mark.parametrize("format", ["npz", "hdf5", "netcdf", "zarr"])
def test_every_model_keeps_its_own_ground(tmp_path: Path, format: str, z_up: bool) -> None:
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    form = replace(form_for(asymmetric(3)), z_up=z_up).on(GROUNDS)
    with open_sink(path, form) as sink:
        sink.add(asymmetric(3))
    found = open_models(path)
    assert found.parts[0].form.grounds == GROUNDS
    assert found.parts[0].form.ground == Ground()
    assert np.array_equal(all_of(found), asymmetric(3))
    assert found.slice(1, 2).parts[0].form.ground == GROUNDS[1]
    stated = open_models(path, ground=Ground(dx_m=1.0)).parts[0].form.grounds
    assert stated == tuple(replace(ground, dx_m=1.0) for ground in GROUNDS)


def test_formats_with_one_ground_refuse_models_on_several(tmp_path: Path) -> None:
    form = form_for(asymmetric(3)).on(GROUNDS)
    with (
        pytest.raises(errors.OptionError, match="models 0 and 1: found different spacings"),
        open_sink(tmp_path / "a.rsf", form),
    ):
        pass


# --- no data --------------------------------------------------------------------------------------

MARKS: dict[str, dict[str, Any]] = {
    "fill value": {"_FillValue": np.float32(1601.0)},
    "missing value": {"missing_value": np.float32(1601.0)},
    "valid range": {"valid_range": np.array([1602.0, 9000.0], dtype="f4")},
    "valid minimum": {"valid_min": np.float32(1602.0)},
    "valid maximum": {"valid_max": np.float32(1600.0)},
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("format", ["netcdf", "zarr", "hdf5"])
def test_samples_that_are_marked_as_absent_are_refused_with_place_and_count(
    tmp_path: Path, format: str, mark: str
) -> None:
    array = np.full((2, NZ, NX), 1500.0 if "maximum" in mark else 1700.0, dtype="f4")
    array[1, 2, 3:5] = 1601.0
    path = saved(tmp_path, format, ("model", "z", "x"), array, {}, **MARKS[mark])
    found = open_models(path)
    assert found.parts[0].form.dtype == "<f4"
    assert np.array_equal(found.parts[0].read(0, 1), array[:1])
    words = r"found 1601\.0 at index \(1, 2, 3\), marked as absent, as are 2 of 35 samples"
    words += r"; expected only velocities; --mask=1601\.0 "
    with pytest.raises(errors.NoDataError, match=words):
        found.parts[0].read(1, 2)
    assert np.array_equal(open_models(path, no_data=1601).parts[0].read(1, 2), array[1:])
    with pytest.raises(errors.NoDataError, match="marked as absent"):
        open_models(path, no_data=1600).parts[0].read(1, 2)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("value", [-9999.0, 1e30, -999.25, 9.969209968386869e36])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_no_data_values_are_refused_in_every_format(
    tmp_path: Path, format: str, value: float, dtype: str
) -> None:
    models = asymmetric(1, dtype=dtype)
    models[0, 1, 2:6] = value
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    with open_sink(path, Form(1, NZ, NX, "zx", dtype)) as sink:
        sink.add(models)
    hints: dict[str, Any] = {"shape": (NZ, NX), "dtype": dtype} if format == "raw" else {}
    with pytest.raises(errors.NoDataError, match=r"at index \((1, 2|2, 1)\), .*4 of 35 samples"):
        all_of(open_models(path, **hints))
    assert np.array_equal(all_of(open_models(path, **hints, no_data=value)), models)


@pytest.mark.parametrize("format", FORMATS)
def test_undeclared_absent_samples_are_refused_beside_declared_ones(
    tmp_path: Path, format: str
) -> None:
    models = asymmetric(1)
    models[0, 0], models[0, 2, 2] = np.nan, -9999.0
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    with open_sink(path, Form(1, NZ, NX, "zx", "<f4")) as sink:
        sink.add(models)
    hints: dict[str, Any] = {"shape": (NZ, NX), "dtype": "<f4"} if format == "raw" else {}
    with pytest.raises(errors.NoDataError, match=r"found -9999\.0 at index .*, as are 1 of 35"):
        all_of(open_models(path, **hints, no_data="nan"))
    with pytest.raises(errors.NonFiniteError, match="found nan"):
        all_of(open_models(path, **hints, no_data=-9999))


def test_dead_traces_that_hold_the_declared_value_are_absent(tmp_path: Path) -> None:
    models = asymmetric(1)
    models[0, :, 3] = 0.0
    with open_sink(tmp_path / "in.sgy", Form(1, NZ, NX, "zx", "<f4")) as sink:
        sink.add(models)
    with pytest.raises(errors.NoDataError, match="trace 4: is dead"):
        all_of(open_models(tmp_path / "in.sgy"))
    assert np.array_equal(all_of(open_models(tmp_path / "in.sgy", no_data=0)), models)


def test_integers_with_a_fill_value_stay_integers(tmp_path: Path) -> None:
    models = asymmetric(dtype="<i2")
    path = saved(tmp_path, "netcdf", ("model", "z", "x"), models, {}, _FillValue=np.int16(-1))
    found = open_models(path)
    assert found.parts[0].form.dtype == "<i2"
    assert np.array_equal(all_of(found), models)


def test_packed_samples_that_are_absent_are_refused(tmp_path: Path) -> None:
    packed = np.arange(NZ * NX, dtype="i2").reshape(NZ, NX)
    about = {"scale_factor": 0.5, "add_offset": 1500.0, "_FillValue": np.int16(12)}
    path = saved(tmp_path, "netcdf", ("z", "x"), packed, {}, **about)
    with pytest.raises(errors.NoDataError, match=r"at index \(1, 5\), masked, as are 1 of 35"):
        all_of(open_models(path))
    found = all_of(open_models(path, no_data="nan"))
    assert np.array_equal(np.argwhere(np.isnan(found)), [[0, 1, 5]])
    assert found[0, 1, 4] == 1505.5


# --- facts stated twice ---------------------------------------------------------------------------


EVEN_LINES: Coordinates = {
    "z": (np.arange(NZ) * 5.0 + 100.0, {"units": "m", "positive": "down"}),
    "x": (np.arange(NX) * 25.0 + 1000.0, {"units": "m"}),
}

TWICE = {  # an attribute that contradicts the coordinates, its option, and the result
    "dx": ({"dx": 12.5}, "--dx", {"dx_m": 10.0}),
    "dz": ({"dz": 0.005}, "--dz", {"dz_m": 10.0}),
    "origin_x": ({"origin_x": 900.0}, "--origin", {"origin_x_m": 7.0}),
    "origin_z": ({"origin_z": 0.0}, "--origin", {"origin_z_m": 7.0}),
    "origin": ({"origin": np.array([1000.0, 105.0])}, "--origin", {"origin_z_m": 7.0}),
}


@pytest.mark.parametrize("said", TWICE)
@pytest.mark.parametrize("format", ["netcdf", "zarr", "hdf5"])
def test_attributes_and_coordinates_that_differ_are_refused_with_the_option(
    tmp_path: Path, format: str, said: str
) -> None:
    attributes, option, stated = TWICE[said]
    if format == "zarr":
        attributes = {key: np.asarray(value).tolist() for key, value in attributes.items()}
    path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], EVEN_LINES, **attributes)
    words = rf"{said[:6]}.*: found .*coordinates of [xz] .*state which with {option}"
    with pytest.raises(errors.InputFileError, match=words):
        open_models(path)
    (part,) = open_models(path, ground=Ground(**stated)).parts
    usual = {"dx_m": 25.0, "dz_m": 5.0, "origin_x_m": 1000.0, "origin_z_m": 100.0}
    assert part.form.ground == Ground(**{**usual, **stated})


@pytest.mark.parametrize("format", ["netcdf", "zarr", "hdf5"])
def test_attributes_that_agree_with_coordinates_are_accepted(tmp_path: Path, format: str) -> None:
    said = {"dx": 25.0, "dz": 5.0, "origin_x": 1000.0, "origin_z": 100.0, "z_positive": "down"}
    path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], EVEN_LINES, **said)
    assert open_models(path).parts[0].form.ground == Ground(25.0, 5.0, 1000.0, 100.0)


@pytest.mark.parametrize("format", ["netcdf", "zarr", "hdf5"])
def test_directions_that_differ_are_refused(tmp_path: Path, format: str) -> None:
    path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], EVEN_LINES, z_positive="up")
    with pytest.raises(errors.InputFileError, match=r"z_positive: found 'up', and .*--z-positive"):
        open_models(path)
    assert not open_models(path, z_positive="down").parts[0].form.z_up


PLACES = {"units": ("km/s", "m/s"), "dx": (10.0, 25.0), "origin_x": (0.0, 1000.0)}


@pytest.mark.parametrize("said", PLACES)
@pytest.mark.parametrize("format", ["netcdf", "zarr", "hdf5"])
def test_contradictions_between_file_and_array_are_refused(
    tmp_path: Path, format: str, said: str
) -> None:
    of_file, own = PLACES[said]
    path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], EVEN_LINES, **{said: own})

    def say(value: Any) -> None:
        if format == "zarr":
            zarr.open_group(path, mode="a").attrs[said] = value
        else:
            with h5py.File(path, "a") as out:
                out.attrs[said] = value

    say(of_file)
    with pytest.raises(errors.InputFileError, match=f"{said}: found .* of the .* with --"):
        open_models(path)
    stated: dict[str, Any] = {
        "units": {"units": "m/s"},
        "dx": {"ground": Ground(dx_m=7.0)},
        "origin_x": {"ground": Ground(origin_x_m=7.0)},
    }
    assert len(open_models(path, **stated[said])) == 1
    say(own)
    assert len(open_models(path)) == 1


def test_coordinates_and_spacing_of_one_npz_must_agree(tmp_path: Path) -> None:
    models, path = asymmetric(1)[0], tmp_path / "in.npz"
    x = np.arange(NX) * 25.0
    np.savez(path, vp=models, x=x, dx=25.0)
    assert open_models(path).parts[0].form.ground.dx_m == 25.0
    np.savez(path, vp=models, x=x, dx=10.0)
    with pytest.raises(errors.InputFileError, match=r"dx: found 10 m, .*steps of 25 m"):
        open_models(path)


@pytest.mark.parametrize("format", ["netcdf", "zarr", "hdf5"])
def test_decreasing_distances_are_refused_with_advice(tmp_path: Path, format: str) -> None:
    coords = {"x": (np.arange(NX)[::-1] * 25.0, {"units": "m"})}
    path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], coords)
    words = (
        "x: coordinates: found decreasing ones, from 150 to 0, .*reverse coordinates and samples"
    )
    with pytest.raises(errors.InputFileError, match=words):
        open_models(path)
    stated = Ground(dx_m=25.0, origin_x_m=0.0)
    assert open_models(path, ground=stated).parts[0].form.ground.dx_m == 25.0


def kept(folder: Path, format: str, arrays: Mapping[str, Any]) -> Path:
    """A file with these arrays, as other software writes them."""
    path = folder / f"in{FORMATS[format].suffixes[0]}"
    if format == "npz":
        np.savez(path, **arrays)
    elif format == "hdf5":
        with h5py.File(path, "w") as out:
            for name, array in arrays.items():
                out[name] = array
    elif format == "netcdf":
        dims = {0: (), 1: ("n",), 2: ("z", "x")}
        sets = {name: (dims[np.ndim(array)], array) for name, array in arrays.items()}
        xarray.Dataset(sets).to_netcdf(path, engine="h5netcdf")
    else:
        group = zarr.open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=np.asarray(array))
    return path


STORES = ("npz", "hdf5", "netcdf", "zarr")


@pytest.mark.parametrize("format", STORES)
def test_single_values_beside_an_array_are_its_spacing_and_origin(
    tmp_path: Path, format: str
) -> None:
    said = {"dx": 25.0, "dz": 5.0, "origin_x": 7.0, "origin_z": 3.0}
    path = kept(tmp_path, format, {"vp": asymmetric(1)[0], **said})
    assert open_models(path).parts[0].form.ground == Ground(25.0, 5.0, 7.0, 3.0)


@pytest.mark.parametrize("format", STORES)
@pytest.mark.parametrize(
    ("name", "value"),
    [("spacing", [25.0, 5.0]), ("dh", 12.5), ("xmin", 100.0), ("extent", [0, 9.0])],
)
def test_spacing_under_another_name_is_refused_until_it_is_stated(
    tmp_path: Path, format: str, name: str, value: Any
) -> None:
    if format in ("netcdf", "zarr") and np.ndim(value):
        path = kept(tmp_path, "hdf5", {"vp": asymmetric(1)[0]})
        with h5py.File(path, "a") as out:
            out["vp"].attrs[name] = value
    else:
        path = kept(tmp_path, format, {"vp": asymmetric(1)[0], name: np.array(value)})
    with pytest.raises(errors.InputFileError, match=rf"{name}: found .*state .*--dx and --dz"):
        open_models(path)
    stated = Ground(dx_m=12.5, dz_m=12.5)
    assert open_models(path, ground=stated).parts[0].form.ground == stated


@pytest.mark.parametrize("format", ["hdf5", "zarr"])
def test_attributes_of_a_group_apply_to_its_arrays(tmp_path: Path, format: str) -> None:
    path = kept(tmp_path, format, {"line/vp": asymmetric(1)[0]})
    said = {"dx": 25.0, "units": "km/s"}
    if format == "zarr":
        zarr.open_group(path, mode="a")["line"].attrs.update(said)
    else:
        with h5py.File(path, "a") as out:
            out["line"].attrs.update(said)
    form = open_models(path).parts[0].form
    assert (form.units, form.ground.dx_m) == ("km/s", 25.0)


def test_facts_in_an_npz_apply_to_all_of_its_arrays(tmp_path: Path) -> None:
    models, x = asymmetric(1)[0], np.arange(NX) * 25.0
    path = kept(
        tmp_path, "npz", {"vp": models, "vs": models / 2, "x": x, "dz": 5.0, "units": "km/s"}
    )
    for part in open_models(path).parts:
        assert (part.form.units, part.form.ground.dx_m, part.form.ground.dz_m) == (
            "km/s",
            25.0,
            5.0,
        )
    path = kept(tmp_path, "npz", {"vp": models, "vs": models, "keys": np.array(["a"])})
    with pytest.raises(errors.InputFileError, match="keys: found them beside 2 arrays"):
        open_models(path)
    assert open_models(path, array="vs").parts[0].form.keys == ("a",)


@pytest.mark.parametrize(
    ("format", "dtype"),
    [
        *((format, dtype) for format in ("npz", "hdf5") for dtype in ("f2", "c8", "?")),
        ("netcdf", "?"),
    ],
)
def test_an_array_of_another_dtype_beside_models_is_not_skipped(
    tmp_path: Path, format: str, dtype: str
) -> None:
    models = asymmetric(1)[0]
    path = kept(tmp_path, format, {"vp": models, "other": models.astype(dtype)})
    with pytest.raises(errors.InputFileError, match="name one array with --array; found"):
        open_models(path)
    assert len(open_models(path, array="vp")) == 1
    with pytest.raises(errors.InputDtypeError):
        open_models(path, array="other")


@pytest.mark.parametrize("format", ["netcdf", "zarr", "rsf"])
@pytest.mark.parametrize("axis", ["x", "z"])
def test_steps_of_a_few_centimetres_without_a_unit_are_refused(
    tmp_path: Path, format: str, axis: str
) -> None:
    size = {"x": NX, "z": NZ}[axis]
    for step, unit, expected in ((0.025, "km", 25.0), (0.025, "m", 0.025), (0.5, "", 0.5)):
        coords = {axis: (np.arange(size) * step, {"units": unit} if unit else {})}
        path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], coords)
        assert getattr(open_models(path).parts[0].form.ground, f"d{axis}_m") == expected
        if format == "zarr":
            shutil.rmtree(path)
    coords = {axis: (np.arange(size) * 0.025, {})}
    path = saved(tmp_path, format, ("z", "x"), asymmetric(1)[0], coords)
    with pytest.raises(errors.InputFileError, match=rf"0\.025 and no unit, .*with --d{axis}"):
        open_models(path)
    stated = Ground(**{f"d{axis}_m": 0.025})
    found = open_models(path, ground=stated).parts[0].form.ground
    assert getattr(found, f"d{axis}_m") == 0.025


# --- MATLAB, and arrays beside the models ---------------------------------------------------------


def test_matlabs_arrays_have_their_axes_in_reverse(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "vp.mat", "w", userblock_size=512) as out:
        for name, value, kind in (
            ("vp", asymmetric(1)[0].T, "single"), ("dx", [[25.0]], "double"),
            ("name", np.array([[80], [81]], "u2"), "char"),
        ):  # fmt: skip
            out[name] = value
            out[name].attrs["MATLAB_class"] = np.bytes_(kind)
    found = open_models(tmp_path / "vp.mat")
    assert np.array_equal(all_of(found), asymmetric(1))
    assert found.parts[0].form.ground.dx_m == 25.0


def test_a_matlab_array_of_three_axes_needs_the_order(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "vp.mat", "w") as out:
        out["vp"] = asymmetric().swapaxes(1, 2)  # in MATLAB (nz, nx, n)
        out["vp"].attrs["MATLAB_class"] = np.bytes_("single")
    with pytest.raises(errors.InputFileError, match=r"MATLAB array of \(5, 7, 4\).*--order"):
        open_models(tmp_path / "vp.mat")
    assert np.array_equal(all_of(open_models(tmp_path / "vp.mat", order="xz")), asymmetric())


def test_netcdf_dimensions_without_coordinates_still_have_names(tmp_path: Path) -> None:
    data = xarray.Dataset({"vp": (("x", "z"), asymmetric(1)[0].T)})
    data.to_netcdf(tmp_path / "vp.h5", engine="h5netcdf")
    found = open_models(tmp_path / "vp.h5")
    assert np.array_equal(all_of(found), asymmetric(1))
    assert found.parts[0].form.ground == Ground()


def test_matlabs_older_files_are_refused_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "vp.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(900))
    with pytest.raises(errors.InputFileError, match=r"MATLAB file of an older version.*-v7\.3"):
        open_models(tmp_path / "vp.mat")


@pytest.mark.parametrize("format", ["npy", "npz", "hdf5", "raw"])
def test_a_trailing_axis_of_one_sample_is_refused_unless_the_order_is_stated(
    tmp_path: Path, format: str
) -> None:
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    if format == "npy":
        np.save(path, np.ones((5, 7, 1)))
    elif format == "npz":
        np.savez(path, vp=np.ones((5, 7, 1)))
    elif format == "hdf5":
        with h5py.File(path, "w") as out:
            out["vp"] = np.ones((5, 7, 1))
    else:
        np.ones((5, 7, 1), "f4").tofile(path)
    hints: dict[str, Any] = {"shape": (5, 7, 1)} if format == "raw" else {}
    with pytest.raises(errors.InputShapeError, match="one model of 5 x 7 or 5 models of 7 x 1"):
        open_models(path, **hints)
    assert len(open_models(path, order="zx", **hints)) == 5


# --- coordinates that do not belong to a dimension ------------------------------------------------


@pytest.mark.parametrize("format", ["npz", "hdf5"])
@pytest.mark.parametrize("turned", [False, True])
def test_coordinates_beside_an_array_identify_its_axes(
    tmp_path: Path, format: str, turned: bool
) -> None:
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    z, x = STEPS[::-1] - 40, 100 + 25.0 * np.arange(NX)
    values = {"vp": asymmetric(3).swapaxes(1, 2) if turned else asymmetric(3), "z": z, "x": x}
    if format == "npz":
        np.savez(path, **values)
    else:
        with h5py.File(path, "w") as out:
            for name, value in values.items():
                out[name] = value
    found = open_models(path)
    assert found.parts[0].form.ground == Ground(25.0, 10.0, 100.0, 0.0)
    assert np.array_equal(all_of(found), asymmetric(3))


def test_coordinates_beside_a_volume_identify_it_as_one(tmp_path: Path) -> None:
    axes = {"z": np.arange(4.0), "y": np.arange(5.0), "x": np.arange(7.0)}
    np.savez(tmp_path / "in.npz", vp=asymmetric(4), **axes)
    (part,) = open_models(tmp_path / "in.npz").parts
    assert (part.form.order, part.form.sizes) == ("zyx", (4, 5, 7))
    assert part.form.ground == Ground(1.0, 1.0, 0.0, 0.0, 1.0, 0.0)


def test_arrays_beside_models_that_fit_no_axis_are_ignored(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", vp=asymmetric(4), z=np.arange(11.0), time=np.arange(5.0))
    assert open_models(tmp_path / "in.npz").parts[0].form.ground == Ground()


@pytest.mark.parametrize("format", ["netcdf", "zarr"])
def test_coordinates_along_a_dimension_of_another_name_count(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    about = {"depth": ("k", 50 + STEPS), "x": ("i", 25.0 * np.arange(NX))}
    data = xarray.Dataset({"vp": (("i", "k"), asymmetric(1)[0].T)}, about)
    if format == "netcdf":
        data.to_netcdf(path, engine="h5netcdf")
    else:
        data.to_zarr(path, consolidated=False)
    found = open_models(path)
    assert found.parts[0].form.ground == Ground(25.0, 10.0, 0.0, 50.0)
    assert np.array_equal(all_of(found), asymmetric(1))


@pytest.mark.parametrize("format", ["netcdf", "zarr"])
def test_depths_that_differ_along_a_row_are_refused(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    about = {"depth": (("k", "x"), asymmetric(1)[0])}
    data = xarray.Dataset({"vp": (("k", "x"), asymmetric(1)[0])}, about)
    if format == "netcdf":
        data.to_netcdf(path, engine="h5netcdf")
    else:
        data.to_zarr(path, consolidated=False)
    with pytest.raises(errors.InputFileError, match="coordinates depth: found depths along k, x"):
        open_models(path, array="vp")
