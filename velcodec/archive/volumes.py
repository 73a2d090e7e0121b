"""The volumes of an archive: whole, in boxes and sections, at points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from velcodec.formats.volume_coding.stream import Box, Shape
from velcodec.geometry import Geometry
from velcodec.resolution import (
    Resolution,
    check_native,
    check_resolution,
    check_volume_resolution,
)
from velcodec.sampler.cell_average import check_average


@dataclass(frozen=True)
class Part:
    """A `box` of a volume, its samples or a rendering of `sizes` cells, that is read part by part:
    `read` gives the cells in ranges along z, y and x, best in multiples of `edges`.
    """

    box: Box
    sizes: Shape
    edges: Shape
    read: Callable[[Box], NDArray[np.generic]]

    def whole(self) -> NDArray[np.generic]:
        """All of it, (z, y, x)."""
        z, y, x = (slice(0, size) for size in self.sizes)
        return self.read((z, y, x))


class Volumes:
    """Reads the volumes of an archive, only the bricks that are needed."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def has(self, number: int) -> bool:
        """Whether a model is a volume."""
        if not self._reader.header_of(number).has_volumes:
            return False
        return stored_layout(self._reader, number).is_volume

    def stored(self, number: int) -> StoredVolume:
        """A volume, ready to be read. Raises VolumeError for a section, CorruptError,
        TruncatedError.
        """
        return open_volume(self._reader, number)

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
        volume = self.stored(number)
        part = checked_box(box, volume.layout, place_of(self._reader, number))
        found = self._part(volume, part, res, average, allow_large)
        return own_order(found.whole(), volume.layout)

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
        volume = self.stored(number)
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
        found = self._part(volume, box, cells, average, allow_large)
        return found.whole().squeeze(place_of_axis)

    def part(
        self,
        number: int,
        box: Sequence[slice | tuple[int, int]],
        res: int | Sequence[int] | None,
        average: str,
        allow_large: bool,
    ) -> Part:
        """As `Archive.box_in_parts`."""
        volume = self.stored(number)
        checked = checked_box(box, volume.layout, place_of(self._reader, number))
        return self._part(volume, checked, res, average, allow_large)

    def _part(
        self,
        volume: StoredVolume,
        box: Box,
        res: int | Sequence[int] | None,
        average: str,
        allow_large: bool,
    ) -> Part:
        place, kind = place_of(self._reader, volume.number), check_average(average)
        sizes = [each.stop - each.start for each in box]
        check_native(sizes, f"{place}: box", allow_large)
        edges = volume.table.bricks.edges
        if res is None and kind == "none":
            own = sizes[0], sizes[1], sizes[2]
            return Part(box, own, edges, lambda some: volume.read(_of(box, some)))
        grid = check_volume_resolution(sizes if res is None else res, place, allow_large)
        if kind != "none":
            points = [n * k for n, k in zip(grid, points_per_cell(sizes, grid), strict=True)]
            check_native(points, f"{place}: its means", allow_large)
        field = VolumeField(volume)

        def render(some: Box) -> NDArray[np.generic]:
            with naming_model(self._reader, volume.number):
                return field.render(box, grid, kind, some)

        z, y, x = (
            max(1, edge * n // size) for edge, n, size in zip(edges, grid, sizes, strict=True)
        )
        return Part(box, grid, (z, y, x), render)

    def sample(self, number: int, ground: Geometry, points: ArrayLike) -> Float64:
        """Values (P,) at points (x, y, z) in metres of a volume on `ground`."""
        with naming_model(self._reader, number):
            return VolumeField(self.stored(number)).points(ground.to_cells(points))

    def gradient(self, number: int, ground: Geometry, points: ArrayLike) -> Float64:
        """Derivatives (P, 3) by x, y and z, per metre, at the points of `sample`."""
        cells = ground.to_cells(points)
        with naming_model(self._reader, number):
            slopes = VolumeField(self.stored(number)).gradient(cells)
        return slopes / np.array(ground.spacing[::-1])


def _of(box: Box, some: Box) -> Box:
    """A part of a box, counted from its start, as a box of the volume."""
    z, y, x = (
        slice(whole.start + part.start, whole.start + part.stop)
        for whole, part in zip(box, some, strict=True)
    )
    return z, y, x
