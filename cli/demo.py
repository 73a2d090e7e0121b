"""`velcodec demo`: the whole way on a bundled sample, with figures and a picture."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .encoding import encode_models
from .figures import HEADS, Comparison, compare, in_memory
from .progress import progress
from .report import count, show_json, show_table

if TYPE_CHECKING:
    from velcodec import Archive
    from velcodec.formats.npy import ModelArray

RESOLUTION = 280
FAMILIES = ("flatvel-a", "curvevel-a", "flatfault-a", "curvefault-a", "style-a", "geology")
SETTINGS: dict[str, Any] = {
    "units": "m/s",
    "order": "zx",
    "dx": 10.0,
    "dz": 10.0,
    "origin": (0.0, 0.0),
    "bytes_per_model": None,
    "fit": "lm",
    "decoder": None,
    "key_prefix": None,
    "provenance": "velcodec's bundled sample, generated",
    "licence": "BSD-3-Clause",
}


@click.command(short_help="The whole way on a bundled sample, with a picture.")
@click.option(
    "--out",
    type=options.PATH,
    default=Path("."),
    metavar="FOLDER",
    help="Where velcodec-demo.vlat and velcodec-demo.png go, made if absent.  "
    "[default: this folder]",
)
@click.option("--no-picture", is_flag=True, help="Print the figures only (needs no matplotlib).")
@options.device
@options.force
@options.as_json
def demo(
    out: Path, no_picture: bool, device: str, threads: int | None, force: bool, as_json: bool
) -> None:
    """Compress a bundled sample, render it at 280 x 280, print figures, draw a picture.

    The sample holds one generated model of 70 x 70 of each of six kinds of geology.

    \b
    Example:
      velcodec demo
      velcodec demo --out demo --force
    """
    import velcodec
    from velcodec.formats.atomic import atomic_write, make_folder
    from velcodec.formats.npy import read_models

    archive_path, picture_path = out / "velcodec-demo.vlat", out / "velcodec-demo.png"
    models = read_models(sample_path(), order="zx", units="m/s")
    settings = {**SETTINGS, "device": device, "threads": threads}
    make_folder(out)
    with progress("demo") as update, atomic_write(archive_path, force=force) as stream:
        encoded = encode_models(models, settings, update)
        encoded.write(stream)
    with velcodec.open(archive_path, device=device) as archive, progress("demo") as update:
        comparison = compare(archive, in_memory(models), len(encoded.data), update)
        if not no_picture:
            draw(archive, models, comparison, picture_path, force)
    if as_json:
        picture = None if no_picture else picture_path
        figures = comparison.to_dict(per_model=True)
        show_json({"archive": archive_path, "picture": picture, **figures})
        return
    rows = [
        [f"{row[0]} {name}", *row[1:]]
        for name, row in zip(FAMILIES, comparison.rows(), strict=True)
    ]
    show_table(["model", *HEADS[1:]], rows)
    click.echo()
    show_table(["all", *HEADS], [["mean, but max", *comparison.cells()]])
    click.echo()
    click.echo(
        f"{archive_path}: {count(comparison.size, 'byte')} for {models.models.nbytes:,} bytes of "
        f"models (the header is shared by {count(len(models.models), 'model')} only)"
    )
    if not no_picture:
        click.echo(f"{picture_path}: original, rendering at {RESOLUTION} x {RESOLUTION}, error")


def sample_path() -> Path:
    """The bundled sample; velcodec/data/README.md says how it was made."""
    return Path(str(resources.files("velcodec") / "data" / "sample.npy"))


def draw(
    archive: Archive, models: ModelArray, comparison: Comparison, path: Path, force: bool
) -> None:
    """Write the picture."""
    from velcodec.formats.atomic import atomic_write

    from .picture import draw_comparison

    numbers = range(len(archive))
    geometry = archive.geometry(0)
    with atomic_write(path, force=force) as stream:
        draw_comparison(
            list(models.models),
            list(archive),
            list(archive.decode(numbers, RESOLUTION)),
            FAMILIES,
            [f"{q.psnr:.1f} dB" for q in comparison.qualities],
            (0.0, geometry.nx * geometry.dx_m / 1e3, geometry.nz * geometry.dz_m / 1e3, 0.0),
            stream,
        )
