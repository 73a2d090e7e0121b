"""`velcodec interpolate`: models between two models of an archive, by their latents."""

from __future__ import annotations

import time
from pathlib import Path

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.picture import need_matplotlib
from velcodec.cli.report import say, show_json
from velcodec.cli.sources import Source, named, readable, short_name


@click.command(short_help="Go from one model of an archive to another, by latents.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.argument("first", metavar="I")
@click.argument("second", metavar="J")
@click.argument("target", metavar="[OUT.VLAT]", type=options.PATH, required=False)
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=9,
    show_default=True,
    metavar="N",
    help="Number of models, with both ends.",
)
@click.option(
    "--psnr",
    type=float,
    default=45.0,
    show_default=True,
    metavar="DB",
    help="Rounding of the latents: what is written is this close to what is drawn.",
)
@click.option(
    "--picture",
    type=options.PATH,
    metavar="P.PNG",
    help="Where to draw the models.  [default: OUT.VLAT with the suffix .png]",
)
@click.option("--no-picture", is_flag=True, help="Draw none (needs no matplotlib).")
@options.device
@options.force
@options.as_json
def interpolate(
    source: Source,
    first: str,
    second: str,
    target: Path | None,
    steps: int,
    psnr: float,
    picture: Path | None,
    no_picture: bool,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write N models from model I of IN.VLAT to model J, both included, to an archive and a
    picture.

    I and J are keys or numbers. The latents are the stored ones, at equal distances; a model
    without a latent, and two models in different tiles, are fitted first. OUT.VLAT holds latents;
    by default it is named after IN.VLAT, I and J, in this folder.

    \b
    Example:
      velcodec interpolate models.vlat 0 5
      velcodec interpolate models.vlat 0 5 between.vlat --steps 17 --picture between.png
    """
    import velcodec
    from velcodec.device import pick_device
    from velcodec.formats.storage.atomic import check_target
    from velcodec.parallel import set_threads

    set_threads(threads)
    if target is None:
        target = Path(f"{Path(short_name(source)).stem}-{first}-{second}.vlat")
    drawn = None if no_picture else picture or target.with_suffix(".png")
    if drawn is not None:
        need_matplotlib()
        check_target(drawn, force=force)
    started = time.perf_counter()
    with note_file(named(source)), velcodec.open(readable(source)) as archive:
        one, other = (which if which in archive else _number(which) for which in (first, second))
        path = velcodec.interpolate(archive, one, other, steps, device=pick_device(device))
        keys = [f"{k / (steps - 1):.3f}" for k in range(steps)]
        with note_file(target):
            measured = path.to_archive(
                target, psnr=psnr, keys=keys, provenance=f"between {first} and {second}",
                licence=archive.header_of(one).licence, force=force,
            )  # fmt: skip
    if drawn is not None:
        from velcodec.formats.storage.atomic import atomic_write
        from velcodec.synth.picture import draw_models

        with note_file(drawn), atomic_write(drawn, force=force) as stream:
            draw_models(path().detach().float().cpu().numpy(), keys, stream)
    size, seconds = target.stat().st_size, time.perf_counter() - started
    if as_json:
        show_json({
            "target": target, "picture": drawn, "models": steps, "bytes": size,
            "psnr_db_least": min(row.psnr_db for row in measured), "seconds": seconds,
        })  # fmt: skip
        return
    say(f"{target}: {steps} models in {size:,} bytes; {seconds:.1f} s")


def _number(text: str) -> int | str:
    """A number if it is one, else a key, which the archive will not know."""
    try:
        return int(text)
    except ValueError:
        return text
