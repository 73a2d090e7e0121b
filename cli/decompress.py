"""`velcodec decompress`: an archive to files of models, at any resolution."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.progress import progress
from velcodec.cli.report import count, say, show_json
from velcodec.cli.sources import (
    Source,
    check_output,
    default_target,
    has_selection,
    is_piped,
    named,
    selected_source,
    short_name,
)

if TYPE_CHECKING:
    from velcodec import Archive
    from velcodec.files.decompress import Decompression

rendering = options.together(
    click.argument("source", metavar="IN.VLAT", type=options.SOURCE),
    click.argument("target", metavar="[OUT]", required=False),
    click.option(
        "--res",
        callback=options.sizes,
        metavar="N|NZxNX|NZxNYxNX",
        help="Samples along z and x, or along z, y and x of a volume.  [default: the native grid]",
    ),
    click.option(
        "--format",
        "file_format",
        metavar="NAME",
        help="Format of the files: npy, npz, hdf5, netcdf, zarr, segy, rsf or raw.  [default: by "
        "the suffix, or npy]",
    ),
    click.option(
        "--array",
        metavar="NAME",
        help="Name of the array, in formats with names.  [default: velocity; in a folder, the "
        "original name]",
    ),
    click.option(
        "--per-file",
        type=click.IntRange(min=1),
        metavar="N",
        help="Write a folder of files of N models, model1.npy, model2.npy, ...  [default for a "
        "folder: the original files, or 500 models each]",
    ),
    click.option("--allow-large", is_flag=True, help="Render more than 100 million samples."),
    options.decoder,
    options.device,
    options.selection,
    options.force,
    options.as_json,
)
"""Options of commands that render a whole archive."""


@click.command(short_help="Render an archive, at its own grid or any other.")
@rendering
@options.average
@click.option(
    "--box",
    callback=options.box,
    metavar="Z0:Z1,Y0:Y1,X0:X1",
    help="Only this part of the archive's volume; : is a whole axis. 0:64 are samples 0 to 63; "
    "0m:800m are those at positions from 0 to 800 m, both included. Only the bricks that hold it "
    "are read.",
)
@click.option(
    "--count",
    "announced",
    type=click.IntRange(min=1),
    metavar="N",
    help="From pipe to pipe: number of models, so that they can be written as they arrive.",
)
def decompress(
    source: Source,
    target: str | None,
    decoder: str | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
    announced: int | None,
    box: list[tuple[float | None, float | None, bool]] | None,
    **settings: Any,
) -> None:
    """Render the models of IN.VLAT to files like the originals.

    IN.VLAT is a file, a folder of shards, a URL, or - for an archive from the standard input, which
    is decoded as it arrives. OUT is a file, whose suffix tells the format, a folder (an existing
    one, or a name that ends with /), or - for the standard output; by default the archive's name
    with .npy. --models, --key, --keys, --family, --where and --mask select models, as for subset.
    Shape, dtype, units and axis order are the original's; --res changes the spatial sizes.

    \b
    Example:
      velcodec decompress models.vlat
      velcodec decompress models.vlat fine.npy --res 280
      velcodec decompress models.vlat wide.nc --res 140x280
      velcodec decompress volume.vlat part.npy --box 0:64,:,0m:2000m
      velcodec decompress volume.vlat fine.npy --res 256x256x256
      velcodec decompress models.vlat salt.h5 --models 0:100 --family salt
      velcodec decompress FlatVel_A.vlat FlatVel_A/
      velcodec subset models.vlat - --models ::10 | velcodec decompress - tenth.npy
    """
    import velcodec
    from velcodec.files.decompress import open_pipe
    from velcodec.parallel import set_threads

    piped = is_piped(source)
    if announced is not None and not (piped and target == "-"):
        raise click.UsageError("--count goes with - -, from standard input to standard output")
    wanted = decompression_of(settings)
    where = place_of(source, target, wanted)
    res = settings["res"]
    if (box is not None or len(res or ()) == 3) and (is_piped(where) or is_folder(target, wanted)):
        raise click.UsageError("--box, and --res of three sizes, go with an output file")
    started = time.perf_counter()
    with note_file(named(source), where):
        set_threads(threads)
        if piped and box is None and not has_selection(settings):
            folder, place = is_folder(target, wanted), None if target == "-" else where
            opened = open_pipe(
                sys.stdin.buffer, place, wanted, folder=folder, count=announced, decoder=decoder,
                device=device,
            )  # fmt: skip
        else:
            opened = velcodec.open(
                selected_source(source, settings), decoder=decoder, device=device
            )
        with opened as archive:
            if box is not None or len(res or ()) == 3 or is_volume_at(archive, res):
                figures = write_box(archive, source, where, wanted, box, res, force)
                show_written(source, where, figures, time.perf_counter() - started, as_json)
                return
            figures = write_all(archive, source, target, where, wanted, force, announced)
    show_written(source, where, figures, time.perf_counter() - started, as_json)


def decompression_of(settings: dict[str, Any]) -> Decompression:
    """The library's `Decompression` of the options of `rendering`."""
    from velcodec.files.decompress import Decompression
    from velcodec.resolution import check_resolution

    res = settings["res"]
    wanted = Decompression(
        res=None if res is None or len(res) == 3 else (res[0], res[-1]),
        format=settings["file_format"],
        array=settings["array"],
        per_file=settings["per_file"],
        average=settings.get("average", "none"),
        allow_large=settings["allow_large"],
    )
    wanted.format_of(None)  # raises for an unknown format
    check_resolution(wanted.res, 1, allow_large=True)  # size is checked later, for all models
    return wanted


