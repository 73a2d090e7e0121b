"""`velcodec synth`: write generated models to an `.npy` file, in blocks, with a picture.

Models come from a family of the generator, of two or three dimensions, from a decoder's prior, or
from near given models.
"""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.generated import (
    check_size,
    of_models,
    renderer_near,
    renderer_of_family,
    renderer_of_prior,
)
from velcodec.cli.picture import need_matplotlib
from velcodec.cli.progress import progress
from velcodec.cli.report import say, show_json, show_pairs

if TYPE_CHECKING:
    from velcodec.cli.generated import Render

MODELS = 100
"""Number of models by default; of volumes, which are large, one."""

SAMPLES_AT_ONCE = 2_000_000
PICTURED = 20
LAST_START = 1 << 60
SPREAD = 0.1
"""Default distance from given models, in standard deviations of the prior."""


def value_range(context: click.Context, option: click.Parameter, text: str) -> tuple[float, float]:
    """`LOW,HIGH` in m/s."""
    low, high = options.origin(context, option, text) or (0.0, 0.0)
    if not low < high:
        raise click.BadParameter(f"expected LOW,HIGH in rising order, found {text!r}")
    return low, high


def grid(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """`128`, `70x140` or `128x128x96` as sizes."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}([xX]\d{1,9}){0,2}", text) is None:
        expected = "expected N, NZxNX or, for volumes, NZxNYxNX"
        raise click.BadParameter(f"{expected}, found {text!r}", context, option)
    return tuple(int(size) for size in re.split("[xX]", text))


@click.command(short_help="Write generated models to an .npy file.")
@click.argument("name", metavar="FAMILY", required=False)
@click.argument("target", metavar="OUT.NPY", type=options.PATH, required=False)
@click.option("--list", "listed", is_flag=True, help="List the families and exit.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of models.  [default: 100; 1 of a family of volumes]",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="S",
    help="Family, seed and number identify a model.",
)
@click.option(
    "--start",
    type=click.IntRange(min=0, max=LAST_START),
    default=0,
    show_default=True,
    metavar="K",
    help="Number of the first model.",
)
@click.option(
    "--res",
    callback=grid,
    metavar="N|NZxNX|NZxNYxNX",
    help="Samples along z and x, for volumes along z, y and x, over the same extent.  "
    "[default: 70, or those of --near]",
)
@click.option(
    "--from-decoder",
    "decoder",
    metavar="NAME|HASH|FILE",
    help="Draw from the prior of this decoder instead of a FAMILY.",
)
@click.option(
    "--range",
    "ends",
    callback=value_range,
    default="1500,4500",
    show_default=True,
    metavar="LOW,HIGH",
    help="With --from-decoder: the ends of the models' values, m/s.",
)
@click.option(
    "--near",
    type=options.PATH,
    metavar="IN",
    help="Draw near the models of this .npy file or archive, each in turn, instead of a FAMILY.",
)
@click.option(
    "--spread",
    type=click.FloatRange(min=0),
    default=SPREAD,
    show_default=True,
    metavar="S",
    help="With --near: distance in standard deviations of the decoder's prior.",
)
@click.option("--allow-large", is_flag=True, help="Write more than 100 million samples.")
@click.option(
    "--picture",
    type=options.PATH,
    metavar="P.PNG",
    help=f"Also draw the first {PICTURED} models, of volumes the x-z section through the middle "
    "(needs matplotlib).",
)
@options.device
@options.force
@options.as_json
def synth(
    name: str | None,
    target: Path | None,
    listed: bool,
    count: int | None,
    seed: int,
    start: int,
    res: tuple[int, ...] | None,
    decoder: str | None,
    ends: tuple[float, float],
    near: Path | None,
    spread: float,
    allow_large: bool,
    picture: Path | None,
    device: str,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write N generated models of FAMILY to OUT.NPY: (N, 1, nz, nx) float32, m/s, depth down; of
    a family of volumes, (N, nz, ny, nx).

    A model is a continuous function: --res 70, 140 and 280 show exactly the same geology. OUT.NPY
    is written in blocks and may be larger than memory. With --from-decoder or --near, give OUT.NPY
    alone: models are drawn from a decoder's prior, or near the models of a file in m/s or of an
    archive.

    \b
    Example:
      velcodec synth --list
      velcodec synth curvefault_a models.npy --count 1000 --seed 1 --picture models.png
      velcodec synth curvefault_a truth.npy --count 1000 --seed 1 --res 280
      velcodec synth faulted volumes.npy --count 4 --seed 1 --res 128x128x128
      velcodec synth drawn.npy --from-decoder velcodec-2 --count 20 --picture drawn.png
      velcodec synth variants.npy --near model.npy --spread 0.1 --count 20
    """
    if listed:
        list_families(as_json)
        return
    latent = decoder is not None or near is not None
    told = click.get_current_context().get_parameter_source("ends")
    if told is not ParameterSource.DEFAULT and (near is not None or decoder is None):
        raise click.UsageError("--range: expected --from-decoder, without --near")
    if latent and target is not None:
        raise click.UsageError("FAMILY: expected OUT.NPY alone with --from-decoder and --near")
    if latent and name is not None:
        name, target = "near" if near else "prior", Path(name)
    if name is None or target is None:
        raise click.UsageError(f"Missing argument '{missing(name, latent)}'")

    if target.suffix not in ("", ".npy"):
        raise click.UsageError(f"OUT.NPY: found the suffix {target.suffix}, expected .npy")

    from velcodec.formats.storage.atomic import check_target
    from velcodec.parallel import set_threads

    set_threads(threads)
    shape: tuple[int, ...]
    if near is not None:
        render, shape = renderer_near(near, seed, spread, decoder, device, of_models(res))
    elif decoder is not None:
        render, shape = renderer_of_prior(decoder, seed, ends, device, of_models(res))
    else:
        render, shape = renderer_of_family(name, seed, device, res)
    count = count or (MODELS if len(shape) == 2 else 1)
    check_size(shape, count, allow_large)
    if picture is not None:
        need_matplotlib("leave out --picture")
        if picture.resolve() == target.resolve():
            raise click.UsageError("--picture and OUT.NPY are the same file")
        check_target(picture, force=force)

    started = time.perf_counter()
    numbers = range(start, start + count)
    with note_file(target):
        written = write_all(render, target, numbers, shape, force)
    if picture is not None:
        draw(render, picture, numbers[:PICTURED], force)
    seconds = time.perf_counter() - started
    if as_json:
        source: dict[str, object] = {
            "family": None if latent else name,
            "seed": seed,
            "start": start,
        }
        source |= {"decoder": decoder, "near": near}
        files = {"target": target, "picture": picture}
        show_json({**source, **files, "shape": written, "seconds": seconds})
        return
    say(
        f"{target}: {' x '.join(map(str, written))}; {name}, seed {seed}, "
        f"numbers {numbers[0]} to {numbers[-1]}; {seconds:.1f} s"
    )


def list_families(as_json: bool) -> None:
    """Print every family with its summary."""
    from velcodec.synth import SUMMARIES, VOLUME_SUMMARIES

    if as_json:
        show_json({"families": SUMMARIES, "volumes": VOLUME_SUMMARIES})
    else:
        volumes = {name: f"volumes: {summary}" for name, summary in VOLUME_SUMMARIES.items()}
        show_pairs(SUMMARIES | volumes)


def missing(name: str | None, latent: bool) -> str:
    """The argument that was not given."""
    return "FAMILY" if name is None and not latent else "OUT.NPY"


def write_all(
    render: Render,
    target: Path,
    numbers: range,
    res: tuple[int, ...],
    force: bool,
) -> tuple[int, ...]:
    """Render the models `numbers` to `target` in blocks; return the shape of the array: models of
    two dimensions have a channel axis, as OpenFWI's files.
    """
    from velcodec.formats.files.npy import NpyWriter
    from velcodec.formats.storage.atomic import atomic_write

    at_once = max(1, SAMPLES_AT_ONCE // math.prod(res))
    channel = (1,) * (len(res) == 2)
    with progress(target.name) as update, atomic_write(target, force=force) as stream:
        writer = NpyWriter(stream, (len(numbers), *channel, *res), "<f4")
        for first in range(0, len(numbers), at_once):
            block = numbers[first : first + at_once]
            writer.add(render(block))
            update(first + len(block), len(numbers), "generate")
        writer.close()
    return writer.shape


def draw(render: Render, path: Path, numbers: range, force: bool) -> None:
    """Write the picture; each model has its own velocity scale. Volumes show a section."""
    from velcodec.formats.storage.atomic import atomic_write
    from velcodec.synth.picture import draw_models

    with note_file(path), atomic_write(path, force=force) as stream:
        models = render(numbers)
        shown = models[:, :, models.shape[2] // 2] if models.ndim == 4 else models
        draw_models(shown, [str(number) for number in numbers], stream)
