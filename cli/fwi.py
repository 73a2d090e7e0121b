"""`velcodec fwi`: waveform inversion in the latent space; experimental."""

from __future__ import annotations

import time
from pathlib import Path

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.picture import need_matplotlib
from velcodec.cli.progress import progress
from velcodec.cli.report import say, show_json, show_table

NAME = "velcodec-fwi"


@click.group()
def fwi() -> None:
    """Waveform inversion in the latent space (experimental; needs the fwi extra, deepwave).

    \b
    Example:
      velcodec fwi demo
    """


@fwi.command(short_help="Invert the data of a generated model, with a picture.")
@click.option(
    "--family",
    default="curvefault_a",
    show_default=True,
    metavar="NAME",
    help="Family of the model (see velcodec synth --list).",
)
@click.option(
    "--seed", type=int, default=7, show_default=True, metavar="S", help="Which model: 0 of seed S."
)
@click.option(
    "--budget",
    type=click.IntRange(min=25),
    default=200,
    show_default=True,
    metavar="N",
    help="Gradients of shots for each of the two methods.",
)
@click.option(
    "--out",
    type=options.PATH,
    default=Path("."),
    metavar="FOLDER",
    help=f"Folder for {NAME}.png and {NAME}.checkpoint, created if missing.  "
    "[default: this folder]",
)
@click.option("--no-picture", is_flag=True, help="Print only the figures (needs no matplotlib).")
@options.force
@options.as_json
def demo(
    family: str, seed: int, budget: int, out: Path, no_picture: bool, force: bool, as_json: bool
) -> None:
    """Invert the data of a generated model, by latents and on the grid, and draw a picture.

    Five shots of OpenFWI's acquisition; both methods start from the truth smoothed over ten cells.
    After an interruption, the same command goes on from the last band that was finished.

    \b
    Example:
      velcodec fwi demo
      velcodec fwi demo --family style_a --seed 3 --out style
    """
    from velcodec.cli.generated import check_family
    from velcodec.formats.extras import needed
    from velcodec.formats.storage.atomic import atomic_write, check_target, make_folder
    from velcodec.synth import FAMILIES

    check_family(family, FAMILIES)
    needed("deepwave", "fwi", "modelling of waves")
    picture, checkpoint = out / f"{NAME}.png", out / f"{NAME}.checkpoint"
    if not no_picture:
        need_matplotlib()
    make_folder(out)
    if not no_picture:
        check_target(picture, force=force)

    from velcodec.fwi.demo import run_demo
    from velcodec.fwi.picture import draw_inversion

    started = time.perf_counter()
    with progress("invert") as update, note_file(checkpoint):
        found = run_demo(family, seed, budget, checkpoint, update)
    checkpoint.unlink(missing_ok=True)
    if not no_picture:
        with note_file(picture), atomic_write(picture, force=force) as stream:
            draw_inversion(found.models, found.inversion, stream)
    result, seconds = found.inversion, time.perf_counter() - started
    if as_json:
        show_json({
            "family": family, "seed": seed, "budget": budget,
            "models": {name: each.to_dict() for name, each in found.qualities.items()},
            "misfit": result.misfit, "grid_misfit": result.grid_misfit, "energy": result.energy,
            "trusted": result.trusted, "picture": None if no_picture else picture,
            "seconds": seconds,
        })  # fmt: skip
        return
    rows = [
        [name, f"{each.mae:.0f}", f"{each.ssim:.2f}", f"{each.max_error:,.0f}"]
        for name, each in found.qualities.items()
    ]
    show_table(["", "MAE m/s", "SSIM", "max m/s"], rows)
    say()
    said = "the latent is trusted" if result.trusted else "the latent is not to be trusted"
    say(
        f"{said}: misfit {result.misfit:.4f}, grid {result.grid_misfit:.4f}, energy "
        f"{result.energy:.2f}; {seconds:.0f} s"
    )
    if not no_picture:
        say(f"{picture}: truth, start, grid, latent")
