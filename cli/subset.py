"""`velcodec subset`: some models of an archive as an archive, without decoding."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from velcodec.cli import options
from velcodec.cli.edited import tell
from velcodec.cli.failures import about
from velcodec.cli.outputs import WritesArchive
from velcodec.cli.progress import progress
from velcodec.cli.sources import (
    Source,
    are_chosen,
    check_output,
    choice_of,
    named,
    readable,
    short_name,
    writable,
)


@click.command(cls=WritesArchive, short_help="Copy some models of an archive to a new one.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH)
@options.selection
@options.force
@options.as_json
def subset(source: Source, target: Path, force: bool, as_json: bool, **settings: Any) -> None:
    """Copy the models of IN.VLAT that are meant to OUT.VLAT (- is the standard output).

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). Models come in the order in
    which --models and --key name them; of all or of these, those for which --where, --family and
    --mask hold are copied. Nothing is decoded.

    \b
    Example:
      velcodec subset models.vlat some.vlat --models 0:100,205
      velcodec subset models.vlat salt.vlat --family salt
      velcodec subset models.vlat deep.vlat --where 'depth>=2' --where site=north
      velcodec subset models.vlat train.vlat --mask train.npy
    """
    import velcodec

    check_output(target)
    if not are_chosen(settings):
        raise click.UsageError(
            "expected which models: --models, --key, --keys, --family, --where or --mask"
        )
    started = time.perf_counter()
    with (
        about(named(source), target),
        velcodec.open(readable(source)) as archive,
        progress(short_name(source)) as update,
    ):
        numbers = choice_of(settings).numbers(archive)
        into = writable(target)
        made = velcodec.subset(archive, into, numbers, force=force, on_progress=update)
    tell((source,), target, made, time.perf_counter() - started, as_json)
