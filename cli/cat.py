"""`velcodec cat`: archives become one, without decoding."""

from __future__ import annotations

import time
from pathlib import Path

import click

from velcodec.cli import options
from velcodec.cli.edited import tell
from velcodec.cli.failures import about
from velcodec.cli.outputs import WritesArchive
from velcodec.cli.progress import progress
from velcodec.cli.sources import (
    Source,
    check_one_pipe,
    check_output,
    named,
    readable,
    short_name,
    writable,
)


@click.command(cls=WritesArchive, short_help="Merge archives into one.")
@click.argument("sources", metavar="IN.VLAT...", type=options.SOURCE, nargs=-1, required=True)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH, is_eager=True)
@click.option(
    "--keys",
    type=click.Choice(["keep", "first", "prefix", "drop"]),
    default="keep",
    show_default=True,
    help="keep: each must be there once; first: of models with the same key take the first; "
    "prefix: put the archive's name before it; drop: numbers are the keys.",
)
@options.force
@options.as_json
def cat(sources: tuple[Source, ...], target: Path, keys: str, force: bool, as_json: bool) -> None:
    """Merge the archives IN.VLAT into OUT.VLAT (- is the standard output), in this order.

    Each is a file, a folder of shards, a URL, or - (standard input). Nothing is decoded; archives
    of other grids, promises and decoders may come together. Embedded decoders go with them, each
    once.

    \b
    Example:
      velcodec cat flat.vlat curved.vlat all.vlat
      velcodec cat shards/ one.vlat
      velcodec cat a.vlat b.vlat both.vlat --keys prefix
    """
    import velcodec

    check_output(target)
    check_one_pipe(sources)
    started = time.perf_counter()
    with about(*map(named, sources), target), progress(short_name(sources[0])) as update:
        archives = [readable(source) for source in sources]
        into = writable(target)
        made = velcodec.cat(archives, into, keys=keys, force=force, on_progress=update)
    tell(sources, target, made, time.perf_counter() - started, as_json)
