"""Pictures of models: equal axes in metres, depth down, units at the colour bar."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from paths import DOCS
from volumes import folded_volume

import velcodec
from velcodec import plot
from velcodec.formats.errors import (
    InputShapeError,
    MissingExtraError,
    OptionError,
    PointsOutsideError,
    VolumeError,
)
from velcodec.geometry import Geometry

GROUND = Geometry(4, 6, dx_m=25.0, dz_m=10.0, origin_x_m=100.0)
MODEL = np.linspace(1500.0, 3000.0, 24).reshape(4, 6)


def labels(picture: plot.Picture) -> list[str]:
    return [axes.get_ylabel() for axes in picture.figure.axes]


def test_axes_are_equal_in_metres_with_depth_down() -> None:
    picture = plot.velocity(MODEL, GROUND, title="a model")
    assert picture.image.get_extent() == [87.5, 237.5, 35.0, -5.0]
    assert picture.axes.get_aspect() == 1.0
    assert picture.axes.get_title() == "a model"
    assert labels(picture) == ["depth, m", "velocity, m/s"]
    assert picture.image.get_clim() == (1500.0, 3000.0)


def test_a_finer_rendering_covers_the_same_ground() -> None:
    fine = plot.velocity(np.repeat(MODEL, 3, axis=0), GROUND, low=1000.0, units="km/s")
    assert fine.image.get_extent() == [87.5, 237.5, 35.0, -5.0]
    assert fine.image.get_clim() == (1000.0, 3000.0)
    assert labels(fine)[1] == "velocity, km/s"


@pytest.mark.parametrize(
    ("dx", "origin_x"), [(25.0, 431_250.0), (5.0, 5_431_250.0), (0.5, 6_543_210.0), (900.0, -2e6)]
)
def test_ticks_at_long_coordinates_are_whole_and_stand_apart(dx: float, origin_x: float) -> None:
    ground = Geometry(60, 60, dx_m=dx, dz_m=20.0, origin_x_m=origin_x)
    picture = plot.velocity(np.resize(MODEL, (60, 60)), ground)
    picture._repr_png_()  # places the ticks
    axis = picture.axes.xaxis
    left, right = ground.extent[:2]
    shown = [
        (label.get_text(), label.get_window_extent())
        for label, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if left <= place <= right
    ]
    assert shown
    assert all(float(text.replace("\N{MINUS SIGN}", "-")) >= left for text, _ in shown)
    assert axis.get_offset_text().get_text() == ""
    ends = [(box.x0, box.x1) for _, box in shown]
    assert all(end < start for (_, end), (start, _) in pairwise(ends))


def test_long_names_of_z_keep_within_flat_pictures() -> None:
    ground = Geometry(4, 60, dx_m=25.0, dz_m=25.0, z_name="depth below mean sea level")
    picture = plot.velocity(np.resize(MODEL, (4, 60)), ground)
    picture._repr_png_()
    box = picture.axes.yaxis.label.get_window_extent()
    assert box.y0 >= 0
    assert box.y1 <= picture.figure.bbox.height
    assert picture.axes.get_ylabel().replace("\n", " ") == "depth below mean sea level, m"


def test_errors_are_drawn_about_zero() -> None:
    low, high = plot.error(MODEL - 1600.0, GROUND).image.get_clim()
    assert low == -high
    assert 1350.0 < high <= 1400.0
    assert plot.error(0.0 * MODEL, GROUND).image.get_clim() == (-1.0, 1.0)
    assert plot.error(MODEL, GROUND, span=7.0).image.get_clim() == (-7.0, 7.0)


def test_pictures_of_one_range_share_a_bar() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    for axes, last in zip(figure.subplots(1, 2), (False, True), strict=True):
        plot.velocity(MODEL, GROUND, low=1500.0, high=3000.0, axes=axes, colour_bar=last)
    assert [axes.get_ylabel() for axes in figure.axes].count("velocity, m/s") == 1


def test_sections_of_a_volume_cross_at_a_point() -> None:
    volume = folded_volume(8, 10, 12)
    blob = velcodec.compress(volume, volume=True, dx=20, dy=10, dz=5, lossless=True)
    with velcodec.open(blob) as archive:
        picture = archive.plot(0, at=(101.0, 32.0, 14.0))
        names = [(each.get_xlabel(), each.get_ylabel()) for each in picture.axes]
        assert names == [("x, m", "depth, m"), ("y, m", "depth, m"), ("x, m", "y, m")]
        assert [each.get_title() for each in picture.axes] == ["y 30 m", "x 100 m", "depth 15 m"]
        drawn = [each.images[0].get_array() for each in picture.axes]
        for found, expected in zip(drawn, (volume[:, 3], volume[:, :, 5], volume[3]), strict=True):
            assert np.array_equal(found, expected)
        assert {each.images[0].get_clim() for each in picture.axes} == {
            (min(each.min() for each in drawn), max(each.max() for each in drawn))
        }
        for each in picture.axes:
            assert each.get_aspect() == 1.0
            assert len(each.lines) == 2
        middle = archive.plot(0)
        assert [each.get_title() for each in middle.axes] == ["y 50 m", "x 120 m", "depth 20 m"]
        assert middle._repr_png_().startswith(b"\x89PNG")


def test_what_only_sections_or_only_volumes_have_is_refused() -> None:
    volume = velcodec.open(velcodec.compress(folded_volume(5, 6, 7), volume=True, lossless=True))
    with pytest.raises(VolumeError, match="neither res nor axes"):
        volume.plot(0, res=20)
    with pytest.raises(PointsOutsideError):
        volume.plot(0, at=(0.0, 0.0, 5000.0))
    with (
        velcodec.open(velcodec.compress(MODEL.astype(np.float32), lossless=True)) as archive,
        pytest.raises(OptionError, match="at: expected none"),
    ):
        archive.plot(0, at=(0.0, 0.0, 0.0))


def test_pictures_save_and_show_themselves(tmp_path: Path) -> None:
    picture = plot.velocity(MODEL, GROUND)
    picture.save(tmp_path / "model.png")
    assert (tmp_path / "model.png").read_bytes()[:4] == b"\x89PNG"
    assert picture._repr_png_()[:4] == b"\x89PNG"


def test_pictures_go_into_given_axes() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot.velocity(MODEL, GROUND, axes=left).figure is figure
    assert plot.error(MODEL, GROUND, axes=right).axes is right


def test_only_one_model_is_drawn() -> None:
    with pytest.raises(InputShapeError, match="expected \\(nz, nx\\)"):
        plot.velocity(MODEL[None], GROUND)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"velcodec\[plot\]"):
        plot.velocity(MODEL, GROUND)


@pytest.mark.parametrize("order", ["zx", "xz"])
def test_an_archive_draws_its_models(order: str) -> None:
    model = MODEL.astype(np.float32) / 1000
    model[0, 0] = np.nan
    own = model if order == "zx" else model.T
    blob = velcodec.compress(own, dx=25.0, units="km/s", order=order, mask="nan", lossless=True)
    with velcodec.open(blob) as archive:
        picture = archive.plot(0, cmap="cividis", high=2.5)
        assert picture.image.get_array().shape == (4, 6)
        assert np.isnan(picture.image.get_array().filled(np.nan)[0, 0])
        assert picture.image.get_extent() == [-12.5, 137.5, 35.0, -5.0]
        assert labels(picture)[1] == "velocity, km/s"
        assert archive.plot(0, (8, 12)).image.get_array().shape == (8, 12)


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = np.stack([MODEL, MODEL[::-1]]).astype(np.float32)
    blob = velcodec.compress(models, lossless=True, keys=["line1-1", "line1-2"])
    Path("models.vlat").write_bytes(blob)
    np.save("models.npy", models)
    names = {"velcodec": velcodec}
    for code in re.findall(r"```python\n(.*?)```", (DOCS / "view.md").read_text(), re.DOTALL):
        exec(code, names)
    assert Path("model.png").stat().st_size > 1000
    assert Path("error.png").stat().st_size > 1000


def test_an_unknown_colour_map_is_refused() -> None:
    with pytest.raises(OptionError, match="cmap: found 'nope'"):
        plot.velocity(MODEL, GROUND, cmap="nope")
