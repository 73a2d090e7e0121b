"""`velcodec decompress`: an archive goes in, an `.npy` file comes out, at any resolution."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import options
from .failures import about
from .progress import progress
from .report import show_json

if TYPE_CHECKING:
    from velcodec import Archive

SAMPLES_AT_ONCE = 4_000_000


Command = TypeVar("Command", bound=Callable[..., Any])


def rendering(command: Command) -> Command:
    """Add what every command that renders a whole archive takes."""
    for option in (
        options.as_json,
        options.force,
        options.device,
        options.decoder,
        click.option("--allow-large", is_flag=True, help="Render more than 100 million samples."),
        click.option(
            "--res",
            callback=options.resolution,
            metavar="N|NZxNX",
            help="Samples along z and x.  [default: the grid that was compressed]",
        ),
        click.argument("target", metavar="[OUT.NPY]", type=options.PATH, required=False),
        click.argument("source", metavar="IN.VLAT", type=options.PATH),
    ):
        command = option(command)
    return command


@click.command(short_help="Render an archive, at its own grid or any other.")
@rendering
@click.option(
    "--interpolate",
    is_flag=True,
    help="Where a model has samples and no latent, interpolate them (linearly) for other grids.",
)
def decompress(
    source: Path,
    target: Path | None,
    res: tuple[int, int] | None,
    allow_large: bool,
    decoder: str | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    interpolate: bool,
) -> None:
    """Render the models of IN.VLAT as an array like the one they came from.

    Shape, dtype, units and axis order are the original's; --res changes the two spatial sizes.
    OUT.NPY defaults to the archive's name with .npy.

    \b
    Example:
      velcodec decompress models.vlat
      velcodec decompress models.vlat fine.npy --res 280
      velcodec decompress models.vlat wide.npy --res 140x280
    """
    import velcodec
    from velcodec.threads import set_threads

    target = target or source.with_suffix(".npy")
    started = time.perf_counter()
    with about(source, target), velcodec.open(source, decoder=decoder, device=device) as archive:
        set_threads(threads)
        shape = write_all(archive, source, target, res, allow_large, force, interpolate)
    tell(source, target, shape, time.perf_counter() - started, as_json)


def tell(source: Path, target: Path, shape: tuple[int, ...], seconds: float, as_json: bool) -> None:
    """Print what has been written."""
    if as_json:
        show_json({"archive": source, "target": target, "shape": shape, "seconds": seconds})
    else:
        click.echo(f"{target}: {' x '.join(map(str, shape))}; {seconds:.1f} s")


def write_all(
    archive: Archive,
    source: Path,
    target: Path,
    res: tuple[int, int] | None,
    allow_large: bool,
    force: bool,
    interpolate: bool = False,
) -> tuple[int, ...]:
    """Render every model to `target`, some at a time; the shape of the array."""
    from velcodec.formats.atomic import atomic_write
    from velcodec.formats.npy import NpyWriter
    from velcodec.resolution import check_resolution

    check_resolution(res, len(archive), allow_large)
    layout = archive.layout(0)
    nz, nx = res or (layout.nz, layout.nx)
    at_once = max(1, SAMPLES_AT_ONCE // (nz * nx))
    with (
        progress(source.name) as update,
        atomic_write(target, force=force, source=source) as stream,
    ):
        writer = NpyWriter(stream, array_shape(layout.axes, len(archive), nz, nx), layout.dtype)
        for first in range(0, len(archive), at_once):
            numbers = range(first, min(first + at_once, len(archive)))
            rendered = archive.decode(
                numbers, res, interpolate=interpolate, allow_large=allow_large
            )
            with about(target):
                writer.add(rendered)
            update(numbers.stop, len(archive), "render")
        writer.close()
    return writer.shape


def array_shape(axes: str, models: int, nz: int, nx: int) -> tuple[int, ...]:
    """Shape of the array with the axes that an archive tells, such as `n1zx`."""
    sizes = {"n": models, "1": 1, "z": nz, "x": nx}
    return tuple(sizes[axis] for axis in axes)
