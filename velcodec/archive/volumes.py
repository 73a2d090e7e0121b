"""The volumes of an archive: whole, in boxes and sections, at points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.archive.layouts import layout_of, place_of
from velcodec.archive.sections import check_size, naming_model
from velcodec.decode.stored import check_stackable, stored_layout
from velcodec.decode.volumes import checked_box, open_volume, own_order, volume_cells, whole
from velcodec.formats.arrays import Float64
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import OptionError, VolumeError
from velcodec.resolution import check_native, check_volume_resolution


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
        if average != "none":
            raise VolumeError(
                f"{place_of(self._reader, numbers[0])}: average: found {average!r} for a volume, "
                "expected none"
            )
        for number in numbers:
            check_size(self._reader, number, allow_large)
        if len(numbers) > 1:
            layouts = [layout_of(self._reader, number) for number in numbers]
            check_stackable(layouts, res is None)
        every = [slice(None)] * 3
        return [self.box(number, every, res, allow_large=allow_large) for number in numbers]

    def box(
        self,
        number: int,
        box: Sequence[slice | tuple[int, int]],
        res: int | Sequence[int] | None,
        *,
        allow_large: bool,
    ) -> NDArray[np.generic]:
        """As `Archive.box`."""
        place = place_of(self._reader, number)
        volume = open_volume(self._reader, number)
        part = checked_box(box, volume.layout, place)
        sizes = [each.stop - each.start for each in part]
        check_native(sizes, f"{place}: box", allow_large)
        if res is None:
            return own_order(volume.read(part), volume.layout)
        grid = check_volume_resolution(res, place, allow_large)
        with naming_model(self._reader, number):
            return own_order(volume.render(part, grid), volume.layout)

    def section(self, number: int, places: dict[str, int | None]) -> NDArray[np.generic]:
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
        return volume.read((part[0], part[1], part[2])).squeeze(place_of_axis)

    def sample(self, number: int, points: ArrayLike) -> Float64:
        """Values (P,) at points (x, y, z) in metres."""
        with naming_model(self._reader, number):
            volume = open_volume(self._reader, number)
            return volume.points(volume_cells(layout_of(self._reader, number), points))

    def gradient(self, number: int, points: ArrayLike) -> Float64:
        """Derivatives (P, 3) by x, y and z, per metre, at the points of `sample`."""
        layout = layout_of(self._reader, number)
        with naming_model(self._reader, number):
            volume = open_volume(self._reader, number)
            slopes = volume.gradient(volume_cells(layout, points))
        return slopes / np.array([layout.dx_m, layout.dy_m, layout.dz_m])
