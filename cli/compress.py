"""`velcodec compress`: an `.npy` file goes in, a `.vlat` archive comes out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from . import options
from .encoding import encode_file
from .failures import about
from .info import stored_text
from .progress import progress
from .report import count, show_json


@click.command(short_help="Compress models from an .npy file.")
@click.argument("source", metavar="IN.NPY", type=options.PATH)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH)
@options.source
@options.geometry
@options.coding
@options.decoder
@click.option(
    "--keys",
    type=options.PATH,
    metavar="FILE",
    help="Text file with a name for each model, one a line.  [default: their numbers]",
)
@click.option("--key-prefix", metavar="TEXT", help="Name the models TEXT0, TEXT1, ...")
@click.option("--provenance", default="", metavar="TEXT", help="Where the models come from.")
@click.option("--licence", default="", metavar="TEXT", help="Licence of the models.")
@options.device
@options.force
@options.as_json
def compress(source: Path, target: Path, force: bool, as_json: bool, **settings: Any) -> None:
    """Compress the velocity models of IN.NPY to the archive OUT.VLAT.

    IN.NPY holds an array (nz,nx), (n,nz,nx) or (n,1,nz,nx) of float32, float64 or integers.
    Each model takes the bytes that it needs for what is promised: a PSNR (35 dB where nothing is
    asked for), an error bound, every bit, or a size. Every model is read back and measured.

    \b
    Example:
      velcodec compress models.npy models.vlat --dx 10 --dz 10
      velcodec compress models.npy better.vlat --psnr 40
      velcodec compress models.npy small.vlat --bytes-per-model 64
      velcodec compress models.npy same.vlat --lossless
      velcodec compress km.npy km.vlat --units km/s --order xz --licence "CC BY 4.0"
    """
    from velcodec.formats.atomic import atomic_write

    started = time.perf_counter()
    with (
        about(source, target),
        progress(source.name) as update,
        atomic_write(target, force=force, source=source) as stream,
    ):
        encoded = encode_file(source, settings, update)
        with about(target):
            encoded.write(stream)
    seconds = time.perf_counter() - started
    summary = encoded.summary
    if as_json:
        figures = {"source": source, "archive": target, **summary.to_dict(), "seconds": seconds}
        show_json(figures)
        return
    click.echo(
        f"{target}: {count(summary.models, 'model')} in {summary.bytes:,} bytes, "
        f"{summary.bytes_per_model:,.1f} per model, "
        f"{size_text(summary.input_bytes, summary.bytes)}"
    )
    ways = stored_text(summary.to_dict()["representations"])
    click.echo(f"stored {ways}" if ways[0].isdigit() else f"stored as {ways}")
    click.echo(
        f"PSNR {summary.mean_psnr:.2f} dB on average, {summary.worst_psnr:.2f} dB at the worst "
        f"(model {summary.worst_model}), greatest error {summary.max_error_m_s:g} m/s, measured on "
        f"what was read back; {seconds:.1f} s"
    )


def size_text(before: int, after: int) -> str:
    """`47 times smaller`, `1.3 times smaller`, or that the archive is larger than the models."""
    if after > before:
        return f"which is more than the {before:,} bytes of the models"
    ratio = before / after
    return f"{ratio:,.{0 if ratio >= 10 else 1}f} times smaller"
