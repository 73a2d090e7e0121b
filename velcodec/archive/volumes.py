"""The volumes of an archive: whole, in boxes and sections, at points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.archive.layouts import layout_of, place_of
from velcodec.archive.sections import check_size, naming_model
from velcodec.decode.stored import check_stackable, stored_layout
from velcodec.decode.volume_field import VolumeField, points_per_cell
from velcodec.decode.volumes import (
    StoredVolume,
    checked_box,
    open_volume,
    own_order,
    whole,
)
from velcodec.formats.arrays import Float64
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import OptionError
from velcodec.formats.volume_coding.stream import Box
from velcodec.geometry import Geometry
from velcodec.resolution import (
    Resolution,
    check_native,
    check_resolution,
    check_volume_resolution,
)
from velcodec.sampler.cell_average import check_average


class Volumes:
    """Reads the volumes of an archive, only the bricks that are needed."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def has(self, number: int) -> bool:
        """Whether a model is a volume."""
        if not self._reader.header_of(number).has_volumes:
            return False
        return stored_layout(self._reader, number).is_volume

    def decode(
        self, numbers: Sequence[int], res: Any, average: str, allow_large: bool
    ) -> list[NDArray[np.generic]]:
        """Whole volumes, at their own grids or at `res`. Raises as `Archive.decode`."""
        for number in numbers:
            check_size(self._reader, number, allow_large)
        if len(numbers) > 1:
            layouts = [layout_of(self._reader, number) for number in numbers]
            check_stackable(layouts, res is None)
        every = [slice(None)] * 3
        return [self.box(number, every, res, average, allow_large) for number in numbers]

    def box(
        self,
        number: int,
        box: Sequence[slice | tuple[int, int]],
        res: int | Sequence[int] | None,
        average: str,
        allow_large: bool,
    ) -> NDArray[np.generic]:
        """As `Archive.box`."""
        volume = open_volume(self._reader, number)
        part = checked_box(box, volume.layout, place_of(self._reader, number))
        return own_order(self._part(volume, part, res, average, allow_large), volume.layout)

    def section(
        self,
        number: int,
        places: dict[str, int | None],
        res: Resolution | None,
        average: str,
        allow_large: bool,
    ) -> NDArray[np.generic]:
        """The section through a sample of one axis, as `Archive.section`."""
        given = {axis: at for axis, at in places.items() if at is not None}
        place = f"{place_of(self._reader, number)}: section"
        if len(given) != 1:
            raise OptionError(f"{place}: found {len(given)} of z, y and x, expected one of them")
        ((axis, at),) = given.items()
        volume = open_volume(self._reader, number)
        place_of_axis = "zyx".index(axis)
        size = volume.layout.shape[place_of_axis]
        if not isinstance(at, int | np.integer) or not -size <= at < size:
            raise OptionError(
                f"{place}: {axis}: found {at!r}, expected a sample from {-size} to {size - 1}"
            )
        part = list(whole(volume.layout))
        part[place_of_axis] = slice(at % size, at % size + 1)
        grid = check_resolution(res, 1, allow_large)
        cells = None if grid is None else [*grid[:place_of_axis], 1, *grid[place_of_axis:]]
        box = part[0], part[1], part[2]
        return self._part(volume, box, cells, average, allow_large).squeeze(place_of_axis)

    def _part(
        self,
        volume: StoredVolume,
        box: Box,
        res: int | Sequence[int] | None,
        average: str,
        allow_large: bool,
    ) -> NDArray[np.generic]:
        """The samples of a box or, at `res` or with an average, its field: (z, y, x)."""
        place, kind = place_of(self._reader, volume.number), check_average(average)
        sizes = [each.stop - each.start for each in box]
        check_native(sizes, f"{place}: box", allow_large)
        if res is None and kind == "none":
            return volume.read(box)
        grid = check_volume_resolution(sizes if res is None else res, place, allow_large)
        if kind != "none":
            points = [n * k for n, k in zip(grid, points_per_cell(sizes, grid), strict=True)]
            check_native(points, f"{place}: its means", allow_large)
        with naming_model(self._reader, volume.number):
            return VolumeField(volume).render(box, grid, kind)

    def sample(self, number: int, ground: Geometry, points: ArrayLike) -> Float64:
        """Values (P,) at points (x, y, z) in metres of a volume on `ground`."""
        with naming_model(self._reader, number):
            return VolumeField(open_volume(self._reader, number)).points(ground.to_cells(points))

    def gradient(self, number: int, ground: Geometry, points: ArrayLike) -> Float64:
        """Derivatives (P, 3) by x, y and z, per metre, at the points of `sample`."""
        cells = ground.to_cells(points)
        with naming_model(self._reader, number):
            slopes = VolumeField(open_volume(self._reader, number)).gradient(cells)
        return slopes / np.array(ground.spacing[::-1])
