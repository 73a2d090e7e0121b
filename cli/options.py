"""Options shared by several commands: one name, one meaning, one help text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from velcodec.effort import DEFAULT_EFFORT, LEVELS

Command = TypeVar("Command", bound=Callable[..., Any])


def resolution(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """`280` or `140x280` as (nz, nx); the library checks whether it can be rendered."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})(?:[xX](\d{1,9}))?", text)
    if found is None:
        expected = "expected N or NZxNX, such as 280 or 140x280"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option)
    return int(found[1]), int(found[2] or found[1])


def sizes(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """`280`, `140x280` or, of volumes, `70x140x280` as one to three sizes."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}([xX]\d{1,9}){0,2}", text) is None:
        expected = "expected N or NZxNX, such as 280 or 140x280, or NZxNYxNX of a volume"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option)
    return tuple(int(size) for size in re.split("[xX]", text))


def shape(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """`70x100` or `500x70x100` as sizes."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,12}([xX]\d{1,12}){1,3}", text) is None:
        expected = "expected sizes such as 70x100 or 500x70x100"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option)
    return tuple(int(size) for size in re.split("[xX]", text))


def origin(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, float] | None:
    """`X,Z` in metres as (x, z)."""
    if text is None:
        return None
    try:
        x, z = (float(part) for part in text.split(","))
    except ValueError:
        expected = "expected X,Z in metres, such as 0,500"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option) from None
    return x, z


def no_data(
    context: click.Context, option: click.Parameter, text: str | None
) -> str | int | float | None:
    """`nan` or a number; the library checks whether the models' dtype can hold it."""
    if text is None or text.lower() == "nan":
        return None if text is None else "nan"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        expected = "expected nan or a number, such as -9999"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option) from None


def assignments(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, Any]:
    """`NAME=VALUE` texts as a dictionary; a value is JSON or else plain text."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"expected NAME=VALUE, found {text!r}", context, option)
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError:
            parsed = value
        found[name] = tuple(parsed) if isinstance(parsed, list) else parsed
    return found


class Source(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """An input: a path, or a URL such as `s3://bucket/models.vlat`, which stays a string."""

    name = "source"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | Path:
        """A string for a URL, else a path."""
        from velcodec.formats.storage.source import is_url

        return value if is_url(value) else Path(value)


def numbers(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> list[int | slice]:
    """`0:100,205,300:400:2` as numbers and slices."""
    found: list[int | slice] = []
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        if re.fullmatch(r"-?\d{1,18}", text):
            found.append(int(text))
        elif re.fullmatch(r"(-?\d{0,18}:){1,2}-?\d{0,18}", text) and not text.endswith("-"):
            found.append(slice(*(int(part) if part else None for part in text.split(":"))))
        else:
            expected = "expected numbers and slices such as 5 or 0:100 or ::2"
            raise click.BadParameter(f"{expected}, found {text!r}", context, option)
    return found


RANGE = re.compile(r"(-?\d*\.?\d*)(m?):(-?\d*\.?\d*)(m?)")


def box(
    context: click.Context, option: click.Parameter, text: str | None
) -> list[tuple[float | None, float | None, bool]] | None:
    """`z0:z1,y0:y1,x0:x1` as (first, last, whether in metres) for each axis; None if not given."""
    if text is None:
        return None
    found = [RANGE.fullmatch(part.strip()) for part in text.split(",")]
    if len(found) != 3 or not all(found):
        raise click.BadParameter(
            "expected three ranges of samples or metres, along z, y and x, such as "
            f"0:64,10:20,: or 0m:800m,:,:, found {text!r}", context, option,
        )  # fmt: skip
    ranges = []
    for each in found:
        assert each is not None
        first, in_metres, last, also = each.groups()
        if first and last and in_metres != also:
            raise click.BadParameter(
                f"expected both ends in samples or both in metres, found {each[0]!r}",
                context, option,
            )  # fmt: skip
        metres = bool(in_metres or also)
        if not metres and not all(end.lstrip("-").isdecimal() for end in (first, last) if end):
            raise click.BadParameter(
                f"expected whole samples, or metres such as 0m:800m, found {each[0]!r}",
                context, option,
            )  # fmt: skip
        ends = [float(end) if end else None for end in (first, last)]
        ranges.append((ends[0], ends[1], metres))
    return ranges


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """One decorator that adds all these options, in the order of the help text."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


