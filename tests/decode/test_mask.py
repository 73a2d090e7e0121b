"""Absent samples come back in their places, and every promise holds for the other samples."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
import zarr
from checkers import layered
from click.testing import CliRunner

import velcodec
from velcodec.cli import main
from velcodec.decoder import Decoder
from velcodec.encode import search
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files.compress import compress_job
from velcodec.files.decompress import decompress_file, decompress_stream
from velcodec.files.job import Job
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record import pack_record, unpack_record
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    EmptyInputError,
    MixedShapesError,
    NoDataError,
    NonFiniteError,
    OptionError,
    UnitsError,
    VerificationError,
)
from velcodec.formats.files import Form, open_models, open_sink
from velcodec.formats.no_data import find_absent, no_data_value
from velcodec.masks import at_cells, at_grid

pytestmark = pytest.mark.usefixtures("tiny")

NZ, NX = 14, 18

PROMISES: dict[str, dict[str, Any]] = {
    "nothing asked for": {},
    "45 dB": {"psnr": 45.0},
    "a bound": {"max_error": 12.0},
    "bit for bit": {"lossless": True},
    "a size": {"bytes_per_model": 160.0},
    "latents alone": {"latent_only": True, "psnr": 20.0},
    "latents of tiles": {"latent_only": True, "psnr": 20.0},
    "a bound and latents": {"keep_latent": True, "max_error": 12.0},
    "bit for bit and latents": {"keep_latent": True, "lossless": True},
}

VALUES = [("<f4", "nan"), (">f8", "nan"), ("<f4", -9999), ("<f4", 1e30), ("<i2", -9999), ("|u1", 0)]


def absent(models: int = 3) -> np.ndarray:
    """Absent samples: a topography larger than a tile in the first model, a hole and a corner in
    the second, none in the others.
    """
    gone = np.zeros((models, NZ, NX), dtype=bool)
    height = 2 + np.rint(2 * np.sin(np.arange(NX) / 3)).astype(int)
    gone[0] = np.arange(NZ)[:, None] < height
    gone[0, :9, :9] = True
    gone[1, 5:8, 4:9] = True
    gone[1, -1, -1] = True
    return gone


def masked(dtype: str, no_data: str | float) -> tuple[np.ndarray, np.ndarray]:
    """Models (3, NZ, NX) with `no_data` at absent samples, and the mask of these."""
    models, gone = layered(3, NZ, NX, seed=2), absent()
    scaled = models / 32 if dtype == "|u1" else models
    array = scaled.astype(dtype)
    array[gone] = no_data_value(no_data, np.dtype(dtype))
    return array, gone


@pytest.mark.parametrize("promise", PROMISES)
def test_promises_hold_for_present_samples(
    promise: str, monkeypatch: pytest.MonkeyPatch, tiny: Decoder
) -> None:
    if "tiles" in promise:
        monkeypatch.setattr(search, "TILE_SIZES", (8,))
    array, gone = masked("<f4", "nan")
    settings = PROMISES[promise]
    data = velcodec.compress(array, mask="nan", decoder=tiny, **settings)
    found = velcodec.decompress(data)
    assert found.dtype == array.dtype
    assert np.array_equal(np.isnan(found), gone)
    with velcodec.open(data) as archive:
        assert archive.quality is not None
        for one, before, after, out in zip(archive.quality, array, found, gone, strict=True):
            error = np.abs(before.astype(np.float64) - after)[~out]
            psnr = min(100.0, 10 * np.log10(9e6 / max(np.square(error).mean(), 1e-9)))
            assert one.psnr_db == pytest.approx(psnr, abs=1.0)
            assert one.max_error_m_s >= error.max()
            if "bytes_per_model" not in settings and "max_error" not in settings:
                assert psnr >= settings.get("psnr", 35.0)
            assert error.max() <= settings.get("max_error", np.inf)
    if "lossless" in settings:
        assert found.tobytes() == array.tobytes()
    if "bytes_per_model" in settings:
        assert len(data) <= 3 * settings["bytes_per_model"]


@pytest.mark.parametrize(("dtype", "no_data"), VALUES)
@pytest.mark.parametrize("order", ["zx", "xz"])
def test_no_data_values_come_back_bit_for_bit(dtype: str, no_data: str | float, order: str) -> None:
    array, gone = masked(dtype, no_data)
    if order == "xz":
        array, gone = array.swapaxes(1, 2), gone.swapaxes(1, 2)
    data = velcodec.compress(array, mask=no_data, order=order, lossless=True)
    found = velcodec.decompress(data)
    assert found.dtype == array.dtype
    assert found.tobytes() == np.ascontiguousarray(array).tobytes()
    # With a bound too, although the coded fill differs.
    near = velcodec.decompress(velcodec.compress(array, mask=no_data, order=order, max_error=9.0))
    assert np.array_equal(find_absent(near, no_data), gone)
    there = near[~gone].astype(np.float64)
    assert np.abs(there - array[~gone]).max() <= 9.0


def test_every_nan_comes_back_as_the_quiet_nan() -> None:
    array, gone = masked("<f4", "nan")
    bits = array.view("<u4")
    bits[gone] |= 0x80012345
    found = velcodec.decompress(velcodec.compress(array, mask="nan", lossless=True)).view("<u4")
    assert set(found[gone].tolist()) == {0x7FC00000}
    assert np.array_equal(found[~gone], bits[~gone])


@pytest.mark.parametrize("grid", [(14, 18), (42, 54), (7, 9), (28, 18), (1, 1), (33, 5), (9, 40)])
@pytest.mark.parametrize("average", ["none", "cell", "slowness"])
def test_other_grids_follow_the_nearest_sample(grid: tuple[int, int], average: str) -> None:
    array, gone = masked("<f4", "nan")
    data = velcodec.compress(array, mask="nan", lossless=True)
    nz, nx = grid
    z = ((np.arange(nz) + 0.5) * NZ / nz - 0.5)[:, None, None] - np.arange(NZ)[:, None]
    x = ((np.arange(nx) + 0.5) * NX / nx - 0.5)[:, None] - np.arange(NX)
    distance = (np.square(z)[:, None] + np.square(x)[None, :, None, :]).round(9)
    nearest = distance.reshape(nz, nx, -1).argmin(axis=2)  # the first of equals
    found = velcodec.decompress(data, grid, average=average)
    for one, out in zip(found, gone, strict=True):
        assert np.array_equal(np.isnan(one), out.ravel()[nearest])
    with velcodec.open(data) as archive:
        tensors = archive.decode([0, 1, 2], grid, "cpu", average=average).numpy()
    np.testing.assert_allclose(tensors, found, atol=0.02)
    there = velcodec.decompress(velcodec.compress(array[2:], lossless=True), grid, average=average)
    assert np.array_equal(found[2], there[0])  # a complete model ignores the mask


def test_halfway_between_samples_the_lower_index_counts() -> None:
    gone = np.zeros((4, 4), dtype=bool)
    gone[1, 2] = True
    assert np.argwhere(at_grid(gone, (2, 2))).tolist() == []
    gone[0, 2] = True
    assert np.argwhere(at_grid(gone, (2, 2))).tolist() == [[0, 1]]
    edges = np.array([[2.0, 0.5], [2.001, 0.5], [3.0, 2.0], [3.001, 2.0], [3.0, 2.001], [0.0, 0.0]])
    assert at_cells(gone, edges).tolist() == [False, True, True, False, False, False]


@pytest.mark.parametrize("settings", [{"lossless": True}, {"latent_only": True, "psnr": 20.0}])
def test_points_and_slopes_are_nan_where_samples_are_absent(
    settings: dict[str, Any], tiny: Decoder
) -> None:
    array, gone = masked("<i2", -9999)
    data = velcodec.compress(array, mask=-9999, decoder=tiny, dx=20.0, dz=5.0, **settings)
    with velcodec.open(data) as archive:
        points = archive.geometry(0).sample_points()
        values = archive.sample(0, points + np.array([3.0, -1.0]))
        slopes = archive.gradient(0, points + np.array([3.0, -1.0]))
    assert np.array_equal(np.isnan(values), gone[0].ravel())
    assert np.array_equal(np.isnan(slopes), np.stack([gone[0].ravel()] * 2, axis=1))


def test_interpolated_latents_are_absent_where_the_first_is(tiny: Decoder) -> None:
    array, gone = masked("<f4", "nan")
    data = velcodec.compress(array, mask="nan", decoder=tiny, latent_only=True, psnr=15.0)
    with velcodec.open(data) as archive:
        assert np.array_equal(np.isnan(archive.between(1, 0, 0.5)), gone[1])
    assert np.array_equal(np.isnan(velcodec.preview(data, coefficients=4)), gone)


def test_absent_samples_take_a_few_bytes_and_complete_models_one() -> None:
    array, _ = masked("<f4", "nan")
    whole = layered(3, NZ, NX, seed=2)
    plain = len(velcodec.compress(whole, lossless=True))
    assert len(velcodec.compress(whole, lossless=True, mask="nan")) <= plain + 3 + 8
    assert len(velcodec.compress(array, lossless=True, mask="nan")) <= plain + 3 * NX


def test_models_of_several_shapes_and_files_can_be_masked(tmp_path: Path) -> None:
    array, gone = masked("<f4", "nan")
    np.save(tmp_path / "a.npy", array)
    mixed = [array[0], array[1, :9], array[2].astype("<f8")]
    data = velcodec.compress(mixed, mask="nan", lossless=True)
    with velcodec.open(data) as archive:
        for number, model in enumerate(mixed):
            assert archive[number].tobytes() == np.ascontiguousarray(model).tobytes()
    found = velcodec.decompress(velcodec.compress(tmp_path / "a.npy", mask="nan", lossless=True))
    assert np.array_equal(np.isnan(found), gone)


def test_masked_models_can_be_appended(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    (nan, gone), (number, _) = masked("<f4", "nan"), masked("<f4", -1)
    with velcodec.create(path, description=Description(mask="nan"), lossless=True) as archive:
        archive.add(nan[:1])
        archive.add(nan[1:])
    with velcodec.append(path, description=Description(mask=-1), lossless=True) as archive:
        archive.add(number)
    with velcodec.append(path, lossless=True) as archive:
        archive.add(number[2:])
    with velcodec.open(path) as archive:
        found = archive[:]
        assert [layout.no_data for layout in archive.layouts] == ["nan", -1, None]
    assert np.array_equal(np.isnan(found[:3]), gone)
    assert np.array_equal(found[3:6], number)
    assert np.array_equal(found[6], number[2])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".nc", ".zarr", ".rsf", ".raw"])
@pytest.mark.parametrize("no_data", ["nan", -9999])
def test_masked_files_of_every_format_round_trip(
    tmp_path: Path, suffix: str, no_data: str | float
) -> None:
    array, gone = masked("<f4", no_data)
    path, shape = tmp_path / f"in{suffix}", array.shape if suffix == ".raw" else None
    with open_sink(path, Form(3, NZ, NX, dtype="<f4")) as sink:
        sink.add(array)
    models = open_models(path, shape=shape, no_data=no_data)
    out = io.BytesIO()
    description = Description(mask=no_data)
    compress_job(Job(models, description, Coding(Target(lossless=True))), out)
    found = velcodec.decompress(out.getvalue())
    if models.parts[0].form.order == "xz":
        found = found.swapaxes(1, 2)
    assert np.array_equal(find_absent(found, no_data), gone)
    assert np.array_equal(found[~gone], array[~gone])
    if no_data == "nan":
        with pytest.raises(NonFiniteError, match=r"--mask nan"):
            list(open_models(path, shape=shape).read(0, 3))


DECLARED = {
    ".nc": lambda path: xarray.open_dataset(path, engine="h5netcdf"),
    ".zarr": lambda path: xarray.open_zarr(path, consolidated=False),
}


@pytest.mark.parametrize(("dtype", "no_data"), [*VALUES, ("<i8", -(2**60) - 1)])
@pytest.mark.parametrize("suffix", [".nc", ".zarr", ".h5"])
def test_written_files_declare_absent_samples_to_other_programs(
    tmp_path: Path, suffix: str, dtype: str, no_data: str | float
) -> None:
    array, gone = masked(dtype, no_data)
    path = tmp_path / f"out{suffix}"
    with velcodec.open(velcodec.compress(array, mask=no_data, lossless=True)) as archive:
        decompress_file(archive, path)
    expected = no_data_value(no_data, np.dtype(dtype))
    if suffix != ".zarr":
        with h5py.File(path) as source:
            stored = source["velocity"]
            attribute = stored.attrs["_FillValue"]
            kinds = {np.asarray(attribute).dtype, stored.dtype, np.dtype(dtype)}
            assert len({kind.newbyteorder("=") for kind in kinds}) == 1
            for declared in (np.asarray(attribute).item(), stored.fillvalue.item()):
                assert np.array_equal(declared, expected.item(), equal_nan=no_data == "nan")
    else:
        fill = zarr.open_group(path, mode="r")["velocity"].fill_value
        assert np.array_equal(fill, expected, equal_nan=no_data == "nan")
    if suffix in DECLARED:
        with DECLARED[suffix](path) as opened:
            assert np.array_equal(np.isnan(opened["velocity"].values), gone)
    (part,) = open_models(path, no_data=no_data).parts
    assert np.array_equal(part.read(0, 3), array, equal_nan=no_data == "nan")
    if no_data != "nan":
        with pytest.raises(NoDataError, match="marked as absent"):
            open_models(path).parts[0].read(0, 3)


def test_a_file_of_complete_models_declares_no_fill_value(tmp_path: Path) -> None:
    with velcodec.open(velcodec.compress(layered(2, NZ, NX, seed=2), lossless=True)) as archive:
        for suffix in (".nc", ".zarr", ".h5"):
            decompress_file(archive, tmp_path / f"out{suffix}")
    for name in ("out.nc", "out.h5"):
        with h5py.File(tmp_path / name) as source:
            assert "_FillValue" not in source["velocity"].attrs
    assert "_FillValue" not in zarr.open_group(tmp_path / "out.zarr", mode="r")["velocity"].attrs


def test_models_of_two_no_data_values_do_not_share_a_file(tmp_path: Path) -> None:
    with_nan, _ = masked("<f4", "nan")
    with_number, _ = masked("<f4", -9999)
    one, other = (tmp_path / name for name in ("nan.vlat", "number.vlat"))
    one.write_bytes(velcodec.compress(with_nan, mask="nan", lossless=True))
    other.write_bytes(velcodec.compress(with_number, mask=-9999, lossless=True))
    velcodec.cat([one, other], tmp_path / "both.vlat")
    words = "model 3: its absent samples are -9999, those of models before it nan"
    with velcodec.open(tmp_path / "both.vlat") as archive:
        for suffix in (".npy", ".nc"):
            with pytest.raises(MixedShapesError, match=words):
                decompress_file(archive, tmp_path / f"out{suffix}")
        with pytest.raises(MixedShapesError, match=words):
            decompress_stream(archive, io.BytesIO())


def test_unsuitable_masks_are_refused() -> None:
    array, _ = masked("<f4", "nan")
    with pytest.raises(NonFiniteError, match=r"found nan at index \(0, 0, 0\).*; --mask nan"):
        velcodec.compress(array)
    with pytest.raises(NonFiniteError, match="found nan"):
        velcodec.compress(array, mask=-9999)
    array[2, 3, 4] = np.inf
    with pytest.raises(NonFiniteError, match=r"found inf at index \(2, 3, 4\)"):
        velcodec.compress(array, mask="nan")
    array[2, 3, 4] = 1.0
    array[1] = np.nan
    with pytest.raises(EmptyInputError, match=r"model 1: every sample is absent \(nan\)"):
        velcodec.compress(array, mask="nan")
    with pytest.raises(OptionError, match="mask: found nan, expected what int16 can hold"):
        velcodec.compress(np.ones((3, 4), "<i2"), mask="nan")
    with pytest.raises(OptionError, match="mask: found 70000, expected what int16 can hold"):
        velcodec.compress(np.ones((3, 4), "<i2"), mask=70000)
    with pytest.raises(OptionError, match="mask: found 'none', expected nan or a number"):
        velcodec.compress(np.ones((3, 4), "<f4"), mask="none")


@pytest.mark.parametrize("no_data", ["nan", -9999])
def test_unstated_units_are_judged_by_present_samples(
    no_data: str | float,
) -> None:
    array, gone = masked("<f4", no_data)
    slow = np.where(gone, array, array / 1000).astype("<f4")
    with pytest.raises(UnitsError, match=r"model 0: found values from \d\.\d+ to \d\.\d+ and no"):
        velcodec.compress(slow, mask=no_data, max_error=9.0)
    found = velcodec.decompress(velcodec.compress(slow, mask=no_data, units="km/s", max_error=9.0))
    assert np.array_equal(find_absent(found, no_data), gone)
    assert np.abs(found - slow)[~gone].max() <= 0.009 * (1 + 1e-6)


@pytest.mark.parametrize("settings", [{}, {"max_error": 5.0}, {"lossless": True}])
def test_a_no_data_value_among_the_velocities_is_refused(settings: dict[str, Any]) -> None:
    models = np.array([np.full((6, 8), 1500), np.full((6, 8), 3500)], dtype="<i2")
    models[:, :2] = 2000
    words = "mask: found 2000, which lies among the velocities, 1500 to 3500"
    with pytest.raises(OptionError, match=words):
        velcodec.compress(models, mask=2000, **settings)
    for value in (1499, 3501):
        models[:, :2] = value
        found = velcodec.decompress(velcodec.compress(models, mask=value, **settings))
        assert np.array_equal(found == value, models == value)


def test_a_damaged_mask_names_its_record() -> None:
    array, _ = masked("<f4", "nan")
    with VlatReader(velcodec.compress(array, mask="nan", lossless=True)) as reader:
        header, payloads = reader.header, list(reader.payloads())
    record = unpack_record(payloads[1], header)
    assert record.absent
    for stream in (b"", record.absent[:-1], record.absent + b"12", b"\xff" * 9):
        out = io.BytesIO()
        writer = VlatWriter(out, header)
        bad = pack_record(type(record)(**{**vars(record), "absent": stream}), header)
        writer.add_many([payloads[0], bad])
        writer.close()
        with velcodec.open(out.getvalue()) as archive:
            assert archive[0].shape == (NZ, NX)
            with pytest.raises(CorruptError, match="record 1"):
                _ = archive[1]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("dtype", "no_data"), [("<f4", "nan"), ("<i2", -9999)])
def test_the_commands_keep_absent_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, no_data: str | float
) -> None:
    monkeypatch.chdir(tmp_path)
    array, gone = masked(dtype, no_data)
    np.save("in.npy", array)
    option = f"--mask={no_data}"
    assert run("compress", "in.npy", "a.vlat", option, "--lossless").exit_code == 0
    assert run("append", "in.npy", "a.vlat", option, "--max-error", 5).exit_code == 0
    assert run("verify", "a.vlat", "--against", "in.npy", "--against", "in.npy").exit_code == 0
    assert run("decompress", "a.vlat", "out.npy").exit_code == 0
    out = np.load("out.npy")
    assert np.array_equal(out[:3], array, equal_nan=no_data == "nan")
    assert np.array_equal(find_absent(out[3:], no_data), gone)
    assert f"samples of {no_data}" in run("info", "a.vlat").stdout
    layouts = json.loads(run("info", "a.vlat", "--json").stdout)["layouts"]
    assert {layout["no_data"] for layout in layouts} == {no_data}
    shown = run("evaluate", "in.npy", "a.vlat", option, "--max-error", 5, "--json")
    figures = json.loads(shown.stdout)["files"]
    assert [one["models"] for one in figures] == [3, 6]
    assert all(one["max_error_m_s"] <= 5.0 and one["psnr_db"] > 55.0 for one in figures)
    assert run("evaluate", "a.vlat", "--max-error", 5).exit_code == 0
    refused = run("compress", "in.npy", "b.vlat", "--mask", "water")
    assert refused.exit_code == 2
    assert "expected nan or a number" in refused.stderr


def test_ls_and_info_show_the_share_of_absent_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array, gone = masked("<f4", "nan")
    Path("a.vlat").write_bytes(velcodec.compress(array, mask="nan", lossless=True))
    rows = json.loads(run("ls", "a.vlat", "--json").stdout)["rows"]
    assert [row["absent"] for row in rows] == [out.mean() for out in gone]
    shown = run("ls", "a.vlat").stdout.splitlines()
    assert [line.split()[-2:] for line in shown[1:3]] == [
        [f"{100 * out.mean():.1f}", "%"] for out in gone[:2]
    ]
    assert shown[3].split()[-1] == "-"
    told = json.loads(run("info", "a.vlat", "--json").stdout)["absent"]
    assert told == {"models": 2, "share": pytest.approx(gone.mean())}
    assert f"{100 * gone.mean():.1f} % of all samples, in 2 models" in run("info", "a.vlat").stdout
    Path("all.vlat").write_bytes(velcodec.compress(array[2], mask="nan", lossless=True))
    assert "absent" not in run("ls", "all.vlat").stdout
    assert "of all samples" not in run("info", "all.vlat").stdout


def test_verify_refuses_an_original_with_another_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array, _ = masked("<f4", "nan")
    np.save("in.npy", array)
    assert run("compress", "in.npy", "a.vlat", "--mask", "nan", "--lossless").exit_code == 0
    array[1, 0, 0] = np.nan
    np.save("other.npy", array)
    result = run("verify", "a.vlat", "--against", "other.npy")
    assert result.exit_code == VerificationError.exit_code
    assert "model 1: found 17 absent samples (nan), expected the 16 of the archive" in result.stderr


def test_data_sets_give_the_no_data_value_or_nan(tmp_path: Path) -> None:
    from velcodec.torch import VelocityDataset

    array, gone = masked("<i2", -9999)
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(array, mask=-9999, lossless=True))
    plain, scaled = (VelocityDataset(path, value_range=r) for r in (None, (1000.0, 5000.0)))
    for number in range(3):
        assert np.array_equal(plain[number][0].numpy(), array[number].astype(np.float32))
        one = scaled[number][0].numpy()
        assert np.array_equal(np.isnan(one), gone[number])
    xr = pytest.importorskip("xarray")
    with xr.open_dataset(path, engine="velcodec") as data:
        assert data.velocity.attrs["_FillValue"] == -9999
        assert np.array_equal(data.velocity.values, array)
    array, gone = masked("<f4", "nan")
    path.write_bytes(velcodec.compress(array, mask="nan", lossless=True))
    with xr.open_dataset(path, engine="velcodec") as data:
        assert "_FillValue" not in data.velocity.attrs
        assert np.array_equal(np.isnan(data.velocity.values), gone)