def place_of(source: Source, target: str | None, wanted: Decompression, kind: str = "") -> Path:
    """Where models go: the target, or the archive's name with `kind` and, for a file, the format's
    suffix.
    """
    suffix = kind + ("" if wanted.per_file else wanted.suffix)
    where = default_target(source, suffix) if target is None else Path(target)
    check_output(where)
    return where


def is_folder(target: str | None, wanted: Decompression) -> bool:
    """Whether to write a folder of files, by --per-file or by the target."""
    if target in (None, "-"):
        return wanted.per_file is not None
    one = wanted.format_of(Path(target)) == "zarr" and not target.endswith(os.sep)
    return (
        wanted.per_file is not None
        or target.endswith(os.sep)
        or (Path(target).is_dir() and not one)
    )


def write_all(
    archive: Archive,
    source: Source,
    target: str | None,
    where: Path,
    wanted: Decompression,
    force: bool,
    models: int | None = None,
) -> dict[str, Any]:
    """Render every model to its target; return figures of what was written."""
    from velcodec.files.decompress import decompress_file, decompress_folder, decompress_stream
    from velcodec.formats.storage.atomic import check_target

    with progress(short_name(source)) as update:
        if is_folder(target, wanted):
            return {"files": decompress_folder(archive, where, wanted, on_progress=update)}
        if target == "-":
            out = sys.stdout.buffer
            return {"shape": decompress_stream(archive, out, wanted, models, update)}
        if isinstance(source, Path) and not where.is_dir():
            check_target(where, force=force, source=source)
        shape = decompress_file(archive, where, wanted, force=force, on_progress=update)
        return {"shape": shape, "format": wanted.format_of(where)}


def is_volume_at(archive: Archive, res: tuple[int, ...] | None) -> bool:
    """Whether a resolution is asked for of an archive that begins with a volume."""
    from velcodec.archive.stream import StreamedArchive

    if res is None or isinstance(archive, StreamedArchive) or not len(archive):
        return False
    return archive.layout(0).is_volume


def write_box(
    archive: Archive,
    source: Source,
    where: Path,
    wanted: Decompression,
    box: list[tuple[float | None, float | None, bool]] | None,
    res: tuple[int, ...] | None,
    force: bool,
) -> dict[str, Any]:
    """Write a box of the only volume of an archive, or all of it, at its samples or at `res`;
    return figures of what was written.
    """
    from velcodec.archive.facts import check_not_time
    from velcodec.decode.volumes import samples_between
    from velcodec.files.boxes import decompress_box
    from velcodec.formats.errors import OptionError, VolumeError
    from velcodec.formats.storage.atomic import check_target

    if not any(layout.is_volume for layout in archive.layouts):
        if box is not None:
            raise VolumeError(f"{archive.reader.name}: box: found sections, expected a volume")
        sizes = "x".join(map(str, res or ()))
        raise OptionError(f"resolution: found {sizes} for sections, expected N or NZxNX")
    if len(archive) != 1:
        raise OptionError(
            f"{archive.reader.name}: box or resolution of a volume: found {len(archive)} models, "
            "expected one: choose it with --models or --key"
        )
    layout = archive.layout(0)
    if not layout.is_volume:
        raise VolumeError(
            f"{archive.reader.name}: box, or three sizes: found a section, expected a volume"
        )
    if len(res or ()) == 2:
        raise OptionError(f"res: found {res} for a volume, expected N or NZxNYxNX")
    if isinstance(source, Path):
        check_target(where, force=force, source=source)
    ranges = []
    for axis, (first, last, metres) in zip("zyx", box or [(None, None, False)] * 3, strict=True):
        size = layout.shape["zyx".index(axis)]
        if metres:
            if axis == "z":
                check_not_time(archive.reader, 0, "a range along it is")
            ranges.append(samples_between(layout, axis, first, last, archive.reader.name))
        else:
            ranges.append((int(first or 0), size if last is None else int(last)))
    grid = None if res is None else res if len(res) == 3 else res * 3
    shape = decompress_box(archive, 0, ranges, where, grid, wanted, force=force)
    return {"shape": shape, "format": wanted.format_of(where)}


def show_written(
    source: Source, target: Path, figures: dict[str, Any], seconds: float, as_json: bool
) -> None:
    """Print what was written; on stderr if the models go to stdout."""
    from velcodec.formats.files import told_format

    aside = is_piped(target)
    if as_json:
        show_json({"archive": source, "target": target, **figures, "seconds": seconds}, err=aside)
        return
    shape, files = figures.get("shape"), figures.get("files")
    what = " x ".join(map(str, shape)) if shape else count(files or 0, "file")
    if shape and told_format(target) is None and not aside:
        what += f", as {figures['format']}"
    say(f"{target}: {what}; {seconds:.1f} s", err=aside)