# Click checks no paths: outputs do not exist yet, and the library's errors say more.
PATH = click.Path(path_type=Path)
SOURCE = Source()


device = together(
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N]",
        help="Where to compute; auto uses a CUDA device if there is one.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of CPU threads.  [default: $OMP_NUM_THREADS, or all cores]",
    ),
)
"""`--device` and `--threads`: where to compute."""


decoder = click.option(
    "--decoder",
    metavar="NAME|HASH|FILE",
    help="Decoder to use: a name or hash from `velcodec decoder list`, or a file.",
)
"""`--decoder`: which decoder to use."""


as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as one JSON object."
)
"""`--json`, passed as `as_json`."""


average = click.option(
    "--average",
    type=click.Choice(("none", "cell", "slowness")),
    default="none",
    show_default=True,
    help="What a sample of the grid is: the field at the centre of its cell (none), the mean over "
    "its cell, or the velocity of the mean slowness over its cell.",
)

force = click.option("--force", is_flag=True, help="Replace an existing output file.")
"""`--force`: replace an existing output."""

ignore_rest = click.option(
    "--ignore-rest",
    is_flag=True,
    help="Ignore models that only a damaged last index lists; repair saves them.",
)
"""`--ignore-rest`: treat the last intact index as the end of the archive."""


source = together(
    click.option(
        "--units",
        type=click.Choice(["m/s", "km/s"]),
        help="Units of the velocities.  [default: as stated in the file, or m/s]",
    ),
    click.option(
        "--order",
        type=click.Choice(["zx", "xz", "zyx", "zxy", "yzx", "yxz", "xzy", "xyz"]),
        metavar="AXES",
        help="Order of the last two axes, zx (rows are depths) or xz; of volumes zyx, yxz, ...  "
        "[default: as stated in the file, or zx; zyx of volumes]",
    ),
)
"""`--units` and `--order`, which a file may not state; None if not given."""


files = together(
    click.option(
        "--format",
        "file_format",
        metavar="NAME",
        help="Format of the files: npy, npz, hdf5, netcdf, zarr, segy, rsf or raw.  [default: by "
        "suffix and content]",
    ),
    click.option("--array", metavar="NAME", help="Which array of a file with several."),
    click.option(
        "--shape",
        callback=shape,
        metavar="[Nx]NZxNX|[Nx]NZxNYxNX",
        help="Raw files: shape of the array, slowest axis first; three or four sizes of volumes.",
    ),
    click.option(
        "--dtype", metavar="TYPE", help="Raw files: NumPy dtype of the samples, such as <f4."
    ),
    click.option(
        "--z-positive",
        type=click.Choice(["up", "down"]),
        help="Direction of the depth coordinates or, without coordinates, of the rows.  "
        "[default: as stated in the file, or down]",
    ),
)
"""How to read files: `--format`, `--array`, `--shape`, `--dtype`, `--z-positive`."""


geometry = together(
    click.option(
        "--dx",
        type=float,
        metavar="METRES",
        help="Spacing of the samples along x.  [default: as stated in the file, or 10]",
    ),
    click.option(
        "--dz",
        type=float,
        metavar="METRES",
        help="Spacing of the samples in depth.  [default: as stated in the file, or 10]",
    ),
    click.option(
        "--origin",
        callback=origin,
        metavar="X,Z",
        help="Position of the first sample in metres.  [default: as stated in the file, or 0,0]",
    ),
)
"""`--dx`, `--dz` and `--origin`: where the samples lie, in metres; None if not given."""


