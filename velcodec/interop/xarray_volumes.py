"""Archives of volumes as xarray data sets: `velocity` (model, z, y, x), read brick by brick."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.decode.stored import check_stackable
from velcodec.decode.volume_field import VolumeField
from velcodec.decode.volumes import open_volume, whole
from velcodec.formats.container.header import Layout
from velcodec.formats.extras import from_extra
from velcodec.formats.volume_coding.stream import Box, Shape
from velcodec.interop.shared import SharedArchive
from velcodec.resolution import check_volume_resolution
from velcodec.sampler.cell_average import Average

with from_extra("xarray"):
    from xarray.backends import BackendArray
    from xarray.core import indexing

VOLUME_DIMS = ("model", "z", "y", "x")

OuterKey = tuple[int | slice | NDArray[np.integer[Any]], ...]


class LazyVolumes(BackendArray):
    """All volumes of an archive as an array (model, z, y, x); an index decodes the bricks that hold
    its samples. If they are `rendered`, these are the cells of the grid `sizes` over each volume.
    """

    def __init__(
        self,
        shared: SharedArchive,
        layout: Layout,
        models: int,
        sizes: Shape,
        rendered: bool,
        average: Average,
    ) -> None:
        self.shape = (models, *sizes)
        self.dtype = np.dtype(layout.dtype)
        self._shared, self._rendered, self._average = shared, rendered, average

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.generic]:
        support = indexing.IndexingSupport.OUTER
        selected: NDArray[np.generic] = indexing.explicit_indexing_adapter(
            key, self.shape, support, self._outer
        )
        return selected

    def _outer(self, key: OuterKey) -> NDArray[np.generic]:
        """Index each axis independently by a number, a slice or a list of numbers."""
        which, *places = (np.arange(size)[one] for size, one in zip(self.shape, key, strict=True))
        numbers = np.atleast_1d(which)
        shape = [each.shape for each in places]
        values = np.empty((len(numbers), *(n for each in shape for n in each)), self.dtype)
        if values.size:
            z, y, x = (slice(int(each.min()), int(each.max()) + 1) for each in places)
            for row, number in enumerate(numbers.tolist()):
                part = self._part(number, (z, y, x))
                for axis, cut in ((2, x), (1, y), (0, z)):  # a number takes its axis away
                    part = part.take(places[axis] - cut.start, axis)
                values[row] = part
        return values if which.ndim else values[0]

    def _part(self, number: int, box: Box) -> NDArray[np.generic]:
        with self._shared.reading() as archive:
            volume = open_volume(archive.reader, number)
            if not self._rendered:
                return volume.read(box)
            field = VolumeField(volume)
            return field.render(whole(volume.layout), self.shape[1:], self._average, box)


def has_volumes(archive: Archive) -> bool:
    """Whether any model of an archive is a volume."""
    return any(layout.is_volume for layout in archive.layouts_in_use)


def one_kind_of_volumes(archive: Archive, res: Any) -> tuple[Layout, tuple[int, int, int]]:
    """A layout with the dtype, units and axis order of all volumes, and their grid when read. It
    may be of any size, since parts are read alone.

    Raises MixedShapesError for volumes beside other models or, without `res`, of several shapes,
    and ResolutionError.
    """
    layouts = archive.layouts_in_use
    check_stackable(layouts, res is None or not all(layout.is_volume for layout in layouts))
    sizes = layouts[0].shape if res is None else res
    return layouts[0], check_volume_resolution(sizes, archive.reader.name, True)


def brick_shape(archive: Archive, sizes: Shape) -> tuple[int, int, int, int]:
    """The chunks that decode efficiently: one brick of one volume, or the cells in one."""
    bricks = open_volume(archive.reader, 0).table.bricks
    z, y, x = (
        max(1, edge * size // samples)
        for edge, size, samples in zip(bricks.edges, sizes, bricks.shape, strict=True)
    )
    return 1, z, y, x
