"""Every test that the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PAGES = ("trust.md", "concurrency.md", "format.md", "format-exact.md", "format-sampler.md")

NAMED = re.compile(r"`(tests/[\w./-]+|test_\w+(?:\.py)?)`")


def lacking(text: str) -> list[str]:
    """Files and functions of tests that a text names and that are not there."""
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
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert lacking(text) == []
    assert "`test" in text or page == "format-exact.md"


@pytest.mark.parametrize("name", ["tests/none.py", "test_none.py", "test_none", "tests/none/"])
def test_one_that_is_not_is_told(name: str) -> None:
    assert lacking(f"shown by `{name}`") == [name]
