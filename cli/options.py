"""Options that several commands share, each with one name, one meaning and one help text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def resolution(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """`280` or `140x280` as (nz, nx); whether that can be rendered is for the library to say."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})(?:[xX](\d{1,9}))?", text)
    if found is None:
        expected = "expected N or NZxNX, such as 280 or 140x280"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option)
    return int(found[1]), int(found[2] or found[1])


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
    """`nan` or a number; whether the models can have it is for the library to say."""
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
    """`NAME=VALUE` texts as a dictionary; a value is JSON, or a word as it stands."""
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


class Source(click.ParamType[Any]):
    """What is read: a path, or a URL such as `s3://bucket/models.vlat`, which stays a text."""

    name = "source"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | Path:
        """A path unless it is a URL."""
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


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """One decorator that adds all of these, in the order in which help shows them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


# A file may be named before it exists, and the library says more about a bad one than click does.
PATH = click.Path(path_type=Path)
SOURCE = Source()


device = together(
    click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N]",
        help="Where to compute; auto takes a CUDA device if there is one.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="CPU threads to compute with.  [default: $OMP_NUM_THREADS, or all cores]",
    ),
)
"""`--device` and `--threads`: where to compute."""


decoder = click.option(
    "--decoder",
    metavar="NAME|HASH|FILE",
    help="Decoder to use: a name or hash that `velcodec decoder list` shows, or a file.",
)
"""`--decoder`: which decoder to use."""


as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as one JSON object."
)
"""`--json`, passed as `as_json`."""


force = click.option("--force", is_flag=True, help="Replace an existing output file.")
"""`--force`: replace an existing output."""


source = together(
    click.option(
        "--units",
        type=click.Choice(["m/s", "km/s"]),
        help="Units of the velocities.  [default: as the file says, or m/s]",
    ),
    click.option(
        "--order",
        type=click.Choice(["zx", "xz"]),
        help="Order of the last two axes; zx: rows are depths.  [default: as the file says, or zx]",
    ),
)
"""What a file may not say of itself: `--units`, `--order`; None where not given."""


files = together(
    click.option(
        "--format",
        "file_format",
        metavar="NAME",
        help="Format of the files: npy, npz, hdf5, netcdf, zarr, segy, rsf or raw.  [default: "
        "told by their names]",
    ),
    click.option("--array", metavar="NAME", help="Which array, of a file that has several."),
    click.option(
        "--shape",
        callback=shape,
        metavar="[Nx]NZxNX",
        help="Raw files: sizes of the array, slowest axis first.",
    ),
    click.option(
        "--dtype", metavar="TYPE", help="Raw files: NumPy's name of the samples' type, as <f4."
    ),
    click.option(
        "--z-positive",
        type=click.Choice(["up", "down"]),
        help="Which way depth's coordinates point or, where there are none, its rows go.  "
        "[default: as the file says, or down]",
    ),
)
"""How files are to be read: `--format`, `--array`, `--shape`, `--dtype`, `--z-positive`."""


geometry = together(
    click.option(
        "--dx",
        type=float,
        metavar="METRES",
        help="Spacing of the samples along x.  [default: as the file says, or 10]",
    ),
    click.option(
        "--dz",
        type=float,
        metavar="METRES",
        help="Spacing of the samples in depth.  [default: as the file says, or 10]",
    ),
    click.option(
        "--origin",
        callback=origin,
        metavar="X,Z",
        help="Position of the first sample in metres.  [default: as the file says, or 0,0]",
    ),
)
"""`--dx`, `--dz` and `--origin`: where the samples lie, in metres; None where not given."""


mask = click.option(
    "--mask",
    callback=no_data,
    metavar="nan|VALUE",
    help="Samples of this value are absent, such as above the ground: they come back as it, and "
    "count in no promise.",
)
"""`--mask` of what is compressed: the value of absent samples."""


coding = together(
    click.option(
        "--psnr",
        type=float,
        metavar="DB",
        help="Every model at this PSNR (over 3000 m/s) or better.  [default: 35]",
    ),
    click.option(
        "--bytes-per-model",
        type=float,
        metavar="N",
        help="Keep the whole file, and every 1,000 models, to N bytes per model on average.",
    ),
    click.option(
        "--max-error",
        type=float,
        metavar="M/S",
        help="No sample is off by more than this, at its own grid.",
    ),
    click.option(
        "--lossless",
        is_flag=True,
        help="Samples come back bit for bit, at their own grid.",
    ),
    click.option(
        "--fit",
        type=click.Choice(["lm", "adam", "amortised"]),
        default="lm",
        show_default=True,
        help="How latents are found: Levenberg-Marquardt, Adam (the slow baseline), or the "
        "encoder network alone (least exact; fastest with --latent-only).",
    ),
    click.option(
        "--keep-latent",
        is_flag=True,
        help="Where samples are stored, keep a latent beside them, for work on latents.",
    ),
    click.option(
        "--latent-only",
        is_flag=True,
        help="With --psnr or --bytes-per-model: store latents and no samples.",
    ),
)
"""What is promised and how: `--psnr`, `--bytes-per-model` and so on."""


selection = together(
    click.option(
        "--models",
        multiple=True,
        callback=numbers,
        metavar="A:B,...",
        help="Numbers and slices, such as 0:100,205 or ::10 or -5:.",
    ),
    click.option(
        "--key", multiple=True, metavar="NAME", help="The model of this name; may be repeated."
    ),
    click.option(
        "--keys",
        "keys_file",
        type=PATH,
        metavar="FILE",
        help="The models with these names, one a line of a text file.",
    ),
    click.option("--family", metavar="NAME", help="The same as --where family=NAME."),
    click.option(
        "--where",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Those whose field says so; also !=, <, <=, >, >= for numbers. May be repeated: "
        "then all must hold.",
    ),
    click.option(
        "--mask",
        type=PATH,
        metavar="FILE.NPY",
        help="Those that are true in this array of booleans, one for each model.",
    ),
)
"""`--models`, `--key`, `--keys`, `--family`, `--where`, `--mask`: which are meant."""
