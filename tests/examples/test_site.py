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
