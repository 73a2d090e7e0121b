"""Every test named in the documentation exists."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PAGES = ("trust.md", "concurrency.md", "format.md", "format-exact.md", "format-sampler.md")

NAMED = re.compile(r"`(tests/[\w./-]+|test_\w+(?:\.py)?)`")


def lacking(text: str) -> list[str]:
    """Missing test files and functions that a text names."""
    sources = "\n".join(path.read_text() for path in TESTS)
    files = {path.name for path in TESTS}
    there = {
        name: (ROOT / name).exists()
        if "/" in name
        else name in files
        if name.endswith(".py")
        else f"def {name}(" in sources
        for name in NAMED.findall(text)
    }
    return [name for name, found in there.items() if not found]


@pytest.mark.parametrize("page", PAGES)
def test_every_documented_test_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert lacking(text) == []
    assert "`test" in text or page == "format-exact.md"


@pytest.mark.parametrize("name", ["tests/none.py", "test_none.py", "test_none", "tests/none/"])
def test_a_missing_test_is_reported(name: str) -> None:
    assert lacking(f"shown by `{name}`") == [name]
