"""Help is complete and fast: examples everywhere, and no import of torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from checkers import subcommands
from click.testing import CliRunner

from velcodec.cli import main


def all_commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for name, child in subcommands(command):
            yield from all_commands(child, (*words, name))


COMMANDS = dict(all_commands(main))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    examples = result.stdout.partition("Example:")[2]
    assert f"velcodec {' '.join(words)}".strip() in examples


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["compress", "--help"], ["evaluate", "--help"]],
    ids=" ".join,
)
def test_help_and_version_import_neither_torch_nor_numpy(arguments: list[str]) -> None:
    assert not {"torch", "numpy"} & set(modules_after(arguments))


def modules_after(arguments: list[str]) -> list[str]:
    """Names of the modules that a new process has imported when the command ends."""
    code = (
        "import sys, contextlib, io\n"
        "from velcodec.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main({arguments!r})\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_usage_errors_are_one_line_and_exit_2() -> None:
    result = CliRunner().invoke(main, ["compress", "--no-such-option"])
    assert result.exit_code == 2
    assert result.stderr.startswith("velcodec: error: No such option")
    assert "--no-such-option" in result.stderr
    assert "velcodec compress --help" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_argument_is_named() -> None:
    result = CliRunner().invoke(main, ["compress"])
    assert result.exit_code == 2
    assert "IN..." in result.stderr


@pytest.mark.parametrize(
    ("command", "out"),
    [("compress", "OUT.VLAT"), ("append", "ARCHIVE.VLAT"), ("cat", "OUT.VLAT")],
)
def test_a_single_name_lacks_the_output(command: str, out: str) -> None:
    result = CliRunner().invoke(main, [command, "in.npy"])
    assert result.exit_code == 2
    assert f"Missing argument '{out}'" in result.stderr


def test_an_unknown_command_is_named() -> None:
    result = CliRunner().invoke(main, ["squash"])
    assert result.exit_code == 2
    assert "'squash'" in result.stderr


@pytest.mark.parametrize("words", [[], ["decoder"]], ids=["velcodec", "decoder"])
def test_a_group_without_a_command_shows_its_help(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "Commands:\n" in result.stderr
