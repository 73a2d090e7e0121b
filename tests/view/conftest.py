"""A real browser, and `velcodec view` as a person starts it. Skipped where either is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from velcodec.decoder.registry import HOME_VARIABLE

BROWSER_VARIABLE = "VELCODEC_BROWSER"
"""Path of a Chromium, for where it is not called `chromium`."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Serve = Callable[..., str]


@pytest.fixture(scope="module")  # it holds an event loop, which others need too
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    path = os.environ.get(BROWSER_VARIABLE) or shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a window of its own. In the end, no page may have asked another machine,
    failed to load something, or thrown an error.
    """
    faults: list[str] = []
    contexts = []

    def opened(address: str, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: check(request.url))
        page.on("websocket", lambda socket: check(socket.url))
        page.on("console", lambda told: told.type == "error" and faults.append(told.text))
        page.goto(address)
        return page

    def check(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "file") and parts.hostname != "127.0.0.1":
            faults.append(f"asked {url}")

    opened.faults = faults  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def serve(tiny_home: Path) -> Iterator[Serve]:
    """Start `velcodec view` with these arguments; gives the address."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> str:
        command = [sys.executable, "-m", "velcodec", "view", "--no-browser", *map(str, arguments)]
        environment = os.environ | {HOME_VARIABLE: str(tiny_home)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().split()[0]

    start.processes = started  # type: ignore[attr-defined]
    yield start
    for process in started:
        process.terminate()
        process.communicate()
