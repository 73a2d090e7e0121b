"""One volume of an archive in sections through any of its points, as m/s."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.listing import rows_of
from velcodec.decode.thumbnail import nearest_index
from velcodec.decode.units import to_m_s
from velcodec.decode.volumes import StoredVolume, open_volume
from velcodec.formats.arrays import Float32, Float64
from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.formats.storage.locks import ForkableLock
from velcodec.formats.volume_coding.stream import Box
from velcodec.geometry import ACROSS
from velcodec.sampler.volume.compiled import Range, SampledVolume
from velcodec.view.model import Window, errors_m_s

if TYPE_CHECKING:
    from velcodec.files.originals import Originals

AXES = "zyx"

KEPT_BYTES = 1 << 28
"""Decoded bricks kept while a volume is looked at, as many as three sections of 800 x 800 x 190
float32 samples cross: dragging one needs the same ones again.
"""

BLOCK = 64
"""Samples along a side of a block of a section, whose features are computed together."""

BLOCKS_KEPT = 16
"""Blocks whose features are kept, 15 MB each."""

FINEST = 1 / 3
"""Samples per pixel from which the field is drawn. Between samples that are drawn smaller than
three pixels there is little to see, and the field takes a while.
"""


@dataclass(frozen=True)
class KeptVolume(StoredVolume):
    """A volume that keeps the bricks that were used last."""

    kept: OrderedDict[int, NDArray[np.generic]] = field(default_factory=OrderedDict)
    lock: ForkableLock = field(default_factory=ForkableLock)

    def brick(self, number: int) -> NDArray[np.generic]:
        """The samples of a brick, decoded unless they are kept. Raises as `StoredVolume.brick`."""
        with self.lock:
            found = self.kept.get(number)
        if found is None:
            found = super().brick(number)
        with self.lock:
            self.kept[number] = found
            self.kept.move_to_end(number)
            while len(self.kept) > 1 and sum(b.nbytes for b in self.kept.values()) > KEPT_BYTES:
                self.kept.popitem(last=False)
        return found


@dataclass(frozen=True)
class Block:
    """The field between the samples in the ranges `inner`, whose features are given, of the part of
    a volume that starts with sample `start` (z, y, x).
    """

    field: SampledVolume
    start: tuple[int, ...]
    inner: list[Range]
    features: Float32

    def fill(self, z: Float64, y: Float64, x: Float64, out: Float64) -> None:
        """Fill `out` at positions in the volume's cells."""
        z, y, x = (each - first for each, first in zip((z, y, x), self.start, strict=True))
        self.field.fill_within(self.features, self.inner, (z, y, x), out)


