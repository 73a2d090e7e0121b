"""Sections of a volume through any of its points, and what the server tells of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from volumes import folded_volume, smooth_volume

import velcodec
from velcodec.decode.volumes import StoredVolume
from velcodec.files.originals import open_originals
from velcodec.formats.errors import InputShapeError, OptionError, VolumeError
from velcodec.view.model import ViewedModel, Window
from velcodec.view.thumbnails import thumbnails
from velcodec.view.volume import ViewedVolume

SHAPE = (20, 70, 30)
SECTIONS = {"z": (70, 30), "y": (20, 30), "x": (20, 70)}


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return folded_volume(*SHAPE)


@pytest.fixture(scope="module")
def archive(volume: np.ndarray) -> velcodec.Archive:
    return velcodec.open(velcodec.compress(volume, volume=True, dx=20, dy=15, dz=5, max_error=10))


def window(axis: str, zoom: int = 1) -> Window:
    nz, nx = SECTIONS[axis]
    return Window(0, nz, 0, nx, zoom * nz, zoom * nx)


@pytest.mark.parametrize("axis", "zyx")
def test_sections_at_samples_are_those_of_the_archive(archive: velcodec.Archive, axis: str) -> None:
    viewed = ViewedVolume(archive, 0)
    for layer in ("field", "samples"):
        found = viewed.render(layer, axis, 7.5, window(axis))
        assert np.array_equal(found, archive.section(0, **{axis: 7}))


@pytest.mark.parametrize("axis", "zyx")
def test_a_close_look_is_the_field_between_the_samples(
    archive: velcodec.Archive, axis: str
) -> None:
    """Across the edge of a block, at a place between two samples."""
    part = Window(8.0, 12.0, 10.0, 14.0, 16, 24)
    if axis == "x":
        part = Window(8.0, 12.0, 62.0, 66.0, 16, 24)
    found = ViewedVolume(archive, 0).render("field", axis, 9.3, part)
    z, x = np.meshgrid(part.z, part.x, indexing="ij")
    cells = {axis: np.full(z.shape, 9.3)}
    cells |= {"z": {"y": z, "x": x}, "y": {"z": z, "x": x}, "x": {"z": z, "y": x}}[axis]
    steps = {"x": 20.0, "y": 15.0, "z": 5.0}
    points = np.stack([(cells[k].ravel() - 0.5) * steps[k] for k in "xyz"], axis=1)
    expected = archive.sample(0, points).reshape(z.shape)
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert len(np.unique(found)) > 20


def test_the_edges_of_a_volume_are_drawn_too(archive: velcodec.Archive) -> None:
    for at in (0.0, 20.0):
        found = ViewedVolume(archive, 0).render("field", "z", at, Window(0, 3, 0, 3, 12, 12))
        assert np.isfinite(found).all()


def test_only_bricks_that_a_section_crosses_are_decoded_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two bricks lie along y."""
    decoded: list[int] = []
    real = StoredVolume._brick

    def brick(self: StoredVolume, number: int) -> Any:
        decoded.append(number)
        return real(self, number)

    monkeypatch.setattr(StoredVolume, "_brick", brick)
    blob = velcodec.compress(folded_volume(*SHAPE), volume=True, max_error=10)
    with velcodec.open(blob) as archive:
        viewed = ViewedVolume(archive, 0)
        decoded.clear()
        viewed.render("field", "y", 3.5, window("y"))
        viewed.render("field", "y", 9.0, window("y"))
        assert decoded == [0]
        viewed.render("field", "x", 3.5, window("x"))
        assert decoded == [0, 1]


def test_originals_and_errors_are_shown_at_the_native_grid(
    archive: velcodec.Archive, volume: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", volume)
    viewed = ViewedVolume(archive, 0, open_originals(archive, tmp_path / "v.npy"))
    assert np.array_equal(viewed.render("original", "x", 4.2, window("x")), volume[:, :, 4])
    error = viewed.render("error", "x", 4.2, window("x"))
    assert np.array_equal(error, archive[0][:, :, 4] - volume[:, :, 4])
    with pytest.raises(OptionError, match="--against"):
        ViewedVolume(archive, 0).render("error", "x", 4.2, window("x"))


def test_other_units_and_orders_are_drawn_in_m_s(volume: np.ndarray) -> None:
    given = volume.transpose(1, 2, 0) / 1000
    blob = velcodec.compress(given, volume=True, order="yxz", units="km/s", lossless=True)
    with velcodec.open(blob) as archive:
        viewed = ViewedVolume(archive, 0)
        found = viewed.render("field", "y", 5.5, window("y"))
        np.testing.assert_allclose(found, volume[:, 5], rtol=1e-6)
        assert viewed.facts()["high"] == pytest.approx(volume.max())
        assert viewed.facts()["volume"]["y"]["samples"] == 70


def test_a_volume_whose_archive_tells_no_ends_has_those_of_its_samples() -> None:
    volume = smooth_volume().astype(np.float64)
    volume[0, 0, 0] = 1e-200  # no integers stand for these samples
    with velcodec.open(velcodec.compress(volume, volume=True, lossless=True)) as archive:
        viewed = ViewedVolume(archive, 0)
        assert (viewed.facts()["low"], viewed.facts()["high"]) == (1e-200, volume.max())
        found = viewed.render("field", "z", 10.0, Window(5, 9, 5, 9, 16, 16))
        around = archive.box(0, [(9, 11), (5, 9), (5, 9)])
        assert around.min() - 20 < found.min() < found.max() < around.max() + 20


def test_a_constant_volume_is_drawn() -> None:
    blob = velcodec.compress(np.full((5, 6, 7), 2000.0, np.float32), volume=True, lossless=True)
    with velcodec.open(blob) as archive:
        found = ViewedVolume(archive, 0).render("field", "y", 2.2, Window(0, 5, 0, 7, 50, 70))
        assert set(np.unique(found)) == {2000.0}


@pytest.mark.parametrize(
    ("layer", "axis", "at"),
    [("bicubic", "z", 1.0), ("field", "w", 1.0), ("field", "z", -0.1), ("field", "z", 20.5)],
)
def test_what_a_volume_does_not_have_is_refused(
    archive: velcodec.Archive, layer: str, axis: str, at: float
) -> None:
    with pytest.raises(OptionError):
        ViewedVolume(archive, 0).render(layer, axis, at, window("z"))


def test_sections_and_volumes_in_one_archive(tmp_path: Path, volume: np.ndarray) -> None:
    section = volume[:, 0]
    np.save(tmp_path / "s.npy", section)
    with velcodec.create(tmp_path / "m.vlat", lossless=True) as writer:
        writer.add(section)
    with velcodec.append(
        tmp_path / "m.vlat", description=velcodec.Description(volume=True), lossless=True
    ) as writer:
        writer.add(volume)
    with velcodec.open(tmp_path / "m.vlat") as archive:
        found = list(thumbnails(archive, [1, 0], 40))
        assert [each.error for each in found] == ["", ""]
        assert found[0].thumbnail.levels.shape == found[1].thumbnail.levels.shape
        assert np.array_equal(
            ViewedVolume(archive, 1).render("field", "y", 0.5, window("y")),
            ViewedModel(archive, 0).render("field", window("y")),
        )
        with pytest.raises(VolumeError):
            ViewedVolume(archive, 0)
        with pytest.raises(VolumeError):
            ViewedModel(archive, 1)


def test_another_number_of_samples_in_the_original_is_refused(
    archive: velcodec.Archive, volume: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", volume[:, :-1])
    with pytest.raises(InputShapeError):
        open_originals(archive, tmp_path / "v.npy")
