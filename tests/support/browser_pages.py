"""What tests of the viewer's page wait for and read in a browser."""

from __future__ import annotations

import re
from typing import Any


def until(page: Any, holds: str, arg: object = None) -> None:
    """Wait until an expression or function holds. (The page allows no `wait_for_function`.)"""
    for _ in range(200):
        if page.evaluate(holds, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"waited in vain for {holds}")


def ready(page: Any, pane: str = "a", frames: int = 1) -> Any:
    """Wait until a drawing has had so many frames."""
    until(
        page,
        "([pane, n]) => +document.querySelector(`canvas[data-pane=${pane}]`)?.dataset.frames >= n",
        [pane, frames],
    )
    return page.locator(f"canvas[data-pane={pane}]")


def settled(page: Any) -> None:
    """Wait until nothing moves and nothing is computed."""
    page.wait_for_timeout(300)
    until(page, "!document.querySelector('canvas[aria-busy=true]')")
    page.wait_for_timeout(50)


def colours_of(canvas: Any) -> int:
    """How many colours a drawing has."""
    count: int = canvas.evaluate(
        """canvas => new Set(new Uint32Array(canvas.getContext("2d")
             .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    )
    return count


def numbers_in(text: str) -> list[float]:
    plain = text.replace("\N{MINUS SIGN}", "-").replace(",", "")
    return [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", plain)]
