"""Spacing and origin: what is stated is believed, and where nothing is, an archive's own apply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from volumes import folded_volume

import velcodec
from velcodec.cli.main import main
from velcodec.encode.description import Description
from velcodec.formats.errors import OptionError

MODELS = np.full((2, 9, 8), 2000.0, np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(MODELS, lossless=True, dx=25, dz=5, origin=(100, 50)))
    return path


def test_appended_models_lie_where_those_of_the_archive_do(path: Path) -> None:
    with velcodec.append(path, lossless=True) as writer:
        writer.add(MODELS + 1)
    with velcodec.append(path, lossless=True, description=Description(dx=10.0)) as writer:
        writer.add(MODELS + 2)
    with velcodec.open(path) as archive:
        assert archive.geometry(2) == archive.geometry(0)
        assert archive.geometry(4).spacing == (5.0, 10.0)
        assert archive.geometry(4).origin == archive.geometry(0).origin


def test_appended_files_do_too(path: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", MODELS + 1)
    result = CliRunner().invoke(main, ["append", str(tmp_path / "b.npy"), str(path), "--lossless"])
    assert result.exit_code == 0, result.output
    with velcodec.open(path) as archive:
        assert len(archive.layouts) == 1
        assert archive.geometry(3) == archive.geometry(0)


def test_nothing_is_taken_from_an_archive_of_several_spacings(path: Path) -> None:
    with velcodec.append(path, lossless=True, description=Description(dx=20.0)) as writer:
        writer.add(MODELS + 1)
    with velcodec.append(path, lossless=True) as writer:
        writer.add(MODELS + 2)
    with velcodec.open(path) as archive:
        assert archive.geometry(4).spacing == (5.0, 10.0)


def test_appended_volumes_have_the_archive_s_y(tmp_path: Path) -> None:
    path, volume = tmp_path / "v.vlat", folded_volume(6, 7, 8)
    path.write_bytes(velcodec.compress(volume, volume=True, lossless=True, dy=25, origin_y=7))
    with velcodec.append(path, lossless=True, description=Description(volume=True)) as writer:
        writer.add(volume[::-1])
    with velcodec.open(path) as archive:
        assert archive.geometry(1) == archive.geometry(0)
        assert (archive.geometry(1).dy_m, archive.geometry(1).origin_y_m) == (25.0, 7.0)


def test_a_stated_default_goes_before_coordinates() -> None:
    xr = pytest.importorskip("xarray")
    model = xr.DataArray(MODELS[0], dims=("z", "x"), coords={"x": 25.0 * np.arange(8)})
    for stated, dx in (({}, 25.0), ({"dx": 10.0}, 10.0)):
        with velcodec.open(velcodec.compress(model, lossless=True, **stated)) as archive:
            assert archive.geometry().dx_m == dx


def test_orders_of_volumes_and_sections_are_told_apart() -> None:
    volume = folded_volume(6, 7, 8)
    with pytest.raises(OptionError, match="volumes say --volume"):
        velcodec.compress(volume, order="yxz")
    with pytest.raises(OptionError, match="order: found 'zx'"):
        velcodec.compress(volume, volume=True, order="zx")
    with pytest.raises(OptionError, match="dy, origin_y: found them for sections"):
        velcodec.compress(volume, dy=10.0)
