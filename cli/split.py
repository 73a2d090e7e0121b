"""`velcodec split`: split an archive into a folder of shards, without decoding."""

from __future__ import annotations

import time
from pathlib import Path

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.progress import progress
from velcodec.cli.report import count, say, show_json
from velcodec.cli.sources import Source, named, readable, short_name


@click.command(short_help="Split an archive into a folder of shards.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.argument("target", metavar="FOLDER", type=options.PATH)
@click.option(
    "--models-per-shard",
    type=click.IntRange(min=1),
    metavar="N",
    help="Models in each shard; the last one has the rest.  [default: 5000]",
)
@click.option(
    "--shards",
    "parts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of shards, of nearly equal size.",
)
@options.ignore_rest
@options.as_json
def split(
    source: Source,
    target: Path,
    models_per_shard: int | None,
    parts: int | None,
    ignore_rest: bool,
    as_json: bool,
) -> None:
    """Split IN.VLAT into shards in a new FOLDER, which opens as one archive.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). Nothing is decoded.
    `velcodec cat FOLDER OUT.VLAT` reverses it.

    \b
    Example:
      velcodec split models.vlat shards/ --models-per-shard 10000
      velcodec split models.vlat four/ --shards 4
    """
    import velcodec

    started = time.perf_counter()
    with note_file(named(source), target), progress(short_name(source)) as update:
        shards = velcodec.split(
            readable(source),
            target,
            models_per_shard=models_per_shard,
            shards=parts,
            ignore_rest=ignore_rest,
            on_progress=update,
        )
    seconds = time.perf_counter() - started
    models, size = sum(one.models for one in shards), sum(one.bytes for one in shards)
    if as_json:
        figures = {"archive": source, "folder": target, "shards": len(shards), "models": models}
        show_json({**figures, "bytes": size, "seconds": seconds})
        return
    say(
        f"{target}: {count(models, 'model')} in {count(len(shards), 'shard')} and {size:,} bytes; "
        f"{seconds:.1f} s"
    )
