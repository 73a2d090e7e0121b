"""What `velcodec synth` draws models from: families of the generator, a decoder's prior, a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from velcodec.cli.failures import note_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rendered = NDArray[np.float32]
    Render = Callable[[range], Rendered]

NATIVE = 70


def of_models(res: tuple[int, ...] | None) -> tuple[int, int] | None:
    """`--res` for models of two dimensions."""
    if res is None:
        return None
    if len(res) == 3:
        raise click.UsageError(
            f"--res: found {'x'.join(map(str, res))}, expected N or NZxNX: only families of "
            "volumes have three axes (--list)"
        )
    return res[0], res[-1]


def of_volumes(res: tuple[int, ...] | None) -> tuple[int, int, int]:
    """`--res` for volumes."""
    if res is not None and len(res) == 2:
        raise click.UsageError(
            f"--res: found {res[0]}x{res[1]}, expected N or NZxNYxNX for a family of volumes"
        )
    along = res or (NATIVE,)
    return along[0], along[len(along) // 2], along[-1]


def check_size(shape: tuple[int, ...], count: int, allow_large: bool) -> None:
    """Raise ResolutionError for an empty grid, or for too many samples unless `allow_large`."""
    from velcodec.formats.errors import ResolutionError
    from velcodec.resolution import LARGE_CELLS

    res, samples = "x".join(map(str, shape)), math.prod(shape) * count
    if samples < 1:
        raise ResolutionError(f"resolution: found {res}, expected at least 1 sample per axis")
    if samples > LARGE_CELLS and not allow_large:
        raise ResolutionError(
            f"resolution {res} of {count} models makes {samples:,} samples, above "
            f"{LARGE_CELLS:,}: confirm with --allow-large"
        )


def renderer_of_family(
    name: str, seed: int, device: str, res: tuple[int, ...] | None
) -> tuple[Render, tuple[int, ...]]:
    """What renders numbered models or volumes of a family, and their grid."""
    from velcodec import synth as generator
    from velcodec.device import pick_device

    check_family(name, (*generator.FAMILIES, *generator.VOLUME_FAMILIES))
    place = pick_device(device)
    if name in generator.VOLUME_FAMILIES:
        shape = of_volumes(res)

        def render_volumes(numbers: range) -> Rendered:
            volumes = generator.draw_volumes(name, seed, numbers.start, len(numbers), place)
            return volumes.render(*shape).cpu().numpy()

        return render_volumes, shape
    flat = of_models(res) or (NATIVE, NATIVE)

    def render(numbers: range) -> Rendered:
        models = generator.draw(name, seed, numbers.start, len(numbers), place)
        return models.render(*flat).cpu().numpy()

    return render, flat


def renderer_of_prior(
    decoder: str, seed: int, ends: tuple[float, float], device: str, res: tuple[int, int] | None
) -> tuple[Render, tuple[int, int]]:
    """What renders numbered draws from a decoder's prior, and their grid."""
    from velcodec.device import pick_device
    from velcodec.field.drawing import drawn_models, prior_field

    shape = res or (NATIVE, NATIVE)
    fields = [prior_field(shape, ends, decoder, pick_device(device))]
    return lambda numbers: drawn_models(fields, seed, numbers, None).cpu().numpy(), shape


def renderer_near(
    source: Path, seed: int, spread: float, decoder: str | None, device: str,
    res: tuple[int, int] | None,
) -> tuple[Render, tuple[int, int]]:  # fmt: skip
    """What renders numbered models near those of a file, and their grid."""
    from velcodec.cli.sources import is_archive
    from velcodec.device import pick_device
    from velcodec.field.drawing import drawn_models, fields_near, fields_of
    from velcodec.formats.files.npy import read_models

    if is_archive(source) and decoder is not None:
        raise click.UsageError("--from-decoder: expected none with an archive, which has its own")
    with note_file(source):
        if is_archive(source):
            fields = fields_of(source, pick_device(device))
        else:
            given = read_models(source)
            fields = fields_near(list(given.models), given.units, decoder, pick_device(device))
    shape = res or fields[0].shape
    return lambda numbers: drawn_models(fields, seed, numbers, spread, shape).cpu().numpy(), shape


def check_family(name: str, known: tuple[str, ...]) -> None:
    """Raise OptionError for a family that is not `known`."""
    from velcodec.formats.errors import OptionError

    if name not in known:
        raise OptionError(f"FAMILY: found {name!r}, expected one of {', '.join(known)}")
