"""`velcodec view`: look into archives in a browser."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.report import count, say
from velcodec.cli.sources import (
    Source,
    check_one_pipe,
    named,
    selected_source,
    short_name,
)

LOCAL = "127.0.0.1"
PAGES = (".html", ".htm")


@click.command(short_help="Look into archives in a browser.")
@click.argument("sources", metavar="IN.VLAT...", nargs=-1, required=True, type=options.SOURCE)
@click.option(
    "--against",
    type=options.PATH,
    multiple=True,
    metavar="IN",
    help="The original models of a single archive, as for verify: shows them beside the decoded "
    "ones, and the error.",
)
@options.selection
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port.  [default: a free one]"
)
@click.option(
    "--host",
    default=LOCAL,
    show_default=True,
    metavar="ADDRESS",
    help="Address to serve at. Another than this machine's own lets others look too.",
)
@click.option(
    "--export",
    type=options.PATH,
    metavar="PAGE.HTML",
    help="Write a page that needs no server instead, with up to 500 models of a single archive.",
)
@options.force
@click.option("--no-browser", is_flag=True, help="Only print the address of the page.")
@options.decoder
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Number of CPU threads.")
def view(
    sources: tuple[Source, ...],
    against: tuple[Path, ...],
    port: int,
    host: str,
    export: Path | None,
    force: bool,
    no_browser: bool,
    decoder: str | None,
    threads: int | None,
    **settings: Any,
) -> None:
    """Show the models of IN.VLAT... in a browser: a gallery, and each model at any zoom.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). The page is served from
    this machine, to this machine only, at an address with a random token. It ends with Ctrl-C, a
    signal (kill, also in the background), or when the page is closed. Needs velcodec[view].

    --export writes the page to a file instead, which decodes its models itself, anywhere.

    \b
    Example:
      velcodec view models.vlat
      velcodec view models.vlat --against models.npy
      velcodec view shards/ https://example.org/models.vlat --family flatvel_a
      velcodec view models.vlat --models 0:12 --export models.html
    """
    from velcodec.parallel import set_threads

    check_one_pipe(sources)
    set_threads(threads)
    if export is not None:
        if len(sources) > 1 or against:
            raise click.UsageError("--export: expected a single archive, without --against")
        if export.suffix.lower() not in PAGES:
            raise click.UsageError(
                f"--export: found the suffix {export.suffix or 'none'} ({export}), expected "
                f"{' or '.join(PAGES)}"
            )
        _export(sources[0], export, decoder, force, settings)
        return
    from velcodec.formats.extras import needed

    needed("aiohttp.web", "view", "the viewer")
    import velcodec
    from velcodec.files.originals import open_originals
    from velcodec.view.server import Viewed

    if against and len(sources) > 1:
        raise click.UsageError("--against: expected a single archive")
    if against and any(settings.values()):
        raise click.UsageError("--against: expected all models of the archive, without a selection")
    with ExitStack() as stack:
        shown = []
        for source in sources:
            with note_file(named(source), *against):
                opened = velcodec.open(selected_source(source, settings), decoder=decoder)
                archive = stack.enter_context(opened)
                where = against[0] if len(against) == 1 else against
                originals = open_originals(archive, where) if against else None
            shown.append(Viewed(short_name(source), archive, originals))
        _serve(shown, host, port, no_browser)


def _export(
    source: Source, path: Path, decoder: str | None, force: bool, settings: dict[str, Any]
) -> None:
    """Write a page of the selected models."""
    import velcodec
    from velcodec.formats.storage.atomic import check_target
    from velcodec.view.export import write_page

    check_target(path, force=force, source=source if isinstance(source, Path) else None)
    with (
        note_file(named(source), path),
        velcodec.open(selected_source(source, settings), decoder=decoder) as archive,
    ):
        size = write_page(archive, range(len(archive)), short_name(source), path, force)
        say(f"{path}: {count(len(archive), 'model')} in a page of {count(size, 'byte')}")


def _serve(shown: Any, host: str, port: int, no_browser: bool) -> None:
    """Serve until the page is closed, or a signal such as that of Ctrl-C ends it."""
    import asyncio
    import signal
    import threading
    import webbrowser

    from velcodec.view.server import LOCAL as LOCAL_NAMES
    from velcodec.view.server import serve

    if host not in LOCAL_NAMES:
        say(
            f"velcodec: warning: --host {host}: whoever knows the address can look into these "
            "archives, unencrypted",
            err=True,
        )

    def opened(address: str) -> None:
        say(f"{address} shows {', '.join(each.name for each in shown)}; Ctrl-C ends it")
        if not no_browser:  # a browser in the terminal would hold the server up
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    ended_by: list[str] = []

    async def until_told() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def end(number: signal.Signals) -> None:
            ended_by.append(number.name)
            task.cancel()

        # A shell has what it runs in the background ignore Ctrl-C, so that Python does too: only
        # handlers of our own make `kill -INT` and `kill` end the page in order.
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, end, number)
        with suppress(asyncio.CancelledError):
            await serve(shown, host, port, opened)

    with suppress(KeyboardInterrupt):
        asyncio.run(until_told())
    if ended_by:
        say(f"ended by {ended_by[0]}", err=True)
