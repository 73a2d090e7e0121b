"""`velcodec subset`: copy some models of an archive, without decoding."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from velcodec.cli import options
from velcodec.cli.edited import show_edited
from velcodec.cli.failures import note_file
from velcodec.cli.outputs import WritesArchive
from velcodec.cli.progress import progress
from velcodec.cli.sources import (
    Source,
    check_output,
    has_selection,
    named,
    readable,
    short_name,
    subset_of,
    writable,
)


@click.command(cls=WritesArchive, short_help="Copy some models of an archive to a new one.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH)
@options.selection
@options.ignore_rest
@options.force
@options.as_json
def subset(
    source: Source, target: Path, force: bool, ignore_rest: bool, as_json: bool, **settings: Any
) -> None:
    """Copy the selected models of IN.VLAT to OUT.VLAT (- is the standard output).

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). --models and --key name
    models in order, by default all; --where, --family and --mask then select among these. Nothing
    is decoded.

    \b
    Example:
      velcodec subset models.vlat some.vlat --models 0:100,205
      velcodec subset models.vlat salt.vlat --family salt
      velcodec subset models.vlat deep.vlat --where 'depth>=2' --where site=north
      velcodec subset models.vlat train.vlat --mask train.npy
    """
    import velcodec

    check_output(target)
    if not has_selection(settings):
        raise click.UsageError(
            "expected a selection: --models, --key, --keys, --family, --where or --mask"
        )
    started = time.perf_counter()
    with (
        note_file(named(source), target),
        velcodec.open(readable(source)) as archive,
        progress(short_name(source)) as update,
    ):
        numbers = subset_of(settings).numbers(archive)
        into = writable(target)
        copied = velcodec.subset(
            archive, into, numbers, force=force, ignore_rest=ignore_rest, on_progress=update
        )
    show_edited((source,), target, copied, time.perf_counter() - started, as_json)
