"""The field of a stored volume: on any grid, as means over cells, and at points.

Only the bricks that hold samples near a part are decoded, and the latest of them are kept. Torch is
imported for gradients alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.units import as_dtype
from velcodec.decode.volumes import StoredVolume
from velcodec.formats.arrays import Float64
from velcodec.formats.sample_coding.domain import RAW
from velcodec.formats.storage.locks import lazy_property
from velcodec.formats.volume_coding.stream import Box
from velcodec.sampler.cell_average import (
    PER_SAMPLE_OF_VOLUME,
    Average,
    points_along,
)
from velcodec.sampler.compiled import cell_positions
from velcodec.sampler.volume.compiled import BLOCK, SampledVolume
from velcodec.sampler.volume.form import volume_sampler_of

KEPT_SAMPLES = 1 << 26
"""Samples of decoded bricks that are kept: neighbouring blocks need the same ones."""


class KeptBricks(StoredVolume):
    """A stored volume as an array of samples (nz, ny, nx), whose latest bricks are kept decoded."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(nz, ny, nx)."""
        return self.layout.shape

    def __getitem__(self, box: Box) -> NDArray[np.generic]:
        return self.read(box)

    @lazy_property
    def _kept(self) -> Callable[[int], NDArray[np.generic]]:
        most = max(1, KEPT_SAMPLES // math.prod(self.table.bricks.edges))
        return lru_cache(most)(super()._brick)

    def _brick(self, number: int) -> NDArray[np.generic]:
        return self._kept(number)


class VolumeField:
    """The field of a stored volume. Positions are in cells: sample i lies at i + 1/2.

    Methods raise SamplerError for an unknown sampler, CorruptError, TruncatedError.
    """

    def __init__(self, volume: StoredVolume) -> None:
        self._bricks = KeptBricks(*(getattr(volume, each.name) for each in fields(StoredVolume)))
        self._dtype = np.dtype(volume.layout.dtype)

    def render(
        self,
        box: Box,
        res: Sequence[int],
        average: Average = "none",
        some: Box | None = None,
    ) -> NDArray[np.generic]:
        """The field of a box (z, y, x) of samples in the cells of a grid `res` over its extent,
        (nz, ny, nx), of the archive's dtype and in its units: at their centres, or means over them.
        `some` are the ranges of cells that are wanted, by default all.

        Raises OptionError for the mean slowness of velocities that are not positive.
        """
        cells = some or tuple(slice(0, size) for size in res)
        sizes = [each.stop - each.start for each in box]
        along = (1, 1, 1) if average == "none" else points_per_cell(sizes, res)
        z, y, x = (
            part.start + cell_positions(size, n * k)[some.start * k : some.stop * k]
            for part, size, n, k, some in zip(box, sizes, res, along, cells, strict=True)
        )
        out = np.empty([each.stop - each.start for each in cells], self._dtype)
        if average == "none":
            for piece, values in self._field.pieces(z, y, x):
                out[piece] = as_dtype(values, self._dtype)
            return out
        planes = max(1, BLOCK * res[0] // sizes[0])
        for first in range(0, len(out), planes):
            part = z[first * along[0] : (first + planes) * along[0]]
            means = self._field.means(part, y, x, along, average, self._bricks.place)
            out[first : first + planes] = as_dtype(means, self._dtype)
        return out

    def points(self, cells: Float64) -> Float64:
        """Values (P,) at points (x, y, z), (P, 3)."""
        return self._field.points(cells) if len(cells) else np.zeros(0)

    def gradient(self, cells: Float64) -> Float64:
        """Derivatives (P, 3) by x, y and z, per cell, at the points of `points`."""
        from velcodec.sampler.volume.render import TorchVolume

        sampler = self._bricks.coding.sampler
        return TorchVolume(self._bricks, sampler, "cpu", self._ends).gradient(cells)

    @lazy_property
    def _field(self) -> SampledVolume:
        weights = volume_sampler_of(self._bricks.coding.sampler)
        return SampledVolume(self._bricks, weights, self._ends)

    @lazy_property
    def _ends(self) -> tuple[float, float]:
        """The ends of the domain, which all samples lie between; of a RAW one, those of the
        samples.
        """
        bricks = self._bricks
        domain = bricks.coding.domains[bricks.table.domain]
        if domain.kind != RAW:
            return domain.ends(self._dtype)
        least, most = np.inf, -np.inf
        for number in range(len(bricks.table.bricks)):
            samples: NDArray[Any] = bricks.read(bricks.table.bricks.box(number))
            least, most = min(least, float(samples.min())), max(most, float(samples.max()))
        return least, most


def points_per_cell(samples: Sequence[int], cells: Sequence[int]) -> tuple[int, int, int]:
    """Points (kz, ky, kx) of a mean over each of `cells` (nz, ny, nx) of a volume of `samples`."""
    z, y, x = (
        points_along(size, count, PER_SAMPLE_OF_VOLUME)
        for size, count in zip(samples, cells, strict=True)
    )
    return z, y, x
