"""`velcodec preview`: models as the first part of their latents tells them."""

from __future__ import annotations

import time
from pathlib import Path

import click

from .decompress import rendering, tell, write_all
from .failures import about


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
    source: Path,
    target: Path | None,
    res: tuple[int, int] | None,
    allow_large: bool,
    decoder: str | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    size: int | None,
    coefficients: int | None,
) -> None:
    """Render the models of IN.VLAT from a prefix of each latent, as `decompress` renders them all.

    One of --bytes and --coefficients is needed; coefficients beyond count as zero. OUT.NPY defaults
    to the archive's name with .preview.npy.

    \b
    Example:
      velcodec preview models.vlat coarse.npy --bytes 20
      velcodec preview models.vlat coarse.npy --coefficients 64 --res 140
    """
    if (size is None) == (coefficients is None):
        raise click.UsageError("expected one of --bytes and --coefficients")
    from velcodec.codec.preview import PreviewArchive
    from velcodec.formats.prefix import Prefix
    from velcodec.threads import set_threads

    target = target or source.with_suffix(".preview.npy")
    prefix = Prefix(size, coefficients)
    started = time.perf_counter()
    with (
        about(source, target),
        PreviewArchive(source, prefix, decoder=decoder, device=device) as archive,
    ):
        set_threads(threads)
        shape = write_all(archive, source, target, res, allow_large, force)
    tell(source, target, shape, time.perf_counter() - started, as_json)