class ViewedVolume:
    """A volume that is looked at: its bricks are decoded as sections need them."""

    def __init__(self, archive: Archive, number: int, originals: Originals | None = None) -> None:
        self.archive, self.number, self._originals = archive, number, originals
        self.stored = KeptVolume(**vars(open_volume(archive.reader, number)))
        self.layout = archive.layout(number)
        self._layers = {
            "field": self._field,
            "samples": self._samples,
            "original": self._original,
            "error": self._error,
        }
        self._block = lru_cache(BLOCKS_KEPT)(self._make_block)

    def render(self, layer: str, axis: str, at: float, window: Window) -> NDArray[np.float32]:
        """A window (nz, nx) in m/s of the section through position `at`, in cells, of an `axis`.
        The window's z goes down, which is y in a section through a z; its x goes across, which is y
        in a section through an x.

        Layers are the field, the samples of the native grid, the original samples, and the error of
        the decoded ones. Raises OptionError, also where the archive was opened without its
        originals, CorruptError, and SamplerError.
        """
        draw = self._layers.get(layer)
        if draw is None:
            raise OptionError(f"layer: found {layer!r}, expected {', '.join(self._layers)}")
        if axis not in ACROSS:
            raise OptionError(f"section: found {axis!r}, expected {', '.join(ACROSS)}")
        sizes = dict(zip(AXES, self.layout.shape, strict=True))
        if not 0 <= at <= sizes[axis]:
            raise OptionError(f"at: found {at}, expected 0 to {sizes[axis]} cells")
        down, across = ACROSS[axis]
        window = window.checked((sizes[down], sizes[across]))
        cells = {axis: np.array([at]), down: window.z, across: window.x}
        values = draw(*(cells[each] for each in AXES))
        return values.squeeze(AXES.index(axis)).astype(np.float32)

    def _samples(self, *cells: Float64) -> Float64:
        box = self._around(cells)
        return _nearest(to_m_s(self.stored.read(box), self.layout.units), box, cells)

    def _original(self, *cells: Float64) -> Float64:
        values, units = self._read_original
        box = self._around(cells)
        return _nearest(to_m_s(values[box], units), box, cells)

    def _error(self, *cells: Float64) -> Float64:
        values, units = self._read_original
        box = self._around(cells)
        error = errors_m_s(self.stored.read(box), self.layout.units, values[box], units)
        return _nearest(error, box, cells)

    def _field(self, *cells: Float64) -> Float64:
        steps = [each[1] - each[0] for each in cells if len(each) > 1]
        if not steps or max(steps) > FINEST:
            return self._samples(*cells)
        out = np.empty([len(each) for each in cells])
        runs = [_runs(each, size) for each, size in zip(cells, self.layout.shape, strict=True)]
        for some in product(*runs):
            cuts = tuple(cut for _, cut in some)
            z, y, x = (each[cut] for each, cut in zip(cells, cuts, strict=True))
            self._block(tuple(ends for ends, _ in some)).fill(z, y, x, out[cuts])
        return to_m_s(out, self.layout.units)

    def _make_block(self, ranges: tuple[Range, Range, Range]) -> Block:
        field, start = self.stored.field_around(_box(ranges))
        inner = [(a - first, b - first) for (a, b), first in zip(ranges, start, strict=True)]
        return Block(field, start, inner, field.features(inner))

    def _around(self, cells: tuple[Float64, ...]) -> Box:
        """The samples nearest to positions in cells, as a box."""
        ends = []
        for each, size in zip(cells, self.layout.shape, strict=True):
            first, last = nearest_index(each[[0, -1]], size).tolist()
            ends.append((first, last + 1))
        return _box(ends)

    @cached_property
    def _read_original(self) -> tuple[NDArray[np.generic], str]:
        if self._originals is None:
            raise OptionError("the original: is not known, expected --against when it was opened")
        values, units = next(iter(self._originals.read(range(self.number, self.number + 1))))
        if values.shape != self.layout.shape:
            raise InputShapeError(
                f"original {self.number}: found {values.shape} samples, expected "
                f"{self.layout.shape}"
            )
        return values, units or self.layout.units

    def facts(self) -> dict[str, Any]:
        """What a page shows beside the volume."""
        row = next(rows_of(self.archive, [self.number]))
        header, lay = self.archive.header_of(self.number), self.layout
        low, high = (to_m_s(np.array(end), lay.units) for end in self.stored.ends)
        return {
            **row.to_dict(),
            "volume": {
                axis: {
                    "origin": getattr(lay, f"origin_{axis}_m"),
                    "spacing": getattr(lay, f"d{axis}_m"),
                    "samples": size,
                }
                for axis, size in zip(AXES, lay.shape, strict=True)
            },
            "spacing": [getattr(lay, f"d{axis}_m") for axis in AXES],
            "moves": False,
            "units": lay.units,
            "dtype": lay.dtype,
            "low": float(low),
            "high": float(high),
            "decoder": header.decoder_name,
            "provenance": header.provenance,
            "licence": header.licence,
        }


def _runs(cells: Float64, size: int) -> list[tuple[Range, slice]]:
    """The samples that blocks hold, and the run of ascending positions between them: blocks at
    multiples of BLOCK or, around a single position, of the two samples that it is between.
    """
    corners = np.floor(cells - 0.5).astype(np.int64)
    if len(cells) == 1:
        corner = int(corners[0])
        return [((max(corner, 0), min(corner + 2, size)), slice(0, 1))]
    blocks = corners.clip(0) // BLOCK
    return [
        (
            (number * BLOCK, min((number + 1) * BLOCK + 1, size)),
            slice(*np.searchsorted(blocks, [number, number + 1])),
        )
        for number in np.unique(blocks).tolist()
    ]


def _box(ranges: Sequence[Range]) -> Box:
    z, y, x = (slice(*each) for each in ranges)
    return z, y, x


def _nearest(values: Float64, box: Box, cells: tuple[Float64, ...]) -> Float64:
    """Of the values of the samples of a box, those nearest to positions in the volume's cells."""
    index = (
        nearest_index(each - ends.start, ends.stop - ends.start)
        for each, ends in zip(cells, box, strict=True)
    )
    return values[np.ix_(*index)]
