"""`velcodec slice`: a section of a volume, as a model or a picture."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.report import say, show_json
from velcodec.cli.sources import Source, check_output, named, readable

if TYPE_CHECKING:
    from velcodec import Archive

PLACE = re.compile(r"(-?\d+)|(-?\d+(?:\.\d*)?)m")
PICTURES = (".png", ".pdf", ".svg")


def place(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    """`40` as a sample's number, `400m` as metres."""
    if text is None:
        return None
    found = PLACE.fullmatch(text)
    if found is None:
        raise click.BadParameter(
            f"expected the number of a sample, such as 40, or metres, such as 400m, found {text!r}",
            context, option,
        )  # fmt: skip
    return int(found[1]) if found[1] else float(found[2])


@click.command(short_help="Take a section of a volume.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.argument("target", metavar="OUT", type=options.PATH)
@click.option("--z", callback=place, metavar="AT", help="The section at this depth.")
@click.option("--y", callback=place, metavar="AT", help="The section at this y.")
@click.option("--x", callback=place, metavar="AT", help="The section at this x.")
@click.option("--model", default="0", show_default=True, metavar="NUMBER|KEY", help="Which volume.")
@click.option(
    "--res",
    callback=options.sizes,
    metavar="N|N1xN2",
    help="Samples of the section, down and across.  [default: the volume's own]",
)
@options.average
@options.force
@options.as_json
def slice(
    source: Source,
    target: Path,
    z: Any,
    y: Any,
    x: Any,
    model: str,
    res: tuple[int, ...] | None,
    average: str,
    force: bool,
    as_json: bool,
) -> None:
    """Take a section of a volume of IN.VLAT: a picture (.png, .pdf, .svg) or an .npy file.

    AT is the number of a sample, or metres with the suffix m, of which the nearest sample counts.
    Only the bricks that the section crosses are read. The array is (nz,nx) at a y, (nz,ny) at an x,
    and (ny,nx) at a depth. --average takes means over cells that are one sample thick.

    \b
    Example:
      velcodec slice volume.vlat inline.npy --y 40
      velcodec slice volume.vlat depth.png --z 1500m
      velcodec slice volume.vlat fine.npy --y 40 --res 400x800
    """
    import velcodec

    given = {axis: at for axis, at in (("z", z), ("y", y), ("x", x)) if at is not None}
    if len(given) != 1:
        raise click.UsageError("expected one of --z, --y and --x")
    ((axis, at),) = given.items()
    if len(res or ()) == 3:
        raise click.UsageError("--res: expected N or N1xN2 for a section")
    check_output(target)
    started = time.perf_counter()
    with note_file(named(source), target), velcodec.open(readable(source)) as archive:
        which: int | str = int(model) if not archive.has_keys and model.isdecimal() else model
        number = archive.index(which)
        at = at if isinstance(at, int) else nearest(archive, number, axis, at)
        places: dict[str, Any] = {axis: at}
        grid = None if res is None else (res[0], res[-1])
        section = archive.section(number, **places, res=grid, average=average)
        write(archive, number, axis, at, section, target, force)
    seconds = time.perf_counter() - started
    if as_json:
        show_json(
            {"archive": source, "target": target, "model": number, axis: at,
             "shape": section.shape, "seconds": seconds}
        )  # fmt: skip
        return
    sizes = " x ".join(map(str, section.shape))
    say(f"{target}: {axis} = sample {at}, {sizes}; {seconds:.1f} s")


def nearest(archive: Archive, number: int, axis: str, metres: float) -> int:
    """The sample nearest to a position. Raises PointsOutsideError."""
    from velcodec.archive.facts import check_not_time
    from velcodec.formats.errors import PointsOutsideError

    if axis == "z":
        check_not_time(archive.reader, number, f"--z {metres:g}m is")
    ground = archive.geometry(number)
    if axis not in ground.names:
        return 0  # taking the section says that there is none
    along = ground.names.index(axis)
    step, origin, size = ground.spacing[along], ground.origin[along], ground.grid[along]
    at = round((metres - origin) / step)
    if not 0 <= at < size:
        raise PointsOutsideError(
            f"{archive.reader.name}: model {number}: {axis}: found {metres:g} m, expected "
            f"{origin:g} to {origin + (size - 1) * step:g} m"
        )
    return at


def write(
    archive: Archive, number: int, axis: str, at: int, section: Any, target: Path, force: bool
) -> None:
    """Write a section as a picture or an array, by the suffix."""
    from velcodec.formats.errors import OptionError
    from velcodec.formats.files.npy import write_models
    from velcodec.formats.storage.atomic import atomic_write

    if target.suffix.lower() == ".npy":
        with atomic_write(target, force=force) as stream:
            write_models(stream, section)
        return
    if target.suffix.lower() not in PICTURES:
        raise OptionError(
            f"{target}: suffix: found {target.suffix!r}, expected .npy or one of "
            f"{', '.join(PICTURES)}"
        )
    from velcodec.plot import velocity

    ground, layout = archive.geometry(number), archive.layout(number)
    metres = getattr(layout, f"origin_{axis}_m") + at % layout.shape["zyx".index(axis)] * getattr(
        layout, f"d{axis}_m"
    )
    plane = ground.section(axis).rendered(*section.shape)
    unit = ground.z_units if axis == "z" else "m"
    title = f"{title_of(archive, number)}, {axis} = {metres:.10g} {unit}"
    picture = velocity(section, plane, units=layout.units, title=title, section=axis)
    with atomic_write(target, force=force) as stream:
        picture.figure.savefig(stream, format=target.suffix[1:].lower())


def title_of(archive: Archive, number: int) -> str:
    """What a picture calls a model: its key, or the archive's name with its number."""
    if archive.has_keys:
        return archive.keys[number]
    name = Path(archive.reader.name).name
    return name if len(archive) == 1 else f"{name}, model {number}"
