"""`velcodec decompress`: an archive goes in, files of models come out, at any resolution."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import about
from velcodec.cli.progress import progress
from velcodec.cli.report import count, show_json
from velcodec.cli.sources import (
    Source,
    are_chosen,
    check_output,
    chosen_part,
    default_target,
    is_piped,
    named,
    short_name,
)

if TYPE_CHECKING:
    from velcodec import Archive
    from velcodec.files.decompress import Restoring

rendering = options.together(
    click.argument("source", metavar="IN.VLAT", type=options.SOURCE),
    click.argument("target", metavar="[OUT]", required=False),
    click.option(
        "--res",
        callback=options.resolution,
        metavar="N|NZxNX",
        help="Samples along z and x.  [default: the grid that was compressed]",
    ),
    click.option(
        "--format",
        "file_format",
        metavar="NAME",
        help="Format of the files: npy, npz, hdf5, netcdf, zarr, segy, rsf or raw.  [default: "
        "told by their names, or npy]",
    ),
    click.option(
        "--array",
        metavar="NAME",
        help="Name of the array, in formats that have names.  [default: velocity; in a folder, the "
        "one that models came from]",
    ),
    click.option(
        "--per-file",
        type=click.IntRange(min=1),
        metavar="N",
        help="Write a folder of files of N models, model1.npy, model2.npy, ...  [default for a "
        "folder: the files that models came from, or 500 models each]",
    ),
    click.option("--allow-large", is_flag=True, help="Render more than 100 million samples."),
    options.decoder,
    options.device,
    options.selection,
    options.force,
    options.as_json,
)
"""What every command that renders a whole archive takes."""


@click.command(short_help="Render an archive, at its own grid or any other.")
@rendering
@click.option(
    "--average",
    type=click.Choice(("none", "cell", "slowness")),
    default="none",
    show_default=True,
    help="What a sample of the grid is: the field at the centre of its cell (none), the mean over "
    "its cell, or the velocity of the mean slowness over its cell.",
)
@click.option(
    "--count",
    "announced",
    type=click.IntRange(min=1),
    metavar="N",
    help="From pipe to pipe: how many models come, so that they can be written as they come.",
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
    **settings: Any,
) -> None:
    """Render the models of IN.VLAT as files like those they came from.

    IN.VLAT is a file, a folder of shards, a URL, or - for an archive from the standard input, which
    is decoded as it comes. OUT is a file, whose name tells the format, or a folder (one that is
    there, or a name that ends with /), or - for the standard output; it defaults to the archive's
    name with .npy. --models, --key, --keys, --family, --where and --mask take some models alone, as
    for subset. Shape, dtype, units and axis order are the original's; --res changes the two
    spatial sizes.

    \b
    Example:
      velcodec decompress models.vlat
      velcodec decompress models.vlat fine.npy --res 280
      velcodec decompress models.vlat wide.nc --res 140x280
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
    how = restoring(settings)
    where = place_of(source, target, how)
    started = time.perf_counter()
    with about(named(source), where):
        set_threads(threads)
        if piped and not are_chosen(settings):
            folder, place = is_folder(target, how), None if target == "-" else where
            opened = open_pipe(
                sys.stdin.buffer, place, how, folder=folder, count=announced, decoder=decoder,
                device=device,
            )  # fmt: skip
        else:
            opened = velcodec.open(chosen_part(source, settings), decoder=decoder, device=device)
        with opened as archive:
            figures = write_all(archive, source, target, where, how, force, announced)
    tell(source, where, figures, time.perf_counter() - started, as_json)


def restoring(settings: dict[str, Any]) -> Restoring:
    """How models are to come back, by the options of `rendering`."""
    from velcodec.files.decompress import Restoring

    how = Restoring(
        res=settings["res"],
        format=settings["file_format"],
        array=settings["array"],
        per_file=settings["per_file"],
        average=settings.get("average", "none"),
        allow_large=settings["allow_large"],
    )
    how.format_of(None)  # refuses a name that is no format's
    return how


def place_of(source: Source, target: str | None, how: Restoring, kind: str = "") -> Path:
    """Where models go: the target, or the archive's name with `kind` and the format's suffix, with
    none for a folder.
    """
    suffix = kind + ("" if how.per_file else how.suffix)
    where = default_target(source, suffix) if target is None else Path(target)
    check_output(where)
    return where


def is_folder(target: str | None, how: Restoring) -> bool:
    """Whether a folder of files is meant: by --per-file, or by the target."""
    if target in (None, "-"):
        return how.per_file is not None
    one = how.format_of(Path(target)) == "zarr" and not target.endswith(os.sep)
    return (
        how.per_file is not None or target.endswith(os.sep) or (Path(target).is_dir() and not one)
    )


def write_all(
    archive: Archive,
    source: Source,
    target: str | None,
    where: Path,
    how: Restoring,
    force: bool,
    models: int | None = None,
) -> dict[str, Any]:
    """Render every model to where it was asked for; what has been written."""
    from velcodec.files.decompress import restore_file, restore_folder, restore_stream
    from velcodec.formats.storage.atomic import check_target

    with progress(short_name(source)) as update:
        if is_folder(target, how):
            return {"files": restore_folder(archive, where, how, on_progress=update)}
        if target == "-":
            out = sys.stdout.buffer
            return {"shape": restore_stream(archive, out, how, models, update)}
        if isinstance(source, Path) and not where.is_dir():
            check_target(where, force=force, source=source)
        return {"shape": restore_file(archive, where, how, force=force, on_progress=update)}


def tell(
    source: Source, target: Path, figures: dict[str, Any], seconds: float, as_json: bool
) -> None:
    """Print what has been written; on stderr where the models are on stdout."""
    aside = is_piped(target)
    if as_json:
        show_json({"archive": source, "target": target, **figures, "seconds": seconds}, err=aside)
        return
    shape, files = figures.get("shape"), figures.get("files")
    what = " x ".join(map(str, shape)) if shape else count(files or 0, "file")
    click.echo(f"{target}: {what}; {seconds:.1f} s", err=aside)
