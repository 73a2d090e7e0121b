"""One volume of an archive in sections through any of its points, as m/s."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.listing import rows_of
from velcodec.decode.thumbnail import nearest_index
from velcodec.decode.units import to_m_s
from velcodec.decode.volume_field import VolumeField
from velcodec.decode.volumes import open_volume
from velcodec.formats.arrays import Bool, Float64
from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.formats.volume_coding.stream import Box
from velcodec.geometry import ACROSS
from velcodec.view.model import Window, errors_m_s

if TYPE_CHECKING:
    from velcodec.files.originals import Originals

AXES = "zyx"

FINEST = 1 / 3
"""Samples per pixel from which the field is drawn. Between samples that are drawn smaller than
three pixels there is little to see, and the field takes a while.
"""


class ViewedVolume:
    """A volume that is looked at: its bricks are decoded as sections need them."""

    def __init__(self, archive: Archive, number: int, originals: Originals | None = None) -> None:
        self.archive, self.number, self._originals = archive, number, originals
        self.stored_field = VolumeField(open_volume(archive.reader, number))
        self.stored = self.stored_field.bricks
        self.layout = archive.layout(number)
        self._layers = {
            "field": self._field,
            "samples": self._samples,
            "original": self._original,
            "error": self._error,
        }

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
        values, absent = self._decoded(box)
        return _nearest(_blank(to_m_s(values, self.layout.units), absent), box, cells)

    def _original(self, *cells: Float64) -> Float64:
        values, units = self._read_original
        box = self._around(cells)
        _, absent = self._decoded(box)
        return _nearest(_blank(to_m_s(values[box], units), absent), box, cells)

    def _error(self, *cells: Float64) -> Float64:
        values, units = self._read_original
        box = self._around(cells)
        decoded, absent = self._decoded(box)
        error = errors_m_s(decoded, self.layout.units, values[box], units)
        return _nearest(_blank(error, absent), box, cells)

    def _decoded(self, box: Box) -> tuple[NDArray[Any], Bool | None]:
        """The samples of a box as they are coded, and which are absent."""
        return self.stored.parts(box, self.stored.ends[0])

    def _field(self, *cells: Float64) -> Float64:
        steps = [each[1] - each[0] for each in cells if len(each) > 1]
        if not steps or max(steps) > FINEST:
            return self._samples(*cells)
        return to_m_s(self.stored_field.values(*cells), self.layout.units)

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
            "z_name": header.facts.z_name,
            "moves": False,
            "units": lay.units,
            "dtype": lay.dtype,
            "low": float(low),
            "high": float(high),
            "decoder": header.decoder_name,
            "provenance": header.provenance,
            "licence": header.licence,
        }


def _box(ranges: Sequence[tuple[int, int]]) -> Box:
    z, y, x = (slice(*each) for each in ranges)
    return z, y, x


def _nearest(values: Float64, box: Box, cells: tuple[Float64, ...]) -> Float64:
    """Of the values of the samples of a box, those nearest to positions in the volume's cells."""
    index = (
        nearest_index(each - ends.start, ends.stop - ends.start)
        for each, ends in zip(cells, box, strict=True)
    )
    return values[np.ix_(*index)]


def _blank(values: Float64, absent: Bool | None) -> Float64:
    """Values with NaN where a sample is absent."""
    return values if absent is None else np.where(absent, np.nan, values)
