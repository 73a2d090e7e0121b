"""The page of `velcodec view` in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from browser_pages import colours_of, numbers_in, ready, settled, until
from rich_archives import rich_archive

import velcodec
from velcodec import synth
from velcodec.decoder import read_decoder
from velcodec.formats.container.header import Layout

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = '"><img src=x onerror="window.harm=1"><script>window.harm=1</script>'
FAMILIES = ("flatvel_a", "curvevel_a", "curvefault_a")


PAIRS = [
    ("ink", "ground"), ("ink", "raised"), ("quiet", "ground"), ("quiet", "raised"),
    ("accent", "ground"), ("second", "ground"), ("on-accent", "accent"), ("warn", "warn-ground"),
]  # fmt: skip
"""Colours of text, and what they stand on."""


def contrast(one: str, other: str) -> float:
    """Of two colours #rrggbb, as WCAG 2 defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.fixture(scope="module")
def models() -> np.ndarray:
    drawn = [synth.draw(family, 70_000_017, 0, 2).render(40, 50).numpy() for family in FAMILIES]
    return np.concatenate(drawn).astype(np.float32)


@pytest.fixture(scope="module")
def layered(models: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models by the shipped decoder and samples, whose originals are beside them."""
    folder = tmp_path_factory.mktemp("layered")
    np.save(folder / "m.npy", models)
    fields = {"family": [family for family in FAMILIES for _ in range(2)]}
    keys = [f"line{i}" for i in range(6)]
    blob = velcodec.compress(
        models, psnr=30.0, dx=20.0, dz=10.0, origin=(1000.0, 0.0), keys=keys, fields=fields
    )
    (folder / "m.vlat").write_bytes(blob)
    return folder / "m.vlat"


def rich(home: Path, path: Path, models: int, **more: Any) -> Path:
    decoder = read_decoder(next((home / "decoders").iterdir()))
    path.write_bytes(rich_archive(decoder, models, layout=Layout(30, 40), **more))
    return path


def test_a_gallery_scrolls_through_ten_thousand_models(
    serve: Any, open_page: Any, tiny_home: Path, tmp_path: Path
) -> None:
    page = open_page(serve(rich(tiny_home, tmp_path / "many.vlat", 10_000)))
    page.get_by_text("10,000 models", exact=True).wait_for()
    painted = "document.querySelectorAll('.card[aria-label] canvas').length"
    until(page, f"{painted} >= 12")
    for share in (0.5, 1.0, 0.25):
        page.evaluate("s => scroller.scrollTop = s * scroller.scrollHeight", share)
        expected = {0.5: "m5", 1.0: "m9999", 0.25: "m2"}[share]
        page.locator(f".name:text-matches('^{expected}')").first.wait_for()
        assert page.locator("#cards li").count() < 150
    until(page, f"{painted} >= 12")
    card = page.locator(".card[aria-label] canvas").nth(10)
    assert colours_of(card) > 10


def test_filters_and_order_are_in_the_address(serve: Any, open_page: Any, layered: Path) -> None:
    page = open_page(serve(layered))
    page.get_by_label("Filter", exact=True).fill("family=curvevel_a")
    page.keyboard.press("Enter")
    page.get_by_text("2 of 6 models").wait_for()
    page.get_by_label("Sort by").select_option("key")
    page.get_by_role("button", name="Descending").click()
    page.locator("li[data-at='0'] .name", has_text="line3").wait_for()
    page.reload()
    page.locator("li[data-at='0'] .name", has_text="line3").wait_for()
    assert page.get_by_role("button", name="Descending").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Remove the filter family=curvevel_a").click()
    page.get_by_text("6 models", exact=True).wait_for()
    open_page.faults.clear()
    page.get_by_label("Filter", exact=True).fill("famly=x")
    page.keyboard.press("Enter")
    page.get_by_text("found no such field").wait_for()
    page.reload()  # and with it, the way out
    page.get_by_text("found no such field").wait_for()
    page.get_by_label("Sort by").locator("option", has_text="psnr_db").wait_for(state="attached")
    page.get_by_role("button", name="Remove the filter famly=x").click()
    page.get_by_text("6 models", exact=True).wait_for()
    assert all("400" in fault for fault in open_page.faults)
    open_page.faults.clear()


def test_a_zoom_computes_the_window_anew(serve: Any, open_page: Any, layered: Path) -> None:
    windows: list[dict[str, float]] = []
    page = open_page(serve(layered) + "#model=2")
    canvas = ready(page)
    settled(page)

    def note(request: Any) -> None:
        if "/field?" in request.url:
            asked = parse_qs(urlsplit(request.url).query)
            windows.append({k: float(asked[k][0]) for k in ("z0", "z1", "nz", "nx")})

    page.on("request", note)
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    frames = int(canvas.get_attribute("data-frames"))
    for _ in range(8):
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(60)
    settled(page)
    assert int(canvas.get_attribute("data-frames")) >= frames + 2
    last = windows[-1]
    assert last["z1"] - last["z0"] < 5  # of 40 samples
    assert last["nz"] > 200  # and still as many pixels as the drawing has
    assert "mpp=" in page.url
    page.keyboard.press("0")
    settled(page)
    assert windows[-1]["z1"] - windows[-1]["z0"] == pytest.approx(40)
    assert "mpp=" not in page.url


def test_values_under_the_pointer_are_those_of_the_model(
    serve: Any, open_page: Any, layered: Path
) -> None:
    page = open_page(serve(layered) + "#model=4&x=1400&z=200&mpp=0.25")
    canvas = ready(page)
    settled(page)
    box = canvas.bounding_box()
    with velcodec.open(layered) as archive:
        for across, down in ((0.3, 0.4), (0.5, 0.2), (0.6, 0.7)):
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            page.wait_for_timeout(50)
            x, z, speed = numbers_in(page.locator("#readout").inner_text())
            around = [[x + i / 4, z + j / 4] for i in range(-2, 3) for j in range(-2, 3)]
            values = archive.sample(4, around)
            assert values.min() - 1 <= speed <= values.max() + 1


def test_the_error_map_is_decoded_less_original(
    serve: Any, open_page: Any, layered: Path, models: np.ndarray
) -> None:
    page = open_page(
        serve(layered, "--against", layered.with_suffix(".npy"))
        + "#model=1&with=original&difference=1"
    )
    for pane in "abd":
        ready(page, pane)
    settled(page)
    with velcodec.open(layered) as archive:
        error = archive[1].astype(float) - models[1]
    canvas = page.locator("canvas[data-pane=d]")
    box = canvas.bounding_box()
    for across, down in ((0.4, 0.3), (0.35, 0.55), (0.5, 0.6)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        page.wait_for_timeout(50)
        text = page.locator("#readout").inner_text()
        x, z = numbers_in(text)[:2]
        column, row = round((x - 1000) / 20), round(z / 10)
        near = error[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert np.abs(near - numbers_in(text)[-1]).min() < 0.1
    assert "true PSNR" in page.locator("#facts").inner_text()


def test_without_originals_they_are_not_offered(serve: Any, open_page: Any, layered: Path) -> None:
    page = open_page(serve(layered) + "#model=1")
    ready(page)
    assert page.locator("#with option[value=original]").is_disabled()


def test_another_model_bicubic_and_their_difference_stand_beside_it(
    serve: Any, open_page: Any, layered: Path
) -> None:
    page = open_page(serve(layered) + "#model=1")
    ready(page)
    page.get_by_label("Compare").select_option("bicubic")
    for pane in "bd":
        assert colours_of(ready(page, pane)) > 20
    page.get_by_label("Compare").select_option("model")
    page.get_by_label("Which").fill("line4")
    page.keyboard.press("Enter")
    page.locator("figcaption", has_text="line4").wait_for()
    assert colours_of(ready(page, "d")) > 20


def test_gradients_contours_samples_and_profiles_are_drawn(
    serve: Any, open_page: Any, layered: Path
) -> None:
    page = open_page(serve(layered) + "#model=3&x=1400&z=200&mpp=0.4")
    canvas = ready(page)
    canvas.focus()
    looks = [canvas.screenshot()]
    for key in ("c", "s", "g"):
        page.keyboard.press(key)
        settled(page)
        looks.append(canvas.screenshot())
    assert len(set(looks)) == 4
    assert "1/s" in page.locator("#interval").inner_text()
    page.keyboard.press("g")
    page.keyboard.press("w")
    settled(page)
    assert colours_of(page.locator("#profile canvas")) > 5
    assert "Well at x = 1,400.0 m" in page.locator("#profile").inner_text()
    page.keyboard.press("l")
    settled(page)
    assert "From (" in page.locator("#profile").inner_text()


def test_colours_change_without_computing_anew(serve: Any, open_page: Any, layered: Path) -> None:
    page = open_page(serve(layered) + "#model=2")
    canvas = ready(page)
    settled(page)
    before, frames = canvas.screenshot(), canvas.get_attribute("data-frames")
    page.locator("#map").select_option("cividis")
    settled(page)
    assert canvas.screenshot() != before
    assert canvas.get_attribute("data-frames") == frames


def test_sliders_move_a_latent(serve: Any, open_page: Any, tiny_home: Path, tmp_path: Path) -> None:
    page = open_page(serve(rich(tiny_home, tmp_path / "few.vlat", 6)) + "#model=1")
    canvas = ready(page)
    page.locator("#latent summary").click()
    before = canvas.screenshot()
    page.get_by_label("coordinate 1, standard deviations").fill("2")
    page.locator("figcaption", has_text="moved latent").wait_for()
    ready(page, frames=2)
    settled(page)
    moved = canvas.screenshot()
    assert moved != before
    page.get_by_label("Towards").fill("m3")
    page.keyboard.press("Enter")
    until(page, "!document.getElementById('share').disabled")
    page.get_by_role("slider", name="share").fill("0.5")
    ready(page, frames=3)
    settled(page)
    assert canvas.screenshot() != moved
    assert "to=3" in page.url


def test_keys_and_fields_of_an_enemy_are_text(
    serve: Any, open_page: Any, tiny_home: Path, tmp_path: Path
) -> None:
    fields = {"family": [EVIL] * 4, EVIL: [EVIL] * 4}
    path = rich(
        tiny_home, tmp_path / "evil.vlat", 4, keys=[f"{EVIL}{i}" for i in range(4)], fields=fields
    )
    address = serve(path)
    page = open_page(address)
    page.locator(".name", has_text=EVIL).first.wait_for()
    page.get_by_label("Filter", exact=True).fill(f"family={EVIL}")
    page.wait_for_timeout(300)
    page.evaluate(
        "text => location.hash = '#' + new URLSearchParams([['model', 2], ['sort', text]])", EVIL
    )
    page.locator("#facts dd", has_text=EVIL).first.wait_for()
    assert EVIL in page.locator("h1").last.inner_text() + page.locator("#model-name").inner_text()
    assert page.locator("img, #facts script, #cards script").count() == 0
    assert page.evaluate("window.harm") is None
    assert all("400" in fault for fault in open_page.faults)  # there is no such column to sort by
    open_page.faults.clear()


def test_everything_is_done_with_keys(serve: Any, open_page: Any, layered: Path) -> None:
    page = open_page(serve(layered))
    page.locator(".card").first.wait_for()
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('li').dataset.at") == "2"
    page.keyboard.press("Enter")
    ready(page)
    assert page.locator("#model-name").inner_text() == "line2"
    page.keyboard.press("n")
    page.locator("#model-name", has_text="line3").wait_for()
    for key in ("+", "+", "ArrowDown"):
        page.keyboard.press(key)
    settled(page)
    assert "mpp=" in page.url
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(50)
    assert "depth" in page.locator("#readout").inner_text()
    page.keyboard.press("Escape")
    page.locator("#gallery").wait_for()
    until(page, "document.activeElement.closest('li')?.dataset.at === '3'")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")


def test_every_control_has_a_name(serve: Any, open_page: Any, layered: Path) -> None:
    page = open_page(serve(layered) + "#model=2&with=model&range=fixed&tool=well")
    ready(page)
    page.locator("#latent summary").click()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[tabindex='0'], a")]
             .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim()
               || [...(each.labels ?? [])].some((label) => label.textContent.trim())))
             .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
    assert (
        page.locator("canvas[data-pane=a]")
        .get_attribute("aria-label")
        .startswith("decoded: velocity from")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(
    serve: Any, open_page: Any, layered: Path, scheme: str
) -> None:
    page = open_page(serve(layered) + "#model=2", color_scheme=scheme)
    ready(page)
    colours = page.evaluate(
        """names => names.map((name) => getComputedStyle(document.documentElement)
             .getPropertyValue(`--${name}`).trim())""",
        [name for pair in PAIRS for name in pair],
    )
    ratios = [contrast(*colours[2 * i : 2 * i + 2]) for i in range(len(PAIRS))]
    assert min(ratios) >= 4.5


def test_a_narrow_screen_needs_no_scrolling_sideways(
    serve: Any, open_page: Any, layered: Path
) -> None:
    address = serve(layered)
    for fragment in ("", "#model=2&with=bicubic&difference=1&tool=well"):
        page = open_page(address + fragment, viewport={"width": 360, "height": 740})
        if fragment:
            ready(page, "d")
        else:
            page.locator(".card").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_several_archives_are_chosen_from(
    serve: Any, open_page: Any, tiny_home: Path, tmp_path: Path, layered: Path
) -> None:
    page = open_page(serve(layered, rich(tiny_home, tmp_path / "other.vlat", 3)))
    page.get_by_text("6 models", exact=True).wait_for()
    page.get_by_label("Archive").select_option("other.vlat")
    page.get_by_text("3 models", exact=True).wait_for()
    page.locator(".name", has_text="m2").wait_for()


def test_the_command_ends_when_its_page_is_closed(
    serve: Any, open_page: Any, layered: Path
) -> None:
    page = open_page(serve(layered))
    page.locator(".card").first.wait_for()
    page.close()
    assert serve.processes[0].wait(timeout=15) == 0


def test_a_page_says_that_the_command_was_ended(serve: Any, open_page: Any, layered: Path) -> None:
    page = open_page(serve(layered))
    page.locator(".card").first.wait_for()
    serve.processes[0].terminate()
    page.get_by_role("alert").filter(has_text="was ended").wait_for()
    page.close()  # it asks again and again, and the browser tells that the connection is broken
    open_page.faults.clear()
