"""Thumbnails of many models, where one that cannot be decoded spoils no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from velcodec.archive.archive import Archive
from velcodec.decode.thumbnail import Thumbnail
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
    """A thumbnail of each of these models, in order, within `pixels` x `pixels`; of a volume, of
    the section through its middle y.
    """
    try:
        found = list(archive.thumbnails(numbers, pixels))
    except VelcodecError as error:
        if len(numbers) == 1:
            yield Shown(numbers[0], error=str(error))
            return
        for number in numbers:
            yield from thumbnails(archive, [number], pixels)
        return
    yield from (Shown(number, small) for number, small in zip(numbers, found, strict=True))
