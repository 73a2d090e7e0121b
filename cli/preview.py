"""`velcodec preview`: models as the first part of their latents tells them."""

from __future__ import annotations

import time
from typing import Any

import click

from velcodec.cli.decompress import place_of, rendering, restoring, tell, write_all
from velcodec.cli.failures import about
from velcodec.cli.sources import Source, chosen_part, named


@click.command(short_help="Render an archive from the first bytes of its latents.")
@rendering
@click.option(
    "--bytes",
    "size",
    type=click.IntRange(min=0),
    metavar="N",
    help="Use the first N bytes of every tile's stream.",
)
@click.option(
    "--coefficients",
    type=click.IntRange(min=0),
    metavar="K",
    help="Use the first K coefficients of every tile.",
)
def preview(
    source: Source,
    target: str | None,
    decoder: str | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    size: int | None,
    coefficients: int | None,
    **settings: Any,
) -> None:
    """Render the models of IN.VLAT from a prefix of each latent, as `decompress` renders them all.

    One of --bytes and --coefficients is needed; coefficients beyond count as zero. OUT is
    as for `decompress` and defaults to the archive's name with .preview.npy.

    \b
    Example:
      velcodec preview models.vlat coarse.npy --bytes 20
      velcodec preview models.vlat coarse.npy --coefficients 64 --res 140
    """
    if (size is None) == (coefficients is None):
        raise click.UsageError("expected one of --bytes and --coefficients")
    from velcodec.archive.preview import PreviewArchive
    from velcodec.formats.latent_coding.prefix import Prefix
    from velcodec.parallel import set_threads

    how = restoring(settings)
    where = place_of(source, target, how, ".preview")
    prefix = Prefix(size, coefficients)
    started = time.perf_counter()
    with (
        about(named(source), where),
        PreviewArchive(
            chosen_part(source, settings), prefix, decoder=decoder, device=device
        ) as archive,
    ):
        set_threads(threads)
        figures = write_all(archive, source, target, where, how, force)
    tell(source, where, figures, time.perf_counter() - started, as_json)
