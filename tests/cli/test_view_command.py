"""`velcodec view`: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def archive(archive_bytes: bytes) -> Path:
    path = Path("in.vlat")
    path.write_bytes(archive_bytes)
    return path.absolute()


def start(*arguments: object, interrupts: Any = signal.SIG_DFL) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "velcodec", "view", "--no-browser", *map(str, arguments)]
    # Where the tests run in the background, the shell may have them ignore Ctrl-C.
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupts),
    )


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", line)
    assert found, line
    return found[0]


def test_it_serves_archives_until_it_is_interrupted(run: Run, archive: Path) -> None:
    process = start(archive, archive)
    try:
        with urllib.request.urlopen(address_of(process) + "archives", timeout=60) as answer:
            assert answer.read().count(b'"in.vlat"') == 2
    finally:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == "ended by SIGINT\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_background_too_a_signal_ends_it_in_order(
    run: Run, archive: Path, number: signal.Signals
) -> None:
    process = start(archive, interrupts=signal.SIG_IGN)  # as a shell does for `velcodec view &`
    try:
        address_of(process)
    finally:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == f"ended by {number.name}\n"


def test_a_port_that_is_taken_is_one_line(run: Run, archive: Path) -> None:
    first = start(archive)
    try:
        port = address_of(first).split(":")[2].split("/")[0]
        second = start(archive, "--port", port)
        _, errors = second.communicate(timeout=20)
        assert second.returncode == 3
        assert errors.startswith("velcodec: error: ")
        assert len(errors.splitlines()) == 1
    finally:
        first.kill()
        first.communicate()


def test_originals_go_with_one_whole_archive(run: Run, archive: Path) -> None:
    np.save("in.npy", np.zeros((2, 3, 3), np.float32))
    for arguments in ([archive, archive], [archive, "--family", "x"]):
        result = run("view", "--no-browser", "--against", "in.npy", *arguments)
        assert result.exit_code == 2
        assert "--against" in result.stderr


def test_originals_of_another_shape_are_refused(run: Run, archive: Path) -> None:
    np.save("in.npy", np.zeros((2, 3, 3), np.float32))
    result = run("view", "--no-browser", archive, "--against", "in.npy")
    assert result.exit_code != 0
    assert "expected" in result.stderr


def test_another_address_is_served_with_a_warning(
    run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from velcodec.view import server

    async def serve(shown: object, host: str, port: int, opened: object) -> None:
        assert (host, port) == ("0.0.0.0", 8080)

    monkeypatch.setattr(server, "serve", serve)
    result = run("view", "--no-browser", archive, "--host", "0.0.0.0", "--port", "8080")
    assert result.exit_code == 0
    assert "warning: --host 0.0.0.0" in result.stderr


@pytest.mark.parametrize("name", ["in.vlat", "page", "page.npy"])
def test_a_page_is_written_to_a_file_of_html_only(run: Run, archive: Path, name: str) -> None:
    before = archive.read_bytes()
    result = run("view", archive, "--export", name, "--force")
    assert result.exit_code == 2
    assert "expected .html or .htm" in result.stderr
    assert archive.read_bytes() == before


def test_a_page_never_replaces_the_archive_it_shows(run: Run, archive: Path) -> None:
    named = archive.rename(archive.with_suffix(".html"))
    before = named.read_bytes()
    result = run("view", named, "--export", named, "--force")
    assert result.exit_code != 0
    assert "output is the input itself" in result.stderr
    assert named.read_bytes() == before
