"""Volumes as xarray data sets: any grid and means, lazily, in brick-shaped chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from volumes import folded_volume

import velcodec
from velcodec.encode import volume_coder as encoding
from velcodec.formats.errors import MixedShapesError, OptionError, ResolutionError

xr = pytest.importorskip("xarray")

SHAPE = (12, 14, 16)
FINE = (24, 7, 32)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two volumes of several bricks."""
    monkeypatch.setattr(encoding, "BRICK", (8, 8, 8))
    stack = np.stack([folded_volume(*SHAPE), folded_volume(*SHAPE, seed=3)])
    path = tmp_path / "two.vlat"
    path.write_bytes(
        velcodec.compress(
            stack.transpose(0, 2, 3, 1), volume=True, order="yxz", lossless=True, dx=20, dy=25,
            dz=5, origin=(100, 50), origin_y=1000,
        )
    )  # fmt: skip
    return path


def opened(path: Path, **options: Any) -> Any:
    return xr.open_dataset(path, engine="velcodec", **options)


@pytest.mark.parametrize("options", [{"res": FINE}, {"average": "cell"},
                                     {"res": FINE, "average": "slowness"}], ids=str)  # fmt: skip
def test_volumes_are_rendered_at_any_grid(path: Path, options: dict[str, Any]) -> None:
    velocity = opened(path, **options).velocity
    assert velocity.dims == ("model", "z", "y", "x")
    with velcodec.open(path) as archive:
        expected = np.stack([archive.decode(n, **options) for n in (0, 1)]).transpose(0, 3, 1, 2)
    assert velocity.shape == expected.shape
    assert velocity.dtype == expected.dtype
    assert np.allclose(velocity.values, expected, atol=1e-2)
    part = velocity.isel(model=1, z=[5, 2], y=slice(3, 6), x=9)
    assert np.allclose(part.values, expected[1][[5, 2], 3:6, 9], atol=1e-2)


def test_positions_are_those_of_the_rendered_samples(path: Path) -> None:
    dataset = opened(path, res=FINE)
    assert np.allclose(dataset.z, 50 + 2.5 * np.arange(24) - 1.25)
    assert np.allclose(dataset.y, 1000 + 50 * np.arange(7) + 12.5)
    assert np.allclose(dataset.x, 100 + 10 * np.arange(32) - 5)
    assert dataset.y.attrs["units"] == "m"
    with velcodec.open(path) as archive:
        point = [float(dataset[name][4]) for name in "xyz"]
        there = archive.sample(1, [point])[0]
        assert float(dataset.velocity[1, 4, 4, 4]) == pytest.approx(there, abs=0.01)
        for name, metres in zip("zyx", archive.geometry(0).axes(), strict=True):
            assert np.allclose(opened(path)[name], metres)


def test_chunks_are_bricks_at_every_grid(path: Path) -> None:
    pytest.importorskip("dask.array")
    assert opened(path, chunks={}).velocity.chunks == ((1, 1), (8, 4), (8, 6), (8, 8))
    chunked = opened(path, chunks={}, res=FINE, average="cell").velocity
    assert chunked.chunks == ((1, 1), (16, 8), (4, 3), (16, 16))
    whole = opened(path, res=FINE, average="cell").velocity
    assert np.allclose(chunked.mean("y").compute(), whole.mean("y"), atol=1e-2)


def test_no_decoder_is_named_that_renders_nothing(path: Path) -> None:
    assert not {"decoder", "decoder_hash"} & set(opened(path).attrs)


def test_volumes_of_several_shapes_are_read_at_one_grid(path: Path) -> None:
    other = folded_volume(6, 7, 8).transpose(1, 2, 0)
    with velcodec.append(path, lossless=True, description=velcodec.Description(
        volume=True, order="yxz", dx=40, dy=50, dz=10)) as writer:  # fmt: skip
        writer.add(other)
    with pytest.raises(MixedShapesError):
        opened(path)
    dataset = opened(path, res=6)
    assert dataset.velocity.shape == (3, 6, 6, 6)
    assert np.allclose(dataset.y_step, [14 * 25 / 6] * 2 + [7 * 50 / 6])
    with velcodec.open(path) as archive:
        assert np.allclose(dataset.velocity[2], archive.decode(2, 6).transpose(2, 0, 1), atol=1e-2)


def test_wrong_grids_and_averages_are_refused_on_opening(path: Path) -> None:
    with pytest.raises(ResolutionError, match="nz, ny, nx"):
        opened(path, res=(4, 4))
    with pytest.raises(OptionError, match="average"):
        opened(path, average="median")
