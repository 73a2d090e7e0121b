"""An archive in xarray equals the array that velcodec decodes, and only requested models are
decoded.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered
from latent_archives import latent_archive

import velcodec
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import (
    InputFileError,
    MixedShapesError,
    NotVlatError,
    OptionError,
    ResolutionError,
)

xr = pytest.importorskip("xarray")
pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate")

from velcodec.interop import xarray_backend  # noqa: E402
from velcodec.interop.xarray_backend import VelcodecBackend  # noqa: E402


def open_dataset(path: Any, **options: Any) -> Any:
    return xr.open_dataset(path, engine=VelcodecBackend, **options)


def test_opening_decodes_nothing(exact: Path, decoded: list[list[int]]) -> None:
    for chunks in (None, {}):
        dataset = open_dataset(exact, chunks=chunks)
        repr(dataset)
        dataset.velocity.isel(model=slice(1, 3), z=2)
        assert decoded == []


def test_there_is_one_variable_over_model_z_and_x(exact: Path) -> None:
    dataset = open_dataset(exact)
    assert list(dataset.data_vars) == ["velocity"]
    assert dataset.velocity.dims == ("model", "z", "x")
    assert dataset.velocity.dtype == np.float32
    assert dataset.velocity.attrs["units"] == "m/s"


def test_values_are_those_that_velcodec_decodes(exact: Path, models: np.ndarray) -> None:
    np.testing.assert_array_equal(open_dataset(exact).velocity.values, models)
    np.testing.assert_array_equal(models, velcodec.decompress(exact))


def test_x_first_archives_are_model_z_x_too(exact_xz: Path, models: np.ndarray) -> None:
    velocity = open_dataset(exact_xz).velocity
    assert velocity.dims == ("model", "z", "x")
    np.testing.assert_array_equal(velocity.values, models)
    np.testing.assert_array_equal(velocity[2, 3:, 1].values, models[2, 3:, 1])
    np.testing.assert_array_equal(velocity.values.swapaxes(1, 2), velcodec.decompress(exact_xz))


@pytest.mark.parametrize("name", ["exact", "exact_xz"])
def test_positions_are_in_metres(name: str, request: pytest.FixtureRequest) -> None:
    dataset = open_dataset(request.getfixturevalue(name))
    np.testing.assert_array_equal(dataset.z, 40.0 + 5.0 * np.arange(12))
    np.testing.assert_array_equal(dataset.x, 1000.0 + 25.0 * np.arange(9))
    assert dataset.z.attrs["units"] == dataset.x.attrs["units"] == "m"
    assert dataset.z.attrs["positive"] == "down"


@pytest.mark.parametrize("res", [(40, 8), (7, 33), 1])
def test_positions_at_a_resolution_are_those_of_its_samples(latents: Path, res: Any) -> None:
    dataset = open_dataset(latents, res=res)
    rows, columns = np.broadcast_to(res, 2)
    np.testing.assert_allclose(dataset.z, 40 + 5 * ((np.arange(rows) + 0.5) * 20 / rows - 0.5))
    x = 1000 + 25 * ((np.arange(columns) + 0.5) * 16 / columns - 0.5)
    np.testing.assert_allclose(dataset.x, x)
    points = velcodec.open(latents).geometry().sample_points(rows, columns)
    np.testing.assert_allclose(dataset.x.values, points[:columns, 0])
    np.testing.assert_allclose(dataset.z.values, points[::columns, 1])


def test_a_value_lies_where_its_position_says(latents: Path) -> None:
    archive = velcodec.open(latents)
    dataset = open_dataset(latents, res=(31, 13))
    one = dataset.velocity[1, 20, 11]
    speed = archive.sample(1, [[float(one.x), float(one.z)]])
    np.testing.assert_allclose(float(one), speed[0], rtol=1e-5)


@pytest.mark.parametrize("res", [(40, 8), 25])
def test_any_resolution_is_rendered(latents: Path, res: Any) -> None:
    velocity = open_dataset(latents, res=res).velocity
    np.testing.assert_array_equal(velocity.values, velcodec.decompress(latents, res))


def test_keys_name_the_models_and_numbers_where_there_are_none(
    exact: Path, exact_xz: Path, models: np.ndarray
) -> None:
    np.testing.assert_array_equal(open_dataset(exact).model, np.arange(7))
    named = open_dataset(exact_xz).velocity.sel(model=["model-5", "model-0"])
    np.testing.assert_array_equal(named, models[[5, 0]])


def test_descriptions_in_the_archive_are_attributes(exact: Path) -> None:
    attributes = open_dataset(exact).attrs
    header = velcodec.open(exact).header
    assert attributes["decoder"] == header.decoder_name
    assert attributes["decoder_hash"] == header.decoder_hash.hex()
    assert attributes["source"] == "drawn for a test"
    assert attributes["license"] == "CC0-1.0"
    assert "source_sha256" not in attributes


def test_columns_of_the_models_are_coordinates(
    exact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"family": np.array(list("aabbccd")), "velocity": np.zeros(7)}
    monkeypatch.setattr(xarray_backend, "model_fields", lambda archive: columns)
    dataset = open_dataset(exact)
    assert dataset.family.dims == ("model",)
    np.testing.assert_array_equal(dataset.velocity.isel(model=dataset.family == "b").model, [2, 3])


KEYS: list[tuple[Any, Any, Any]] = [
    (slice(None), slice(None), slice(None)),
    (3, slice(None), slice(None)),
    (-1, -2, -3),
    (slice(1, 6, 2), slice(None, None, -1), slice(7, 2, -2)),
    ([5, 0, 0, 3], slice(2, 5), slice(None)),
    ([-1, 2], [11, 0, 4], slice(None)),
    (slice(None), 4, [8, 1]),
    (slice(3, 3), slice(None), [0, 1]),
    ([], 0, 0),
    (2, [1, 3], 5),
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["exact", "exact_xz"])
def test_numbers_slices_and_lists_pick_as_from_the_array(
    key: tuple[Any, ...], name: str, models: np.ndarray, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    lazy = open_dataset(path).velocity[key]
    whole = xr.DataArray(models, dims=("model", "z", "x"))[key]
    assert lazy.dims == whole.dims
    assert lazy.dtype == models.dtype
    np.testing.assert_array_equal(lazy.values, whole.values)


def test_masks_and_points_pick_as_from_the_array(exact: Path, models: np.ndarray) -> None:
    velocity = open_dataset(exact).velocity
    mask = models[:, 6, 4] > np.median(models[:, 6, 4])
    np.testing.assert_array_equal(velocity[mask].values, models[mask])
    np.testing.assert_array_equal(velocity[:, :, np.arange(9) % 2 == 0].values, models[:, :, ::2])
    along = {n: xr.DataArray(v, dims="point") for n, v in (("z", [0, 5, 11]), ("x", [8, 2, 0]))}
    np.testing.assert_array_equal(velocity.isel(along).values, models[:, [0, 5, 11], [8, 2, 0]])
    np.testing.assert_array_equal(velocity[4:][[0, 2]][:, 3].values, models[[4, 6], 3])


def test_only_the_models_asked_for_are_decoded(exact: Path, decoded: list[list[int]]) -> None:
    open_dataset(exact).velocity[[5, 1], 3].values  # noqa: B018
    assert [sorted(numbers) for numbers in decoded] == [[1, 5]]


def test_many_models_are_decoded_a_bounded_number_at_a_time(
    exact: Path, models: np.ndarray, decoded: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xarray_backend, "MODELS_PER_CHUNK", 3)
    np.testing.assert_array_equal(open_dataset(exact).velocity.values, models)
    assert decoded == [[0, 1, 2], [3, 4, 5], [6]]


def test_chunks_are_of_some_hundred_models_or_fewer_large_ones() -> None:
    assert xarray_backend.chunk_shape((100_000, 70, 70)) == (256, 70, 70)
    assert xarray_backend.chunk_shape((9, 70, 70)) == (9, 70, 70)
    assert xarray_backend.chunk_shape((100, 2048, 1024)) == (8, 2048, 1024)
    assert xarray_backend.chunk_shape((100, 20_000, 20_000)) == (1, 20_000, 20_000)


@pytest.mark.parametrize("name", ["exact", "latents"])
@pytest.mark.parametrize("average", ["none", "cell", "slowness"])
def test_samples_and_latents_have_any_grid_and_means_over_its_cells(
    name: str, average: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    velocity = open_dataset(path, res=(24, 5), average=average).velocity
    expected = velcodec.decompress(path, (24, 5), average=average)
    np.testing.assert_array_equal(velocity.values, expected)
    if average != "none":
        assert (expected != velcodec.decompress(path, (24, 5))).any()


def test_an_unknown_average_is_refused_on_opening(exact: Path) -> None:
    with pytest.raises(OptionError, match="average: expected one of none, cell, slowness"):
        open_dataset(exact, average="median")


def test_mixed_shapes_are_refused_unless_one_resolution_is_given(mixed: Path) -> None:
    with pytest.raises(MixedShapesError, match="12x9"):
        open_dataset(mixed)
    dataset = open_dataset(mixed, res=(16, 10))
    expected = velcodec.decompress(mixed, (16, 10))
    np.testing.assert_array_equal(dataset.velocity.values, expected)


def test_models_of_one_shape_are_read_from_an_archive_that_knew_others(
    second_of_mixed: Path,
) -> None:
    dataset = open_dataset(second_of_mixed)
    np.testing.assert_array_equal(dataset.velocity.values, velcodec.decompress(second_of_mixed))
    assert dataset.sizes == {"model": 1, "z": 8, "x": 20}
    assert {"z", "x"} <= set(dataset.coords)


def test_licences_of_all_parts_are_listed(exact: Path, tmp_path: Path) -> None:
    other = velcodec.compress(np.full((1, 12, 9), 2000.0, "f4"), lossless=True, licence="CC BY")
    velcodec.cat([exact, other], tmp_path / "both.vlat")
    dataset = open_dataset(tmp_path / "both.vlat")
    assert dataset.attrs["license"] == "CC0-1.0; CC BY"
    assert dataset.attrs["source"] == "drawn for a test"


def test_models_on_different_ground_have_separate_positions(mixed: Path) -> None:
    dataset = open_dataset(mixed, res=(16, 10))
    assert not {"z", "x"} & set(dataset.coords)
    with velcodec.open(mixed) as archive:
        for number in range(3):
            points = archive.geometry(number).sample_points(16, 10)
            own = dataset.isel(model=number)
            x = own.x_first.item() + own.x_step.item() * np.arange(10)
            z = own.z_first.item() + own.z_step.item() * np.arange(16)
            np.testing.assert_allclose(x, points[:10, 0])
            np.testing.assert_allclose(z, points[::10, 1])


def test_errors_are_those_of_velcodec(tmp_path: Path, exact: Path, latents: Path) -> None:
    other = tmp_path / "other.vlat"
    other.write_bytes(b"nothing of the kind")
    with pytest.raises(NotVlatError, match=r"other\.vlat"):
        open_dataset(other)
    with pytest.raises(ResolutionError):
        open_dataset(exact, res=0)
    with pytest.raises(ResolutionError, match="allow_large"):
        open_dataset(exact, res=20_000)
    assert open_dataset(exact, res=20_000, allow_large=True).velocity.shape == (7, 20_000, 20_000)
    with pytest.raises(OptionError, match="device"):
        open_dataset(latents, device="abacus").velocity.load()


def test_chunks_are_computed_in_threads(exact: Path, models: np.ndarray) -> None:
    dask = pytest.importorskip("dask")
    velocity = open_dataset(exact, chunks={"model": 1, "z": 5}).velocity
    assert velocity.chunks == ((1,) * 7, (5, 5, 2), (9,))
    with dask.config.set(scheduler="threads", num_workers=4):
        np.testing.assert_array_equal(velocity.compute(), models)
        np.testing.assert_allclose(velocity.mean("z").compute(), models.mean(1), rtol=1e-5)
    assert open_dataset(exact, chunks={}).velocity.chunks == ((7,), (12,), (9,))


@pytest.mark.parametrize("chunks", [None, {"model": 3}])
def test_it_pickles_by_its_path(exact: Path, models: np.ndarray, chunks: Any) -> None:
    dataset = open_dataset(exact, chunks=chunks)
    dataset.velocity[0].load()
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    np.testing.assert_array_equal(pickle.loads(data).velocity.values, models)


def test_another_process_computes_it(exact: Path, models: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "dataset").write_bytes(pickle.dumps(open_dataset(exact, chunks={"model": 3})))
    code = (
        "import pickle, sys, pathlib\n"
        "dataset = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print('torch' in sys.modules, float(dataset.velocity[4, 3, 2]))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "dataset")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(float(models[4, 3, 2]))]


def test_several_archives_are_one_data_set(exact: Path, models: np.ndarray) -> None:
    pytest.importorskip("dask")
    both = xr.open_mfdataset(
        [exact, exact], engine=VelcodecBackend, combine="nested", concat_dim="model"
    )
    np.testing.assert_array_equal(both.velocity, np.concatenate([models, models]))


def test_closing_closes_the_file_and_reading_opens_it_again(
    exact: Path, models: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[velcodec.Archive] = []
    plain: Callable[..., velcodec.Archive] = velcodec.open

    def spy(*args: Any, **options: Any) -> velcodec.Archive:
        opened.append(plain(*args, **options))
        return opened[-1]

    monkeypatch.setattr(velcodec, "open", spy)
    with open_dataset(exact) as dataset:
        dataset.velocity[0].values  # noqa: B018
        dataset.velocity[1].values  # noqa: B018
    assert len(opened) == 1
    with pytest.raises(InputFileError, match="it was closed"):
        opened[0].decode(2)
    np.testing.assert_array_equal(dataset.velocity[2].values, models[2])
    assert len(opened) == 2


def test_variables_can_be_dropped(exact: Path) -> None:
    dataset = open_dataset(exact, drop_variables=["velocity", "absent"])
    assert set(dataset.variables) == {"model", "z", "x"}


def test_only_vlat_files_are_recognised(exact: Path) -> None:
    engine = VelcodecBackend()
    assert engine.guess_can_open(exact)
    assert engine.guess_can_open(str(exact).upper())
    assert not engine.guess_can_open("models.nc")
    assert not engine.guess_can_open(exact.read_bytes())


def test_archives_in_memory_open_too(exact: Path, models: np.ndarray) -> None:
    np.testing.assert_array_equal(open_dataset(exact.read_bytes()).velocity, models)


@pytest.mark.parametrize(("dtype", "units"), [("int16", "m/s"), (">f4", "m/s"), ("f8", "km/s")])
def test_dtype_and_units_are_those_of_the_archive(tmp_path: Path, dtype: str, units: str) -> None:
    models = layered(2, 8, 6).astype(dtype)
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(models, lossless=True, units=units))
    velocity = open_dataset(path).velocity
    assert velocity.attrs["units"] == units
    assert velocity.dtype == models.dtype
    np.testing.assert_array_equal(velocity.values, models)


def test_x_first_renderings_are_model_z_x_too(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    layout = Layout(20, 16, axes="nxz", dx_m=25.0, dz_m=5.0)
    path.write_bytes(latent_archive(velcodec.load_decoder(), layout))
    dataset = open_dataset(path, res=(10, 24))
    assert dict(dataset.sizes) == {"model": 3, "z": 10, "x": 24}
    expected = velcodec.decompress(path, (10, 24)).swapaxes(1, 2)
    np.testing.assert_array_equal(dataset.velocity.values, expected)
