"""The site builds without a warning, from pages whose links all lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import DOCS, ROOT


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "-b", "html"]
    result = subprocess.run(
        [*command, DOCS, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for page in ("index.html", "api.html", "examples.html", "notes/fit.html"):
        text = (tmp_path / page).read_text()
        loaded = re.findall(r'<(?:script|img|link)[^>]* (?:src|href)="([^"]*)"', text)
        assert len(loaded) > 3
        assert not [each for each in loaded if each.startswith(("http", "//"))]
    assert "velcodec.archive.archive.Archive.decode" in (tmp_path / "api.html").read_text()


def test_every_picture_has_a_command_that_draws_it() -> None:
    page = (DOCS / "figures.md").read_text()
    section = page[page.index("## Pictures") :]
    rows = [line.split("|")[1:4] for line in section.splitlines() if ".png`" in line]
    named = [name for row in rows for name in re.findall(r"`([\w/-]+\.png)`", row[0])]
    there = [str(each.relative_to(DOCS / "img")) for each in (DOCS / "img").rglob("*.png")]
    assert sorted(named) == sorted(there)
    makefile = (ROOT / "Makefile").read_text()
    for _, command, drawn in rows:
        (program,) = re.findall(r"`([^`]+)`", command)[:1]
        assert program.startswith(("python ", "velcodec "))
        if "yes" in drawn:
            made = program.replace("examples/NAME.py FOLDER", "$$each build/examples")
            assert f"$(BIN)/{made}" in makefile


def test_pages_show_every_picture() -> None:
    pages = [path.read_text() for path in [*DOCS.rglob("*.md"), ROOT / "README.md"]]
    for picture in (DOCS / "img").rglob("*.png"):
        assert any(f"img/{picture.relative_to(DOCS / 'img')})" in page for page in pages), picture
