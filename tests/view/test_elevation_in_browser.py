"""Where z is an elevation, the page says below what its depths are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_pages import ready, settled, until
from checkers import layered
from volumes import folded_volume

import velcodec
from velcodec.decoder import Decoder

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FACTS = {"vertical": "elevation", "datum": "mean sea level"}
CALLED = "depth below mean sea level"


def described(page: Any, pane: str) -> str:
    text: str = page.locator(f"canvas[data-pane={pane}]").get_attribute("aria-label")
    return text


def test_a_section_in_elevation_is_labelled_by_its_datum(
    serve: Any, open_page: Any, tiny: Decoder, tmp_path: Path
) -> None:
    path = tmp_path / "e.vlat"
    path.write_bytes(velcodec.compress(layered(1, 40, 60), lossless=True, facts=FACTS))
    page = open_page(serve(path))
    page.locator(".card").first.click()
    ready(page)
    settled(page)
    assert f"m {CALLED}" in described(page, "a")
    page.locator("canvas[data-pane=a]").hover()
    until(page, "document.querySelector('#readout').textContent.startsWith('x ')")
    assert CALLED in page.locator("#readout").inner_text()


def test_a_volume_in_elevation_is_labelled_by_its_datum(
    serve: Any, open_page: Any, tiny: Decoder, tmp_path: Path
) -> None:
    path = tmp_path / "e.vlat"
    volume = np.asarray(folded_volume(20, 25, 30))
    path.write_bytes(velcodec.compress(volume, volume=True, lossless=True, facts=FACTS))
    page = open_page(serve(path))
    page.locator(".card").first.click()
    for axis in "xyz":
        ready(page, axis)
    settled(page)
    assert f"m {CALLED}" in described(page, "y")
    page.get_by_role("slider", name=CALLED).fill("50")
    page.locator("figcaption", has_text=f"{CALLED} 50.0 m").wait_for()
    assert CALLED in page.locator("#readout").inner_text()
