"""What is installed is what lies in the checkout."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

import velcodec

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def test_every_package_folder_is_installed() -> None:
    found = {
        ".".join((*prefix, *path.parent.relative_to(ROOT / top).parts))
        for top, prefix in (
            ("velcodec", ("velcodec",)),
            ("formats", ("velcodec", "formats")),
            ("cli", ("velcodec", "cli")),
        )
        for path in (ROOT / top).rglob("__init__.py")
        if not (top == "velcodec" and {"formats", "cli"} & set(path.relative_to(ROOT).parts))
    }
    assert sorted(found) == SETUPTOOLS["packages"]


@pytest.mark.parametrize("name", ["formats", "cli"])
def test_the_symlinks_are_relative_and_lead_to_the_top_level(name: str) -> None:
    link = ROOT / "velcodec" / name
    assert link.readlink() == Path("..") / name
    assert SETUPTOOLS["package-dir"][f"velcodec.{name}"] == name


def test_formats_and_cli_are_imported_once_under_velcodec() -> None:
    from velcodec.formats.errors import VelcodecError

    assert VelcodecError is velcodec.VelcodecError
    assert VelcodecError.__module__ == "velcodec.formats.errors"


def test_formats_import_nothing_above_them_and_no_torch() -> None:
    for path in (ROOT / "formats").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in {"torch", "velcodec", "cli"}, f"{path}: {name}"


def test_the_changelog_and_the_citation_have_this_version() -> None:
    assert f"## {velcodec.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {velcodec.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name


def test_every_dependency_has_a_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in PROJECT["project"]["dependencies"]:
        name = requirement.split(">")[0]
        assert f"| {name} |" in reasons, name
