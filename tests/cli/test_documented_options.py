"""docs/cli.md documents every command and option, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from checkers import subcommands
from paths import DOCS

from velcodec.cli import main

PAGE = (DOCS / "cli.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMON = "options-that-mean-the-same-everywhere"


def anchor(head: str) -> str:
    return re.sub(r"[^a-z0-9-]", "", head.lower().replace(" ", "-"))


def sections() -> dict[str, str]:
    found = {}
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        head, _, text = part.partition("\n")
        found[anchor(head)] = text
    return found


SECTIONS = sections()


def commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command with the name of its section: its group's if it has one."""
    for name, command in subcommands(group):
        if isinstance(command, click.Group):
            yield from ((name, child) for _, child in subcommands(command))
        else:
            yield name, command


COMMANDS = list(commands(main))
NAMES = sorted({name for name, _ in COMMANDS})


def documented(name: str) -> set[str]:
    """The options in a command's section and in the sections that it links to."""
    text, seen = SECTIONS[name], {name}
    led = re.findall(r"\(#([a-z-]+)\)", text)
    while led:
        other = led.pop()
        if other not in seen:
            seen.add(other)
            text += SECTIONS[other]
            led += re.findall(r"\(#([a-z-]+)\)", SECTIONS[other])
    return set(OPTION.findall(text)) | set(OPTION.findall(SECTIONS[COMMON]))


def options(name: str) -> set[str]:
    return {
        text
        for own, command in COMMANDS
        if own == name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for text in parameter.opts
        if text.startswith("--")
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_section_and_a_line_in_the_table(name: str) -> None:
    assert name in SECTIONS
    assert f"| `velcodec {name}" in PAGE


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_command_is_documented(name: str) -> None:
    assert options(name) <= documented(name)


def test_every_documented_option_exists() -> None:
    own = {text for parameter in main.params for text in parameter.opts} | {"--help"}
    everything = {text for name in NAMES for text in options(name)} | own
    assert own - {"-h"} <= set(OPTION.findall(SECTIONS[COMMON]))
    assert set(OPTION.findall(PAGE)) <= everything


@pytest.mark.parametrize("head", SECTIONS)
def test_tables_of_a_section_list_options_of_its_command(head: str) -> None:
    if head in NAMES:
        rows = re.findall(r"^\| (`--[^|]*)\|", SECTIONS[head], flags=re.MULTILINE)
        assert set(OPTION.findall(" ".join(rows))) <= options(head)
