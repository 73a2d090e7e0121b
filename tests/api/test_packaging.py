"""The installed package matches the checkout."""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
from pathlib import Path

import pytest
from paths import ROOT

import velcodec

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
def test_the_symlinks_are_relative_and_point_to_the_top_level(name: str) -> None:
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
                own = name == "velcodec.formats" or name.startswith("velcodec.formats.")
                top = name.split(".")[0]
                assert own or top not in {"torch", "velcodec", "cli"}, f"{path}: {name}"


def test_the_changelog_and_the_citation_have_this_version() -> None:
    assert f"## {velcodec.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {velcodec.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name


def test_the_extra_all_has_every_extra_of_users_but_that_for_inversion() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    developers = {"bench", "browser", "docs", "fuzz", "test"}
    (whole,) = extras["all"]
    named = set(whole.removeprefix("velcodec[").removesuffix("]").split(","))
    assert named == set(extras) - developers - {"all", "fwi"}


def test_every_package_is_required_in_one_range() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    ranges: dict[str, set[str]] = {}
    for requirement in [*PROJECT["project"]["dependencies"], *itertools.chain(*extras)]:
        name, bounds = re.fullmatch(r"([\w-]+)(?:\[.*\])?(.*)", requirement).groups()
        ranges.setdefault(name, set()).add(bounds)
    assert {name: found for name, found in ranges.items() if len(found) > 1} == {}


def test_the_command_for_readers_names_every_dependency_but_torch() -> None:
    told = (ROOT / "docs" / "dependencies.md").read_text()
    (command,) = re.findall(r"^pip install (\"click.*?)\npip", told, re.M | re.S)
    needed = [each for each in PROJECT["project"]["dependencies"] if not each.startswith("torch")]
    assert re.findall(r'"(.*?)"', command) == needed


def test_every_dependency_has_a_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in PROJECT["project"]["dependencies"]:
        name = requirement.split(">")[0]
        assert f"| {name} |" in reasons, name
