"""Volumes in files of every format: their axes, spacing and origin go in and come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from volumes import folded_volume

import velcodec
from velcodec.files.boxes import decompress_box
from velcodec.files.compress import compress_files
from velcodec.files.decompress import decompress_file
from velcodec.files.originals import open_originals
from velcodec.formats.container.header import VOLUME_ORDERS
from velcodec.formats.errors import (
    EmptyInputError,
    InputFileError,
    InputShapeError,
    NonFiniteError,
    OptionError,
)
from velcodec.formats.files import open_models
from velcodec.formats.files.form import Ground

VOLUME = folded_volume(9, 7, 11)
GROUND = Ground(12.5, 5.0, 100.0, 50.0, 25.0, 1000.0)
NAMED = ("npz", "h5", "nc", "zarr", "sgy", "rsf")
"""Formats that say where samples lie, and which axis is which."""


@pytest.fixture
def archive() -> velcodec.Archive:
    return velcodec.open(
        velcodec.compress(
            VOLUME, volume=True, lossless=True, dx=12.5, dz=5, dy=25, origin=(100, 50),
            origin_y=1000,
        )
    )  # fmt: skip


@pytest.mark.parametrize("suffix", NAMED)
def test_a_written_volume_is_read_as_the_same_volume(
    archive: velcodec.Archive, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out.{suffix}"
    decompress_file(archive, path)
    (part,) = open_models(path).parts
    assert part.form.sizes == VOLUME.shape
    assert part.form.ground == GROUND
    assert np.array_equal(part.read(0, 1)[0], VOLUME)
    compress_files(path, tmp_path / "again.vlat", lossless=True)
    with velcodec.open(tmp_path / "again.vlat") as again:
        layout = again.layout(0)
        assert (layout.dx_m, layout.dz_m, layout.dy_m) == (12.5, 5.0, 25.0)
        assert (layout.origin_x_m, layout.origin_z_m, layout.origin_y_m) == (100, 50, 1000)
        whole = again.box(0, [slice(None)] * 3)
        assert np.array_equal(
            whole.transpose([layout.axes[-3:].index(axis) for axis in "zyx"]), VOLUME
        )


@pytest.mark.parametrize("suffix", ["npz", "h5", "nc", "zarr", "rsf"])
def test_several_volumes_in_a_file_are_read_as_the_same(tmp_path: Path, suffix: str) -> None:
    stack = np.stack([VOLUME, folded_volume(9, 7, 11, seed=4)])
    path, back = tmp_path / f"out.{suffix}", tmp_path / "back.vlat"
    with velcodec.open(velcodec.compress(stack, volume=True, lossless=True, dy=25)) as archive:
        decompress_file(archive, path)
        if suffix == "rsf":
            compress_files(open_models(path, volume=True), back, lossless=True)
        else:
            compress_files(path, back, lossless=True)
        originals = open_originals(archive, path)
        assert all(
            np.array_equal(model, own)
            for (model, _), own in zip(originals.read(range(2)), stack, strict=True)
        )
    with velcodec.open(back) as archive:
        axes = [archive.layout(0).axes[-3:].index(axis) for axis in "zyx"]
        assert all(np.array_equal(archive[i].transpose(axes), stack[i]) for i in range(2))


@pytest.mark.parametrize("suffix", ["npy", *NAMED])
def test_the_originals_of_a_volume_are_found_whatever_their_format(
    archive: velcodec.Archive, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out.{suffix}"
    decompress_file(archive, path)
    ((model, _),) = open_originals(archive, path).read(range(1))
    assert np.array_equal(model, VOLUME)


@pytest.mark.parametrize("suffix", ["npy", "bin"])
def test_formats_without_names_need_the_option(
    archive: velcodec.Archive, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out.{suffix}"
    decompress_file(archive, path)
    shape = VOLUME.shape if suffix == "bin" else None
    (part,) = open_models(path, volume=True, shape=shape).parts
    assert np.array_equal(part.read(0, 1)[0], VOLUME)
    (sections,) = open_models(path, shape=shape).parts
    assert sections.form.ny is None


@pytest.mark.parametrize("order", VOLUME_ORDERS)
def test_a_stated_order_is_followed(tmp_path: Path, order: str) -> None:
    given = VOLUME.transpose(["zyx".index(axis) for axis in order])
    np.save(tmp_path / "in.npy", np.stack([given, given + 100]))
    (part,) = open_models(tmp_path / "in.npy", volume=True, order=order).parts
    assert np.array_equal(part.read(1, 2)[0], VOLUME + 100)


def test_a_box_is_written_where_it_lies(archive: velcodec.Archive, tmp_path: Path) -> None:
    shape = decompress_box(archive, 0, [(2, 8), (1, 5), (3, 11)], tmp_path / "part.nc")
    assert shape == (6, 4, 8)
    (part,) = open_models(tmp_path / "part.nc").parts
    assert np.array_equal(part.read(0, 1)[0], VOLUME[2:8, 1:5, 3:11])
    assert part.form.ground == Ground(12.5, 5.0, 137.5, 60.0, 25.0, 1025.0)


def test_volumes_with_rows_that_go_up_come_back_so(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", VOLUME[::-1])
    models = open_models(tmp_path / "in.npy", volume=True, z_positive="up")
    compress_files(models, tmp_path / "out.vlat", lossless=True)
    with velcodec.open(tmp_path / "out.vlat") as archive:
        assert np.array_equal(archive[0], VOLUME)
        decompress_file(archive, tmp_path / "back.npy")
    assert np.array_equal(np.load(tmp_path / "back.npy"), VOLUME[::-1])


def test_what_is_no_volume_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", VOLUME[0])
    with pytest.raises(InputShapeError, match=r"expected \(nz, ny, nx\)"):
        open_models(tmp_path / "flat.npy", volume=True)
    with pytest.raises(OptionError, match="order"):
        open_models(tmp_path / "flat.npy", volume=True, order="zx")
    np.save(tmp_path / "nan.npy", np.full((3, 4, 5), np.nan))
    with pytest.raises(NonFiniteError, match=r"expected finite velocities.*--mask nan"):
        open_models(tmp_path / "nan.npy", volume=True).parts[0].read(0, 1)
    with pytest.raises(EmptyInputError, match="every sample is absent"):
        open_models(tmp_path / "nan.npy", volume=True, no_data="nan").parts[0].read(0, 1)


def survey(path: Path, place: np.ndarray, lines: np.ndarray) -> Path:
    """A SEG-Y file of traces at `place` (n, 2) metres and inline and crossline `lines` (n, 2)."""
    segyio = pytest.importorskip("segyio")
    spec, field = segyio.spec(), segyio.TraceField
    spec.format, spec.samples, spec.tracecount = 5, range(9), len(place)
    with segyio.create(str(path), spec) as target:
        target.bin[segyio.BinField.Interval] = 5000
        for number, ((x, y), (inline, crossline)) in enumerate(zip(place, lines, strict=True)):
            target.header[number] = {
                field.CDP_X: round(x), field.CDP_Y: round(y),
                field.INLINE_3D: int(inline), field.CROSSLINE_3D: int(crossline),
                field.SourceGroupScalar: 1,
            }  # fmt: skip
            target.trace[number] = VOLUME[:, int(inline) - 1, int(crossline) - 1]
    return path


def lines_of() -> np.ndarray:
    inline, crossline = np.mgrid[1:8, 1:12]
    return np.stack([inline.ravel(), crossline.ravel()], axis=1)


def test_surveys_are_volumes_whatever_the_order_of_their_traces(tmp_path: Path) -> None:
    lines = lines_of()[np.random.default_rng(0).permutation(77)]
    place = np.stack([500 + 20.0 * lines[:, 1], 900 + 50.0 * lines[:, 0]], axis=1)
    (part,) = open_models(survey(tmp_path / "in.sgy", place, lines)).parts
    assert np.array_equal(part.read(0, 1)[0], VOLUME)
    assert part.form.ground == Ground(20.0, 5.0, 520.0, None, 50.0, 950.0)


def test_a_turned_survey_keeps_its_spacing(tmp_path: Path) -> None:
    lines = lines_of()
    place = np.stack(
        [30 * lines[:, 1] - 40 * lines[:, 0], 40 * lines[:, 1] + 30 * lines[:, 0]], axis=1
    )
    (part,) = open_models(survey(tmp_path / "in.sgy", place, lines)).parts
    assert (part.form.ground.dx_m, part.form.ground.dy_m) == (50.0, 50.0)


def test_surveys_that_are_no_even_grid_are_refused(tmp_path: Path) -> None:
    lines = lines_of()
    place = np.stack([20.0 * lines[:, 1] ** 2, 50.0 * lines[:, 0]], axis=1)
    path = survey(tmp_path / "in.sgy", place, lines)
    with pytest.raises(InputFileError, match="found no even grid"):
        open_models(path)
    (part,) = open_models(path, ground=Ground(dx_m=20.0, dy_m=50.0)).parts
    assert np.array_equal(part.read(0, 1)[0], VOLUME)
    with pytest.raises(InputShapeError, match="expected one for each pair"):
        open_models(survey(tmp_path / "holes.sgy", place[:-1], lines[:-1]))
