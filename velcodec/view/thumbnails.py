"""Small pictures of many models: levels from 0 to 254 of each model's own range, 255 if absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.decode.output import on_cpu, render_models
from velcodec.decode.stored import StoredModel
from velcodec.decode.units import to_m_s
from velcodec.formats.arrays import Float64
from velcodec.formats.errors import VelcodecError
from velcodec.geometry import Geometry
from velcodec.masks import at_grid
from velcodec.view.model import nearest, positions

LEVELS = 254
ABSENT = 255


@dataclass(frozen=True)
class Thumbnail:
    """Levels (nz, nx) of a model from `low` to `high` in m/s; or the error why there are none."""

    number: int
    levels: NDArray[np.uint8]
    low: float = 0.0
    high: float = 0.0
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What a page needs beside the levels; JSON-able."""
        nz, nx = self.levels.shape
        about: dict[str, Any] = {"number": self.number, "nz": nz, "nx": nx}
        return about | (
            {"error": self.error} if self.error else {"low": self.low, "high": self.high}
        )


def thumbnails(archive: Archive, numbers: Sequence[int], pixels: int) -> Iterator[Thumbnail]:
    """A thumbnail of each of these models, in order, within `pixels` x `pixels`.

    A model that cannot be decoded gives its error.
    """
    try:
        models = archive.stored(numbers)
    except VelcodecError as error:
        if len(numbers) == 1:
            yield Thumbnail(numbers[0], np.zeros((0, 0), np.uint8), error=str(error))
            return
        for number in numbers:
            yield from thumbnails(archive, [number], pixels)
        return
    for number, model in zip(numbers, models, strict=True):
        try:
            yield _thumbnail(archive, number, model, pixels)
        except VelcodecError as error:
            yield Thumbnail(number, np.zeros((0, 0), np.uint8), error=str(error))


def _thumbnail(archive: Archive, number: int, model: StoredModel, pixels: int) -> Thumbnail:
    nz, nx = size_of(archive.geometry(number), pixels)
    if model.samples is None:
        decoder = archive.evaluator(number)
        values: Float64 = on_cpu(next(render_models(decoder, [model], (nz, nx))))
    else:
        samples = to_m_s(model.samples, model.layout.units)
        rows, columns = positions(0, samples.shape[0], nz), positions(0, samples.shape[1], nx)
        values = nearest(samples, rows, columns)
    absent = None if model.absent is None else at_grid(model.absent, (nz, nx))
    present = values if absent is None or absent.all() else values[~absent]
    low, high = float(present.min()), float(present.max())
    share = (values.clip(low, high) - low) / (high - low) if high > low else 0.0 * values
    levels = np.rint(LEVELS * share).astype(np.uint8)
    if absent is not None:
        levels[absent] = ABSENT
    return Thumbnail(number, levels, low, high)


def size_of(ground: Geometry, pixels: int) -> tuple[int, int]:
    """Pixels (nz, nx) of a picture of a model with equal axes, `pixels` along the longer one."""
    depth, width = ground.nz * ground.dz_m, ground.nx * ground.dx_m
    longest = max(depth, width)
    nz, nx = (max(1, round(pixels * each / longest)) for each in (depth, width))
    return nz, nx
