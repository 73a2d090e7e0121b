"""A page on disk is a third reader: in a real browser it decodes the golden files by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import GOLDEN, LATENTS, TOLERANCE_M_S, renderings
from rich_archives import rich_archive

import velcodec
from velcodec import synth
from velcodec.decoder import read_decoder
from velcodec.view.export import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = '"><img src=x onerror="window.harm=1"></script><script>window.harm=1</script>'
OTHER = (17, 13)

Draw = Callable[..., np.ndarray]


@pytest.fixture
def drawn(open_page: Any, tmp_path: Path) -> Callable[[velcodec.Archive], Draw]:
    """Write an archive to a page and open it without a network; gives a function from a model, a
    grid and a layer to values in m/s.
    """

    def opened(archive: velcodec.Archive) -> Draw:
        path = tmp_path / "page.html"
        write_page(archive, range(len(archive)), "a.vlat", path, force=True)
        page = open_page(path.as_uri(), offline=True)
        page.locator(".card").first.wait_for()

        def draw(
            number: int, grid: tuple[int, int] | None = None, layer: str = "field",
            change: dict[str, Any] | None = None,
        ) -> np.ndarray:  # fmt: skip
            layout = archive.layout(number)
            nz, nx = grid or (layout.nz, layout.nx)
            window = {"z0": 0, "z1": layout.nz, "x0": 0, "x1": layout.nx, "nz": nz, "nx": nx}
            values = page.evaluate(
                "async ([...asked]) => Array.from(await velcodec.field(0, ...asked))",
                [number, layer, window, change or {}],
            )
            return np.array([np.nan if v is None else v for v in values], float).reshape(nz, nx)

        return draw

    return opened


def in_m_s(array: np.ndarray, layout: Any) -> np.ndarray:
    """An array of the archive as [z, x] in m/s."""
    values = array.astype(float) * {"m/s": 1.0, "km/s": 1000.0}[layout.units]
    return values.T if layout.axes.endswith("xz") else values


@pytest.mark.parametrize("name", ["steps", "tiles", "layouts", "embedded"])
def test_golden_latents_render_within_the_tolerance(drawn: Any, name: str) -> None:
    kept = {key: array for key, array in renderings().items() if key.startswith(f"{name}/")}
    with velcodec.open(LATENTS / f"{name}.vlat") as archive:
        draw = drawn(archive)
        for key, array in kept.items():
            _, number, *other = key.split("/")
            layout = archive.layout(int(number))
            expected = in_m_s(array, layout)
            found = draw(int(number), OTHER if other else None)
            rounding = 0.5 if array.dtype.kind in "iu" else 0.0
            worst = np.abs(found - expected).max()
            assert worst <= TOLERANCE_M_S + rounding * (1000 if layout.units == "km/s" else 1), key


@pytest.mark.parametrize(
    "name", ["layered-lossless", "palette-bound", "smooth-bound", "rough-lossless"]
)
def test_golden_samples_are_the_same_and_render_within_the_tolerance(drawn: Any, name: str) -> None:
    with velcodec.open(GOLDEN / "exact" / f"{name}.vlat") as archive:
        draw = drawn(archive)
        for number in range(len(archive)):
            layout, native = archive.layout(number), archive[number]
            expected = in_m_s(native, layout)
            assert np.array_equal(draw(number, layer="samples"), np.float32(expected))
            for grid in ((31, 57), (90, 7)):
                asked = grid[::-1] if layout.axes.endswith("xz") else grid
                fine = in_m_s(archive.decode(number, asked), layout)
                rounding = 1.0 if native.dtype.kind in "iu" else 0.0
                span = max(1.0, float(np.ptp(expected)) / 3000.0)
                assert np.abs(draw(number, grid) - fine).max() <= span * TOLERANCE_M_S + rounding


def test_models_of_more_than_one_block_are_the_same(drawn: Any) -> None:
    model = synth.draw("curvefault_a", 70_000_029, 0, 1).render(150, 40).numpy()
    with velcodec.open(velcodec.compress(model, lossless=True)) as archive:
        draw = drawn(archive)
        for grid in ((301, 80), (470, 41)):
            found = draw(0, grid)
            assert np.abs(found - archive.decode(0, grid)).max() <= TOLERANCE_M_S


def test_absent_samples_are_absent(drawn: Any) -> None:
    model = synth.draw("flatvel_a", 70_000_029, 0, 1).render(20, 24).numpy()
    model[0, :5, :9] = np.nan
    with velcodec.open(velcodec.compress(model, mask="nan", lossless=True)) as archive:
        draw = drawn(archive)
        for grid in (None, (47, 31)):
            assert np.array_equal(np.isnan(draw(0, grid)), np.isnan(archive.decode(0, grid)))


def test_latents_move_and_bicubic_is_that_of_velcodec(drawn: Any) -> None:
    from velcodec.view.model import Change, ViewedModel, Window

    with velcodec.open(LATENTS / "steps.vlat") as archive:
        draw = drawn(archive)
        viewed, window = ViewedModel(archive, 1), Window(0, 16, 0, 14, 48, 42)
        change = {"to": 2, "share": 0.3, "moves": [1.0, 0.0, -0.5]}
        expected = viewed.render_changed(Change(2, 0.3, (1.0, 0.0, -0.5)), window)
        assert np.abs(draw(1, (48, 42), "latent", change) - expected).max() <= TOLERANCE_M_S
        bicubic = viewed.render("bicubic", window)
        assert np.abs(draw(1, (48, 42), "bicubic") - bicubic).max() <= 2 * TOLERANCE_M_S


def test_a_page_on_disk_is_looked_at_like_a_served_one(open_page: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with velcodec.open(LATENTS / "tiles.vlat") as archive:
        write_page(archive, range(len(archive)), "tiles.vlat", path)
    page = open_page(path.as_uri(), offline=True)
    page.locator(".card[aria-label]").nth(3).wait_for()
    assert page.get_by_label("Filter", exact=True).is_hidden()
    page.locator(".card").nth(1).click()
    canvas = page.locator("canvas[data-pane=a]")
    canvas.wait_for()
    page.wait_for_timeout(1500)
    frames, before = int(canvas.get_attribute("data-frames")), canvas.screenshot()
    assert frames >= 1
    canvas.hover()
    for _ in range(6):
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(100)
    page.wait_for_timeout(1500)
    assert int(canvas.get_attribute("data-frames")) > frames
    assert canvas.screenshot() != before
    page.get_by_label("Compare").select_option("bicubic")
    page.locator("canvas[data-pane=d]").wait_for()
    assert page.locator("#with option[value=original]").is_disabled()
    page.locator("#latent summary").click()
    page.get_by_label("coordinate 1, standard deviations").fill("2")
    page.locator("figcaption", has_text="moved latent").wait_for()


def test_keys_and_fields_of_an_enemy_are_text(
    open_page: Any, tiny_home: Path, tmp_path: Path
) -> None:
    decoder = read_decoder(next((tiny_home / "decoders").iterdir()))
    fields = {EVIL: [EVIL] * 2}
    blob = rich_archive(decoder, 2, keys=[EVIL, "b"], fields=fields)
    path = tmp_path / "evil.html"
    with velcodec.open(blob, decoder=tiny_home / "decoders" / "tiny.safetensors") as archive:
        write_page(archive, [0, 1], EVIL, path)
    page = open_page(path.as_uri() + "#model=0", offline=True)
    page.locator("#facts dd", has_text=EVIL).first.wait_for()
    assert page.locator("#model-name").inner_text() == EVIL
    assert page.locator("img").count() == 0
    assert page.evaluate("window.harm") is None
