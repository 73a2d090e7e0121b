"""Thumbnails of many models, where one that cannot be decoded spoils no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from velcodec.archive.archive import Archive
from velcodec.decode.stored import StoredModel
from velcodec.decode.thumbnail import Thumbnail, thumbnail
from velcodec.formats.errors import VelcodecError

NOTHING = Thumbnail(np.zeros((0, 0), np.uint8), 0.0, 0.0)


@dataclass(frozen=True)
class Shown:
    """The thumbnail of a model, or the error why there is none."""

    number: int
    thumbnail: Thumbnail = NOTHING
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What a page needs beside the levels; JSON-able."""
        nz, nx = self.thumbnail.levels.shape
        about: dict[str, Any] = {"number": self.number, "nz": nz, "nx": nx}
        if self.error:
            return about | {"error": self.error}
        return about | {"low": self.thumbnail.low, "high": self.thumbnail.high}


def thumbnails(archive: Archive, numbers: Sequence[int], pixels: int) -> Iterator[Shown]:
    """A thumbnail of each of these models, in order, within `pixels` x `pixels`."""
    try:
        models = archive.stored(numbers)
    except VelcodecError as error:
        if len(numbers) == 1:
            yield Shown(numbers[0], error=str(error))
            return
        for number in numbers:
            yield from thumbnails(archive, [number], pixels)
        return
    for number, model in zip(numbers, models, strict=True):
        yield _shown(archive, number, model, pixels)


def _shown(archive: Archive, number: int, model: StoredModel, pixels: int) -> Shown:
    decoder = partial(archive.evaluator, number)
    try:
        return Shown(number, thumbnail(model, archive.geometry(number), pixels, decoder))
    except VelcodecError as error:
        return Shown(number, error=str(error))