volume = together(
    click.option(
        "--volume",
        is_flag=True,
        help="Models have three axes: arrays are (nz,ny,nx) or (n,nz,ny,nx), or in another "
        "--order. Not needed for files that name their axes z, y and x.",
    ),
    click.option(
        "--dy",
        type=float,
        metavar="METRES",
        help="Volumes: spacing of the samples along y.  [default: as stated in the file, or 10]",
    ),
    click.option(
        "--origin-y",
        type=float,
        metavar="METRES",
        help="Volumes: position of the first sample along y.  [default: as stated in the file, or "
        "0]",
    ),
    click.option(
        "--bits-per-sample",
        type=click.FloatRange(min=0, min_open=True),
        metavar="B",
        help="Another way to say --bytes-per-model, for models of one size.",
    ),
)
"""`--volume`, `--dy` and `--origin-y`: models with three axes, and where their samples lie along
the second horizontal one; `--bits-per-sample`, by which sizes of volumes are usually said.
"""


facts = together(
    click.option("--title", metavar="TEXT", help="What the models are."),
    click.option("--creator", metavar="TEXT", help="Who made them."),
    click.option("--citation", metavar="TEXT", help="What to cite."),
    click.option("--doi", metavar="DOI", help="Their identifier, such as 10.5281/zenodo.1234567."),
    click.option(
        "--licence",
        metavar="TEXT",
        help="Their licence, as an SPDX identifier such as CC-BY-4.0, or any text.",
    ),
    click.option("--provenance", metavar="TEXT", help="Where they come from."),
    click.option(
        "--crs",
        metavar="CODE|WKT",
        help="Coordinate reference system of x and y, such as EPSG:32631.",
    ),
    click.option(
        "--vertical",
        type=click.Choice(["depth", "elevation", "time"]),
        help="What z is; spacing and origin of time are in milliseconds.  [default: as stated in "
        "the file, or depth]",
    ),
    click.option("--datum", metavar="TEXT", help="Where z is zero, such as mean sea level."),
)
"""What holds for all models, kept in the archive and told by `info`; None where the file says."""


mask = click.option(
    "--mask",
    callback=no_data,
    metavar="nan|VALUE",
    help="Samples of this value are absent, such as above the ground: they come back unchanged, "
    "and promises do not include them.",
)
"""`--mask` for compression: the value of absent samples."""


coding = together(
    click.option(
        "--psnr",
        type=float,
        metavar="DB",
        help="Every model at this PSNR (over 3000 m/s) or better.  [default: 35, more for little "
        "contrast]",
    ),
    click.option(
        "--bytes-per-model",
        type=float,
        metavar="N",
        help="At most N bytes per model on average, over the whole file and every 1,000 models.",
    ),
    click.option(
        "--max-error",
        type=float,
        metavar="M/S",
        help="No sample is off by more than this, at the native grid.",
    ),
    click.option(
        "--lossless",
        is_flag=True,
        help="Samples come back bit for bit, at the native grid.",
    ),
    click.option(
        "--effort",
        type=click.IntRange(min(LEVELS), max(LEVELS)),
        default=DEFAULT_EFFORT,
        show_default=True,
        help="How long to look for fewer bytes: 1 is the fastest, 9 finds the fewest.",
    ),
    click.option(
        "--keep-latent",
        is_flag=True,
        help="Store a latent beside samples too, for work on latents.",
    ),
    click.option(
        "--latent-only",
        is_flag=True,
        help="With --psnr or --bytes-per-model: store only latents.",
    ),
)
"""Promises and coding: `--psnr`, `--bytes-per-model` and so on."""


selection = together(
    click.option(
        "--models",
        multiple=True,
        callback=numbers,
        metavar="A:B,...",
        help="Numbers and slices, such as 0:100,205 or ::10 or -5:.",
    ),
    click.option(
        "--key", multiple=True, metavar="NAME", help="The model with this key; may be repeated."
    ),
    click.option(
        "--keys",
        "keys_file",
        type=PATH,
        metavar="FILE",
        help="The models with the keys in a text file, one a line.",
    ),
    click.option("--family", metavar="NAME", help="The same as --where family=NAME."),
    click.option(
        "--where",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Models whose field has this value; also !=, and <, <=, >, >= for numbers. May be "
        "repeated: then all must hold.",
    ),
    click.option(
        "--mask",
        type=PATH,
        metavar="FILE.NPY",
        help="Models for which this array of booleans, one for each model, is true.",
    ),
)
"""`--models`, `--key`, `--keys`, `--family`, `--where`, `--mask`: select models."""
