"""Archives of volumes as xarray data sets: `velocity` (model, z, y, x), read brick by brick."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.decode.stored import check_stackable
from velcodec.decode.volumes import open_volume
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import VolumeError
from velcodec.formats.extras import from_extra
from velcodec.interop.shared import SharedArchive, on_one_ground
from velcodec.resolution import Resolution

with from_extra("xarray"):
    from xarray.backends import BackendArray
    from xarray.core import indexing

VOLUME_DIMS = ("model", "z", "y", "x")

OuterKey = tuple[int | slice | NDArray[np.integer[Any]], ...]


class LazyVolumes(BackendArray):
    """All volumes of an archive as an array (model, z, y, x); an index decodes the bricks that hold
    its samples.
    """

    def __init__(self, shared: SharedArchive, layout: Layout, models: int) -> None:
        self.shape = (models, *layout.shape)
        self.dtype = np.dtype(layout.dtype)
        self._shared = shared

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
            box = [slice(int(each.min()), int(each.max()) + 1) for each in places]
            for row, number in enumerate(numbers.tolist()):
                with self._shared.reading() as archive:
                    part = open_volume(archive.reader, number).read((box[0], box[1], box[2]))
                for axis in (2, 1, 0):  # a number takes its axis away
                    part = part.take(places[axis] - box[axis].start, axis)
                values[row] = part
        return values if which.ndim else values[0]


def volume_layout(archive: Archive, res: Resolution | None, average: str) -> Layout | None:
    """The layout of an archive of volumes; None for one without volumes.

    Raises MixedShapesError for volumes beside other models, and VolumeError for another grid.
    """
    layouts = archive.layouts_in_use
    if not any(layout.is_volume for layout in layouts):
        return None
    check_stackable(layouts, True)
    if res is not None or average != "none":
        raise VolumeError(
            f"{archive.reader.name}: xarray reads volumes at their own samples, found "
            f"{'an average' if res is None else f'res={res}'}: archive.decode and archive.box give "
            "other grids"
        )
    return layouts[0]


def brick_shape(archive: Archive) -> tuple[int, int, int, int]:
    """The chunks that decode efficiently: one brick of one volume."""
    return (1, *open_volume(archive.reader, 0).table.bricks.edges)


def volume_positions(archive: Archive) -> dict[str, Any]:
    """Positions z, y and x in metres, where all volumes have the same."""
    if not on_one_ground(archive):
        return {}
    layout = archive.layout(0)
    names = {"z": "depth", "y": "distance along y", "x": "distance"}
    positions = {}
    for axis, size in zip("zyx", layout.shape, strict=True):
        origin, step = getattr(layout, f"origin_{axis}_m"), getattr(layout, f"d{axis}_m")
        about = {"long_name": names[axis], "units": "m", "axis": axis.upper()}
        if axis == "z":
            about["positive"] = "down"
        positions[axis] = (axis, origin + step * np.arange(size), about)
    return positions
