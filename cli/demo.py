"""`velcodec demo`: compress, render and measure a bundled sample, with a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.encoding import encode_models
from velcodec.cli.figures import Comparison, compare, in_memory, mean
from velcodec.cli.progress import progress
from velcodec.cli.report import count, say, show_json, show_table
from velcodec.effort import DEFAULT_EFFORT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from velcodec import Archive
    from velcodec.formats.files.npy import ModelArray

RESOLUTION = 280
SEED = 70_000_007
"""Seed of the bundled sample; see velcodec/data/README.md."""

FAMILIES = ("flatvel-a", "curvevel-a", "flatfault-a", "curvefault-a", "style-a", "geology")
FINER = f"{RESOLUTION} x {RESOLUTION}"
FINER_HEADS = (f"PSNR dB at {FINER}", "bicubic")
SETTINGS: dict[str, Any] = {
    "units": "m/s",
    "order": "zx",
    "dx": 10.0,
    "dz": 10.0,
    "origin": (0.0, 0.0),
    "bytes_per_model": None,
    "effort": DEFAULT_EFFORT,
    "decoder": None,
    "key_prefix": None,
    "provenance": "velcodec's bundled sample, generated",
    "licence": "BSD-3-Clause",
}


@dataclass(frozen=True)
class Finer:
    """Every model at RESOLUTION, [z, x] m/s: rendered, and upsampled from the original samples.

    `truth` is the generator's rendering; None if it no longer draws the bundled models.
    """

    rendering: Sequence[NDArray[np.floating]]
    bicubic: Sequence[NDArray[np.floating]]
    truth: Sequence[NDArray[np.floating]] | None

    def psnr(self) -> list[tuple[float, float]] | None:
        """PSNR in dB of rendering and bicubic, for every model; None without truth."""
        from velcodec.metrics import psnr

        if self.truth is None:
            return None
        each = zip(self.truth, self.rendering, self.bicubic, strict=True)
        return [(psnr(true, rendering), psnr(true, bicubic)) for true, rendering, bicubic in each]


@click.command(short_help="Compress and render a bundled sample, with a picture.")
@click.option(
    "--out",
    type=options.PATH,
    default=Path("."),
    metavar="FOLDER",
    help="Folder for velcodec-demo.vlat and velcodec-demo.png, created if missing.  "
    "[default: this folder]",
)
@click.option("--no-picture", is_flag=True, help="Print only the figures (needs no matplotlib).")
@options.device
@options.force
@options.as_json
def demo(
    out: Path, no_picture: bool, device: str, threads: int | None, force: bool, as_json: bool
) -> None:
    """Compress a bundled sample, render it at 280 x 280, print figures, draw a picture.

    The sample holds six generated models of 70 x 70, one for each kind of geology. The generator
    also draws them at 280 x 280; the rendering is compared with that, and so is bicubic upsampling
    of the original samples.

    \b
    Example:
      velcodec demo
      velcodec demo --out demo --force
    """
    import velcodec
    from velcodec.formats.files.npy import read_models
    from velcodec.formats.storage.atomic import atomic_write, make_folder

    archive_path, picture_path = out / "velcodec-demo.vlat", out / "velcodec-demo.png"
    models = read_models(sample_path(), order="zx", units="m/s")
    settings = {**SETTINGS, "device": device, "threads": threads}
    make_folder(out)
    with progress("demo") as update, atomic_write(archive_path, force=force) as stream:
        encoded = encode_models(models, settings, update)
        encoded.write(stream)
    with velcodec.open(archive_path, device=device) as archive, progress("demo") as update:
        comparison = compare(archive, in_memory(models), len(encoded.data), update)
        finer = render_finer(archive, models)
        if not no_picture:
            draw(archive, models, comparison, finer, picture_path, force)
    fine = finer.psnr()
    if as_json:
        picture = None if no_picture else picture_path
        figures = with_finer(comparison.to_dict(per_model=True), fine)
        show_json({"archive": archive_path, "picture": picture, **figures})
        return
    each = fine or []
    heads, rows = comparison.model_table()
    rows = [
        [f"{row[0]} {name}", *row[1:], *fine_cells(each[i : i + 1])]
        for i, (name, row) in enumerate(zip(FAMILIES, rows, strict=True))
    ]
    finer_heads = FINER_HEADS if each else ()
    show_table([*heads, *finer_heads], rows)
    say()
    heads = comparison.heads()
    means = [*comparison.cells(heads), *fine_cells(each)]
    show_table(["all", *heads, *finer_heads], [["mean, but max", *means]])
    say()
    say(
        f"{archive_path}: {count(comparison.size, 'byte')} for {models.models.nbytes:,} bytes of "
        f"models (the header is shared by {count(len(models.models), 'model')} only)"
    )
    if not no_picture:
        truth = "truth, " if each else ""
        say(f"{picture_path}: original, {truth}rendering and bicubic at {FINER}, errors")


def sample_path() -> Path:
    """The bundled sample; see velcodec/data/README.md."""
    return Path(str(resources.files("velcodec") / "data" / "sample.npy"))


def render_finer(archive: Archive, models: ModelArray) -> Finer:
    """All models at RESOLUTION."""
    import numpy as np

    from velcodec.report.upsampling import upsample

    return Finer(
        list(archive.decode(range(len(archive)), RESOLUTION)),
        [upsample(model.astype(np.float64), RESOLUTION, "bicubic") for model in models.models],
        truth_of(models),
    )


def truth_of(models: ModelArray) -> list[NDArray[np.floating]] | None:
    """The models at RESOLUTION, drawn by the generator; None if it draws other models."""
    import numpy as np

    from velcodec import synth

    nz, nx = models.models.shape[1:]
    truth = []
    for family, model in zip(FAMILIES, models.models, strict=True):
        drawn = synth.draw(family.replace("-", "_"), SEED, 0, 1)
        if not np.array_equal(drawn.render(nz, nx)[0].numpy(), model):
            return None
        truth.append(drawn.render(RESOLUTION, RESOLUTION)[0].numpy())
    return truth


def fine_cells(figures: Sequence[tuple[float, float]]) -> list[str]:
    """Means of figures at RESOLUTION as cells, in the order of FINER_HEADS; [] for none."""
    return [f"{mean(column):.2f}" for column in zip(*figures, strict=True)]


def with_finer(
    figures: dict[str, Any], fine: Sequence[tuple[float, float]] | None
) -> dict[str, Any]:
    """Add the figures at RESOLUTION to JSON-able figures; null without truth."""
    names = f"psnr_db_at_{RESOLUTION}", f"bicubic_psnr_db_at_{RESOLUTION}"
    for i, one in enumerate(figures["per_model"]):
        one.update(zip(names, fine[i] if fine else (None, None), strict=True))
    means = map(mean, zip(*fine, strict=True)) if fine else (None, None)
    return {**figures, **dict(zip(names, means, strict=True))}


def draw(
    archive: Archive,
    models: ModelArray,
    comparison: Comparison,
    finer: Finer,
    path: Path,
    force: bool,
) -> None:
    """Write the picture; without truth it shows the error at the native grid."""
    from velcodec.cli.picture import Panel, draw_rows, size
    from velcodec.formats.storage.atomic import atomic_write

    rows, figures = [], finer.psnr()
    for i, original in enumerate(models.models):
        rendering, bicubic = finer.rendering[i], finer.bicubic[i]
        row = [Panel(f"{FAMILIES[i]}: samples, {size(original)}", original)]
        titles = [f"rendering, {FINER}", f"bicubic, {FINER}"]
        if finer.truth is not None and figures is not None:
            row.append(Panel(f"truth, {FINER}", finer.truth[i]))
            titles = [f"{t}: {db:.1f} dB" for t, db in zip(titles, figures[i], strict=True)]
        row += [Panel(titles[0], rendering), Panel(titles[1], bicubic)]
        if finer.truth is None:
            title = f"error, {size(original)}: {comparison.qualities[i].psnr:.1f} dB"
            row.append(Panel(title, archive[i].astype(float) - original, is_error=True))
        else:
            for name, fine in (("rendering", rendering), ("bicubic", bicubic)):
                row.append(Panel(f"error of {name}", fine - finer.truth[i], is_error=True))
        rows.append(row)
    geometry = archive.geometry(0)
    width, depth = geometry.nx * geometry.dx_m / 1e3, geometry.nz * geometry.dz_m / 1e3
    with atomic_write(path, force=force) as stream:
        draw_rows(rows, (0.0, width, depth, 0.0), stream)
