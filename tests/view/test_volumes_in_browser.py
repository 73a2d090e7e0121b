"""Volumes in the page of `velcodec view`, in a real browser: three sections through one point."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from browser_pages import colours_of, numbers_in, ready, settled, until
from volumes import folded_volume

import velcodec

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHAPE = (24, 30, 40)
STEP = {"x": 20.0, "y": 15.0, "z": 10.0}
ORIGIN = {"x": 1000.0, "y": 0.0, "z": 0.0}
ACROSS, DOWN = {"y": "x", "x": "y", "z": "x"}, {"y": "z", "x": "z", "z": "y"}
BOUND = 15.0


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes, of which the second is the first upside down, with their originals."""
    folder = tmp_path_factory.mktemp("volumes")
    random = np.random.default_rng(3)
    volume = folded_volume(*SHAPE) + random.uniform(-5, 5, SHAPE).astype(np.float32)
    volumes = np.stack([volume, volume[::-1]])
    np.save(folder / "v.npy", volumes)
    blob = velcodec.compress(
        volumes, volume=True, dx=20, dy=15, dz=10, origin=(1000.0, 0.0), max_error=BOUND,
        keys=["up", "down"],
    )  # fmt: skip
    (folder / "v.vlat").write_bytes(blob)
    return folder / "v.vlat"


def place(page: Any) -> dict[str, float]:
    """What the readout tells: x, y, z and the velocity."""
    return dict(
        zip(
            ("x", "y", "z", "speed"), numbers_in(page.locator("#readout").inner_text()), strict=True
        )
    )


def point_of(page: Any) -> dict[str, float]:
    """Where the sections are, as their titles tell."""
    titles = page.locator(".pane figcaption b").all_inner_texts()
    names = {"y": "y", "x": "x", "depth": "z"}
    return {names[title.split()[-3]]: numbers_in(title)[-1] for title in titles}


def cells_of(point: dict[str, float]) -> dict[str, float]:
    return {axis: (point[axis] - ORIGIN[axis]) / STEP[axis] for axis in "xyz"}


def at_share(canvas: Any, across: float, down: float) -> tuple[float, float]:
    box = canvas.bounding_box()
    return box["x"] + 72 + across * (box["width"] - 146), box["y"] + 8 + down * (box["height"] - 44)


def test_a_volume_is_three_sections_through_one_point(
    serve: Any, open_page: Any, stored: Path
) -> None:
    page = open_page(serve(stored))
    page.locator(".card[aria-label]").first.wait_for()
    told = page.locator(".card .about").first.inner_text()
    assert numbers_in(told)[:3] == [24, 30, 40]
    page.locator(".card").first.click()
    for axis in "xyz":
        assert colours_of(ready(page, axis)) > 10
    settled(page)
    assert point_of(page) == {"x": 1400.0, "y": 225.0, "z": 120.0}
    with velcodec.open(stored) as archive:
        assert place(page)["speed"] == pytest.approx(archive[0][12, 15, 20], abs=0.06)


def test_a_drag_in_one_section_moves_the_other_two(
    serve: Any, open_page: Any, stored: Path
) -> None:
    page = open_page(serve(stored) + "#model=0")
    canvases = {axis: ready(page, axis) for axis in "xyz"}
    settled(page)
    for to, (axis, canvas) in zip((0.2, 0.3, 0.4), canvases.items(), strict=True):
        before = point_of(page)
        looks = {each: canvases[each].get_attribute("data-frames") for each in "xyz"}
        page.mouse.move(*at_share(canvas, to - 0.05, to - 0.05))
        page.mouse.down()
        page.mouse.move(*at_share(canvas, to, to), steps=3)
        page.mouse.up()
        settled(page)
        after = point_of(page)
        assert after[axis] == before[axis]
        assert all(after[each] != before[each] for each in "xyz" if each != axis)
        for each in "xyz":
            moved = canvases[each].get_attribute("data-frames") != looks[each]
            assert moved == (each != axis), (axis, each)
    assert "point=" in page.url
    page.reload()
    ready(page, "x")
    assert point_of(page) == pytest.approx(after, abs=0.1)


def test_values_under_the_pointer_are_those_of_the_volume(
    serve: Any, open_page: Any, stored: Path
) -> None:
    page = open_page(serve(stored) + "#model=1&x=1400&y=200&z=100&mpp=0.5&point=1412,203,97")
    with velcodec.open(stored) as archive:
        for axis in "xyz":
            canvas = ready(page, axis)
            settled(page)
            page.mouse.move(*at_share(canvas, 0.3, 0.6))
            page.wait_for_timeout(60)
            found = place(page)
            assert found[axis] == pytest.approx({"x": 1412, "y": 203, "z": 97}[axis], abs=0.2)
            around = [
                [found[each] + by * (axis != each) for each, by in zip("xyz", some, strict=True)]
                for some in product((-0.5, 0.0, 0.5), repeat=3)
            ]
            values = archive.sample(1, around)
            assert values.min() - 1 <= found["speed"] <= values.max() + 1


