"""`velcodec split`: an archive becomes a folder of shards, without decoding."""

from __future__ import annotations

import time
from pathlib import Path

import click

from velcodec.cli import options
from velcodec.cli.failures import about
from velcodec.cli.progress import progress
from velcodec.cli.report import count, show_json
from velcodec.cli.sources import Source, named, readable, short_name


@click.command(short_help="Make a folder of shards of an archive.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.argument("target", metavar="FOLDER", type=options.PATH)
@click.option(
    "--models-per-shard",
    type=click.IntRange(min=1),
    metavar="N",
    help="Models of each shard; the last one has what is left.  [default: 5000]",
)
@click.option(
    "--shards",
    "parts",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many shards, of nearly as many models each.",
)
@options.as_json
def split(
    source: Source, target: Path, models_per_shard: int | None, parts: int | None, as_json: bool
) -> None:
    """Split IN.VLAT into archives in a new FOLDER, which opens as one.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). Nothing is decoded.
    `velcodec cat FOLDER OUT.VLAT` is the way back.

    \b
    Example:
      velcodec split models.vlat shards/ --models-per-shard 10000
      velcodec split models.vlat four/ --shards 4
    """
    import velcodec

    started = time.perf_counter()
    with about(named(source), target), progress(short_name(source)) as update:
        shards = velcodec.split(
            readable(source),
            target,
            models_per_shard=models_per_shard,
            shards=parts,
            on_progress=update,
        )
    seconds = time.perf_counter() - started
    models, size = sum(one.models for one in shards), sum(one.bytes for one in shards)
    if as_json:
        figures = {"archive": source, "folder": target, "shards": len(shards), "models": models}
        show_json({**figures, "bytes": size, "seconds": seconds})
        return
    click.echo(
        f"{target}: {count(models, 'model')} in {count(len(shards), 'shard')} and {size:,} bytes; "
        f"{seconds:.1f} s"
    )
