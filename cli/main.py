"""The command group, and the handling of every failure.

A failure prints one line on stderr, `velcodec: error: ...`, and ends with an exit code listed in
docs/cli.md. Only a bug in velcodec shows a traceback, never a bad input.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from velcodec.cli.failures import message_of
from velcodec.cli.report import say

EXIT_USAGE = 2
EXIT_SYSTEM = 3
EXIT_INTERRUPTED = 130

FUNCTION = re.compile(r"(velcodec|Archive)\.")
"""How messages begin that name a function of the library."""

MODULES = {
    "append": "compress",
    "cat": "cat",
    "compress": "compress",
    "decoder": "decoders",
    "decompress": "decompress",
    "demo": "demo",
    "evaluate": "evaluate",
    "fwi": "fwi",
    "info": "info",
    "interpolate": "interpolate",
    "ls": "ls",
    "preview": "preview",
    "repair": "repair",
    "slice": "slice",
    "split": "split",
    "subset": "subset",
    "synth": "synth",
    "train": "train",
    "verify": "verify",
    "view": "view",
}
"""The module of each command, imported when the command is used."""


class Commands(click.Group):
    """All commands; failures are one line on stderr and a documented exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in MODULES:
            return None
        command: click.Command = getattr(
            import_module(f".{MODULES[cmd_name]}", __package__), cmd_name
        )
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and name it where torch is not installed and it needs it: the library
        names a function.
        """
        try:
            return super().invoke(ctx)
        except ImportError as error:
            from velcodec.formats.errors import MissingExtraError
            from velcodec.formats.extras import lacks_torch, no_torch

            if not lacks_torch(error):
                raise
            command, text = ctx.invoked_subcommand or "", str(error)
            if isinstance(error, MissingExtraError) and not FUNCTION.match(text):
                raise MissingExtraError(f"{command}: {text}") from error  # a device, or a decoder
            raise MissingExtraError(no_torch(command)) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; in standalone mode end the process with the exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            fail("interrupted", EXIT_INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(EXIT_USAGE)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "velcodec"
            fail(f"{error.format_message()} (see {command} --help)", EXIT_USAGE)
        except click.ClickException as error:
            fail(error.format_message(), error.exit_code)
        except BrokenPipeError:
            # The reader of the output has exited (`velcodec info x | head`): end quietly.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            fail(*explain(error))
        sys.exit(code if isinstance(code, int) else 0)


def explain(error: Exception) -> tuple[str, int]:
    """The message and exit code of an expected failure; raises any other error again."""
    from velcodec.formats.errors import CorruptError, TruncatedError, VelcodecError

    if isinstance(error, VelcodecError):
        damaged = isinstance(error, CorruptError | TruncatedError)
        hint = "; velcodec repair may save what is intact" if damaged else ""
        return message_of(error) + hint, error.exit_code
    if isinstance(error, OSError):
        return message_of(error), EXIT_SYSTEM
    if isinstance(error, MemoryError):
        return f"not enough memory: {message_of(error)}", EXIT_SYSTEM
    raise error


def fail(message: str, code: int) -> NoReturn:
    """End the process with one line on stderr."""
    say(f"velcodec: error: {' '.join(message.split())}", err=True)
    sys.exit(code)


class Warnings(logging.Handler):
    """Prints the library's warnings on stderr, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        say(f"velcodec: warning: {' '.join(record.getMessage().split())}", err=True)


def show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and end."""
    if wanted and not context.resilient_parsing:
        from velcodec.version import __version__

        click.echo(f"velcodec {__version__}")
        context.exit()


@click.group("velcodec", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Time for the server of a URL to answer (also VELCODEC_TIMEOUT).  [default: 30]",
)
@click.pass_context
def main(context: click.Context, timeout: float | None) -> None:
    """Store seismic velocity models in small files that render at any resolution.

    \b
    Example:
      velcodec compress models.npy models.vlat --dx 10 --dz 10
      velcodec decompress models.vlat fine.npy --res 280
    """
    if timeout is not None:
        context.call_on_close(_set_timeout(timeout))
    logger = logging.getLogger("velcodec")
    if not any(isinstance(handler, Warnings) for handler in logger.handlers):
        logger.addHandler(Warnings(logging.WARNING))


def _set_timeout(seconds: float) -> Callable[[], None]:
    """Set the time servers have to answer, here and in child processes; return a function that
    undoes it.
    """
    from velcodec.formats.storage.retry import TIMEOUT_VARIABLE

    before = os.environ.get(TIMEOUT_VARIABLE)
    os.environ[TIMEOUT_VARIABLE] = repr(seconds)

    def undo() -> None:
        if before is None:
            del os.environ[TIMEOUT_VARIABLE]
        else:
            os.environ[TIMEOUT_VARIABLE] = before

    return undo