def test_a_zoom_computes_all_sections_between_their_samples(
    serve: Any, open_page: Any, stored: Path
) -> None:
    windows: list[dict[str, Any]] = []
    page = open_page(serve(stored) + "#model=0")
    canvas = ready(page, "z")
    settled(page)

    def note(request: Any) -> None:
        if "/field?" in request.url:
            windows.append({k: v[0] for k, v in parse_qs(urlsplit(request.url).query).items()})

    page.on("request", note)
    page.mouse.move(*at_share(canvas, 0.5, 0.5))
    for _ in range(6):
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(60)
    settled(page)
    assert {each["section"] for each in windows} == {"x", "y", "z"}
    for axis in "xyz":
        last = [each for each in windows if each["section"] == axis][-1]
        assert last["layer"] == "field"
        assert float(last["x1"]) - float(last["x0"]) < 12
        assert int(last["nx"]) > 100
    assert "mpp=" in page.url
    page.keyboard.press("0")
    settled(page)
    assert "mpp=" not in page.url


def test_sliders_and_keys_move_the_point(serve: Any, open_page: Any, stored: Path) -> None:
    page = open_page(serve(stored) + "#model=0")
    ready(page, "y")
    page.get_by_role("slider", name="depth").fill("30")
    page.locator("figcaption", has_text="depth 30.0 m").wait_for()
    page.get_by_role("slider", name="x").press("ArrowRight")
    page.locator("figcaption", has_text="x 1,420.0 m").wait_for()
    assert page.get_by_role("slider", name="x").get_attribute("aria-valuetext") == "1,420.0 m"
    page.locator("canvas[data-pane=z]").focus()
    for key in ("ArrowLeft", "ArrowDown", "PageDown"):
        page.keyboard.press(key)
    settled(page)
    assert point_of(page) == {"x": 1400.0, "y": 240.0, "z": 40.0}
    page.keyboard.press("Shift+ArrowUp")
    settled(page)
    assert point_of(page)["y"] == 90.0
    page.keyboard.press("n")
    page.locator("#model-name", has_text="down").wait_for()
    assert page.locator("#readout").get_attribute("aria-live") == "polite"


def test_sections_keep_equal_axes_and_stand_in_line(
    serve: Any, open_page: Any, stored: Path
) -> None:
    page = open_page(serve(stored) + "#model=0")
    boxes = {axis: ready(page, axis).bounding_box() for axis in "xyz"}
    assert boxes["y"]["y"] == boxes["x"]["y"]
    assert boxes["y"]["height"] == boxes["x"]["height"]
    assert boxes["y"]["x"] == boxes["z"]["x"]
    assert boxes["y"]["width"] == boxes["z"]["width"]
    label = page.locator("canvas[data-pane=x]").get_attribute("aria-label")
    assert label.startswith("x 1,400.0 m: velocity from")
    assert "along y and" in label
    assert "deep" in label


def test_originals_and_errors_of_a_volume(serve: Any, open_page: Any, stored: Path) -> None:
    originals = np.load(stored.with_suffix(".npy"))
    page = open_page(serve(stored, "--against", stored.with_suffix(".npy")) + "#model=1")
    ready(page, "y")
    page.get_by_label("Show").select_option("error")
    page.locator("figcaption", has_text="error, y 225.0 m").wait_for()
    settled(page)
    with velcodec.open(stored) as archive:
        error = archive[1][12, 15, 20] - originals[1, 12, 15, 20]
    assert 0 < abs(error) <= BOUND
    assert place(page)["speed"] == pytest.approx(error, abs=0.06)
    page.get_by_label("Show").select_option("original")
    page.locator("figcaption", has_text="original, y 225.0 m").wait_for()
    settled(page)
    assert place(page)["speed"] == pytest.approx(originals[1, 12, 15, 20], abs=0.06)


def test_sections_and_volumes_of_two_archives_take_turns(
    serve: Any, open_page: Any, stored: Path, tmp_path: Path
) -> None:
    section = folded_volume(*SHAPE)[:, 3]
    (tmp_path / "s.vlat").write_bytes(velcodec.compress(section, lossless=True))
    page = open_page(serve(stored, tmp_path / "s.vlat") + "#model=0")
    ready(page, "x")
    assert page.get_by_label("Compare").is_hidden()
    page.evaluate("location.hash = '#archive=1&model=0'")
    ready(page, "a")
    assert page.locator("canvas[data-pane=x]").count() == 0
    assert page.locator("#point").is_hidden()
    assert page.get_by_label("Compare").is_visible()
    page.go_back()
    ready(page, "z")
    until(page, "document.querySelectorAll('.pane').length === 3")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_shows_one_section_below_the_other(
    serve: Any, open_page: Any, stored: Path, scheme: str
) -> None:
    size = {"width": 360, "height": 740}
    page = open_page(serve(stored) + "#model=0", viewport=size, color_scheme=scheme)
    tops = [ready(page, axis).bounding_box()["y"] for axis in "yxz"]
    assert tops == sorted(tops)
    assert tops[0] < tops[1] < tops[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_every_control_of_a_volume_has_a_name(serve: Any, open_page: Any, stored: Path) -> None:
    page = open_page(serve(stored) + "#model=0")
    ready(page, "x")
    for name in ("x", "y", "depth"):
        assert page.get_by_role("slider", name=name).count() == 1
