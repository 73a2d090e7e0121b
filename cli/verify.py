"""`velcodec verify`: is an archive whole, and how close is it to the models it was made from?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .failures import about
from .figures import HEADS, Comparison, compare
from .progress import progress
from .report import count, show_json, show_table

if TYPE_CHECKING:
    import velcodec
    from velcodec.formats.npy import ModelArray


@click.command(short_help="Check an archive; compare it with the original.")
@click.argument("source", metavar="IN.VLAT", type=options.PATH)
@click.option(
    "--against",
    type=options.PATH,
    metavar="IN.NPY",
    help="The original, to compare with: prints PSNR, SSIM, MAE and the largest error.",
)
@click.option("--per-model", is_flag=True, help="Print the figures of every model too.")
@options.decoder
@options.device
@options.as_json
def verify(
    source: Path,
    against: Path | None,
    per_model: bool,
    decoder: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Check that IN.VLAT is whole: every checksum holds and every model decodes.

    With --against, the archive's units and axis order are used to read the original; an original
    of another shape is an error.

    \b
    Example:
      velcodec verify models.vlat
      velcodec verify models.vlat --against models.npy --per-model
    """
    import velcodec
    from velcodec.threads import set_threads

    set_threads(threads)
    with (
        about(source, against or source),
        velcodec.open(source, decoder=decoder, device=device) as archive,
        progress(source.name) as update,
    ):
        figures: dict[str, Any] = {"archive": source, "models": len(archive), "whole": True}
        if against is None:
            decode_all(archive, update)
            comparison = None
        else:
            original = read_original(archive, against)
            comparison = compare(archive, original, source.stat().st_size, update)
            stored = archive.header.source.sha256
            figures |= {
                "against": against,
                "source_sha256_matches": None if stored is None else stored == original.sha256,
                **comparison.to_dict(per_model),
            }
    if as_json:
        show_json(figures)
        return
    click.echo(f"{source}: {count(len(archive), 'model')}, every checksum holds, all decode")
    if comparison is not None:
        show_comparison(comparison, figures, per_model)


def decode_all(archive: velcodec.Archive, update: Callable[[int, int, str], None]) -> None:
    """Decode every model once; a fault raises."""
    for number, _ in enumerate(archive):
        update(number + 1, len(archive), "decode")


def read_original(archive: velcodec.Archive, path: Path) -> ModelArray:
    """The original as the archive says that it lay; an error if it is of another shape."""
    from velcodec.formats.errors import InputShapeError, MixedShapesError
    from velcodec.formats.npy import read_models

    layouts = archive.layouts
    if len(layouts) != 1:
        raise MixedShapesError(
            f"models of {len(layouts)} kinds cannot be compared with one array; "
            "take them from velcodec.open in Python"
        )
    layout = layouts[0]
    order = "xz" if layout.axes.endswith("xz") else "zx"
    original = read_models(path, order=order, units=layout.units)
    expected = (len(archive), layout.nz, layout.nx)
    if original.models.shape != expected:
        raise InputShapeError(
            f"{path}: expected {text(expected)} models like those in the archive, "
            f"found {text(original.models.shape)}"
        )
    return original


def text(shape: tuple[int, ...]) -> str:
    """`400 x 70 x 70`."""
    return " x ".join(map(str, shape))


def show_comparison(comparison: Comparison, figures: dict[str, Any], per_model: bool) -> None:
    """Print the figures as tables, and whether the original is the very file."""
    matches = figures["source_sha256_matches"]
    if matches is not None:
        same = "is the file" if matches else "is NOT the file (another SHA-256)"
        click.echo(f"{figures['against']} {same} that the archive was made from")
    if per_model:
        show_table(["model", *HEADS[1:]], comparison.rows())
    show_table(["all models", *HEADS], [["mean, but max", *comparison.cells()]])
