"""Every format returns what it was given: axes, values, dtype, and the facts it can state."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from round_trips import GROUND, NX, NZ, all_of, asymmetric, check_round_trip, form_for, written

from velcodec.formats import errors
from velcodec.formats.files import FORMATS, Ground, open_models, open_sink

ALL = tuple(FORMATS)
OF_MANY = tuple(name for name in ALL if name != "segy")
SAYING_AXES = ("npy", "npz", "hdf5", "netcdf", "zarr", "raw")
SAYING_GROUND = ("npz", "hdf5", "netcdf", "zarr", "segy", "rsf")
SAYING_UNITS = ("npz", "hdf5", "netcdf", "zarr", "rsf")
SAYING_KEYS = ("npz", "hdf5", "netcdf", "zarr")
DTYPES = ("<f4", "<f8", "<i2")


@pytest.mark.parametrize("axes", ["nzx", "nxz", "n1zx", "n1xz"])
@pytest.mark.parametrize("format", OF_MANY)
def test_many_models_come_back_in_either_order_of_axes(
    tmp_path: Path, format: str, axes: str
) -> None:
    form = check_round_trip(tmp_path, format, asymmetric(), axes)
    assert form.axes == (axes if format in SAYING_AXES else "nxz")


@pytest.mark.parametrize("axes", ["zx", "xz"])
@pytest.mark.parametrize("format", ALL)
def test_one_model_comes_back_in_either_order_of_axes(
    tmp_path: Path, format: str, axes: str
) -> None:
    form = check_round_trip(tmp_path, format, asymmetric(1), axes)
    assert form.axes == (axes if format in SAYING_AXES else "xz")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("format", ALL)
def test_dtypes_are_kept(tmp_path: Path, format: str, dtype: str) -> None:
    check_round_trip(tmp_path, format, asymmetric(1 if format == "segy" else 4, dtype=dtype), "nzx")


@pytest.mark.parametrize("format", ["npy", "npz", "hdf5", "rsf", "raw"])
def test_big_endian_values_stay_big_endian(tmp_path: Path, format: str) -> None:
    check_round_trip(tmp_path, format, asymmetric(dtype=">f4"), "nzx")


@pytest.mark.parametrize("format", ALL)
def test_spacing_origin_units_and_keys_are_kept_if_the_format_has_them(
    tmp_path: Path, format: str
) -> None:
    models = asymmetric(1 if format == "segy" else 4)
    keys = tuple(f"Modell-{number}-ü" for number in range(len(models)))
    form = check_round_trip(tmp_path, format, models, "nzx", units="km/s", ground=GROUND, keys=keys)
    assert form.ground == (GROUND if format in SAYING_GROUND else Ground())
    assert form.units == ("km/s" if format in SAYING_UNITS else None)
    assert form.keys == (keys if format in SAYING_KEYS else None)


@pytest.mark.parametrize("format", ALL)
def test_unknown_facts_are_not_invented(tmp_path: Path, format: str) -> None:
    form = check_round_trip(tmp_path, format, asymmetric(1), "zx")
    assert (form.ground, form.units, form.keys) == (Ground(), None, None)


@pytest.mark.parametrize("format", SAYING_GROUND)
def test_the_caller_overrides_the_file(tmp_path: Path, format: str) -> None:
    path = written(tmp_path, format, asymmetric(1), "xz", units="km/s", ground=GROUND)
    stated = Ground(dx_m=3.0, origin_z_m=4.0)
    (part,) = open_models(path, units="m/s", ground=stated).parts
    assert part.form.units == "m/s"
    assert part.form.ground == Ground(3.0, 7.5, 1000.0, 4.0)


@pytest.mark.parametrize("format", ALL)
def test_a_non_finite_value_is_found_on_reading_and_named(tmp_path: Path, format: str) -> None:
    models = asymmetric(1 if format == "segy" else 4)
    models[-1, 2, 6] = np.nan
    path = written(tmp_path, format, models)
    (part,) = open_models(path, shape=models.shape if format == "raw" else None).parts
    if len(models) > 1:
        assert np.array_equal(part.read(0, 3), models[:3])
    index = {"n": len(models) - 1, "z": 2, "x": 6}
    place = tuple(index[axis] for axis in part.form.axes)
    with pytest.raises(errors.NonFiniteError) as caught:
        part.read(len(models) - 1, len(models))
    assert f"{part.place}: found nan at index {place}" in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("format", ALL)
def test_models_out_of_range_are_refused(tmp_path: Path, format: str) -> None:
    path = written(tmp_path, format, asymmetric(1))
    (part,) = open_models(path, shape=(1, NZ, NX) if format == "raw" else None).parts
    for start, stop in ((0, 2), (-1, 1), (1, 1), (1, 0)):
        with pytest.raises(errors.OptionError, match=f"found {start} to {stop}"):
            part.read(start, stop)


@pytest.mark.parametrize("format", ALL)
def test_parts_can_be_sent_to_other_processes(tmp_path: Path, format: str) -> None:
    models = asymmetric(1)
    found = open_models(
        written(tmp_path, format, models), shape=(1, NZ, NX) if format == "raw" else None
    )
    list(found.read(0, 1))
    there = pickle.loads(pickle.dumps(found))
    assert there == found
    assert np.array_equal(all_of(there), models)


@pytest.mark.parametrize("format", ALL)
def test_the_hash_is_that_of_the_file_and_changes_with_it(tmp_path: Path, format: str) -> None:
    hints = {"shape": (NZ, NX)} if format == "raw" else {}
    hashes = []
    for name, more in (("a", 0), ("b", 1), ("c", 0)):
        (tmp_path / name).mkdir()
        path = written(tmp_path / name, format, asymmetric(1) + np.float32(more), "zx")
        hashes.append(open_models(path, **hints).sha256())  # type: ignore[arg-type]
    assert hashes[0] == hashes[2] != hashes[1]
    assert all(len(digest) == 32 for digest in hashes)


@pytest.mark.parametrize("format", ALL)
def test_a_failure_while_writing_leaves_nothing_and_keeps_the_old_file(
    tmp_path: Path, format: str
) -> None:
    form = form_for(asymmetric(1))
    path = tmp_path / f"out{FORMATS[format].suffixes[0]}"
    with pytest.raises(RuntimeError), open_sink(path, form) as sink:  # noqa: PT012
        sink.add(asymmetric(1))
        raise RuntimeError
    with pytest.raises(errors.InputShapeError, match="found 0, expected 1"), open_sink(path, form):
        pass
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(errors.OutputExistsError), open_sink(path, form):
        pass
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]
