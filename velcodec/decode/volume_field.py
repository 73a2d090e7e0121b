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
from velcodec.formats.arrays import Bool, Float64, Int64
from velcodec.formats.sample_coding.domain import RAW
from velcodec.formats.storage.locks import lazy_property
from velcodec.formats.volume_coding.stream import Box
from velcodec.masks import nearest_samples, nearest_to
from velcodec.sampler.cell_average import PER_SAMPLE_OF_VOLUME, Average, points_along
from velcodec.sampler.compiled import cell_positions
from velcodec.sampler.volume.compiled import BLOCK, SampledVolume
from velcodec.sampler.volume.form import volume_sampler_of

KEPT_SAMPLES = 1 << 26
"""Samples of decoded bricks that are kept: neighbouring blocks need the same ones."""

Brick = tuple[NDArray[np.generic] | None, Bool | None]


class KeptBricks(StoredVolume):
    """A stored volume as an array (nz, ny, nx) of samples as they are coded, whose latest bricks
    are kept decoded.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along z, y and x."""
        return self.layout.shape

    def __getitem__(self, box: Box) -> NDArray[np.generic]:
        return self.parts(box, self.ends[0])[0]

    @lazy_property
    def ends(self) -> tuple[float, float]:
        """The ends of the domain, which all samples lie between; of a RAW one, those of the present
        samples.
        """
        domain = self.coding.domains[self.table.domain]
        if domain.kind != RAW:
            return domain.ends(np.dtype(self.layout.dtype))
        least, most = math.inf, -math.inf
        for number in range(len(self.table.bricks)):
            samples: NDArray[Any] | None = self._brick(number)[0]
            if samples is not None:
                least, most = min(least, float(samples.min())), max(most, float(samples.max()))
        return least, most

    @lazy_property
    def _kept(self) -> Callable[[int], Brick]:
        most = max(1, KEPT_SAMPLES // math.prod(self.table.bricks.edges))
        return lru_cache(most)(super()._brick)

    def _brick(self, number: int) -> Brick:
        return self._kept(number)


class VolumeField:
    """The field of a stored volume, whose `bricks` are kept. Positions are in cells: sample i lies
    at i + 1/2.

    Methods raise SamplerError for an unknown sampler, CorruptError, TruncatedError.
    """

    def __init__(self, volume: StoredVolume) -> None:
        self.bricks = KeptBricks(*(getattr(volume, each.name) for each in fields(StoredVolume)))
        self._dtype = np.dtype(volume.layout.dtype)

    def render(
        self,
        box: Box,
        res: Sequence[int],
        average: Average = "none",
        some: Box | None = None,
    ) -> NDArray[np.generic]:
        """The field of a box (z, y, x) of samples in the cells of a grid `res` over its extent,
        (nz, ny, nx), of the archive's dtype and in its units: at their centres, or means over them;
        where the sample nearest to a centre is absent, the no-data value. `some` are the ranges of
        cells that are wanted, by default all.

        Raises OptionError for the mean slowness of velocities that are not positive.
        """
        wanted = some or tuple(slice(0, size) for size in res)
        sizes = [each.stop - each.start for each in box]
        along = (1, 1, 1) if average == "none" else points_per_cell(sizes, res)
        axes = list(zip(box, sizes, res, along, wanted, strict=True))
        z, y, x = (
            part.start + cell_positions(size, n * k)[cells.start * k : cells.stop * k]
            for part, size, n, k, cells in axes
        )
        nearest = [part.start + nearest_samples(size, n)[cells] for part, size, n, _, cells in axes]
        out = np.empty([len(each) for each in nearest], self._dtype)
        planes = max(1, BLOCK * res[0] // sizes[0])
        for first in range(0, len(out), planes):
            part = z[first * along[0] : (first + planes) * along[0]]
            rendered = out[first : first + planes]
            if average == "none":
                for piece, values in self._field.pieces(part, y, x):
                    rendered[piece] = as_dtype(values, self._dtype)
            else:
                means = self._field.means(part, y, x, along, average, self.bricks.place)
                rendered[...] = as_dtype(means, self._dtype)
            if self.bricks.table.absent.any():
                self._put_no_data(rendered, [nearest[0][first : first + planes], *nearest[1:]])
        return out

    def values(self, z: Float64, y: Float64, x: Float64) -> Float64:
        """Values (len(z), len(y), len(x)) at ascending positions; NaN where the nearest sample is
        absent.
        """
        out = np.empty([len(each) for each in (z, y, x)])
        for piece, found in self._field.pieces(z, y, x):
            out[piece] = found
        if self.bricks.table.absent.any():
            sizes = self.bricks.shape
            nearest = [
                np.clip(np.ceil(each).astype(np.int64) - 1, 0, size - 1)
                for each, size in zip((z, y, x), sizes, strict=True)
            ]
            absent = self._absent_at(nearest)
            if absent is not None:
                out[absent] = np.nan
        return out

    def points(self, cells: Float64) -> Float64:
        """Values (P,) at points (x, y, z), (P, 3); NaN where the nearest sample is absent."""
        if not len(cells):
            return np.zeros(0)
        return self._without_absent(self._field.points(cells), cells)

    def gradient(self, cells: Float64) -> Float64:
        """Derivatives (P, 3) by x, y and z, per cell, at the points of `points`."""
        from velcodec.sampler.volume.render import TorchVolume

        bricks = self.bricks
        field = TorchVolume(bricks, bricks.coding.sampler, "cpu", bricks.ends)
        return self._without_absent(field.gradient(cells), cells)

    @lazy_property
    def _field(self) -> SampledVolume:
        weights = volume_sampler_of(self.bricks.coding.sampler)
        return SampledVolume(self.bricks, weights, self.bricks.ends)

    def _put_no_data(self, rendered: NDArray[Any], nearest: Sequence[Int64]) -> None:
        """Put the no-data value where the nearest samples, along each axis, are absent."""
        absent = self._absent_at(nearest)
        if absent is not None:
            rendered[absent] = self.bricks.no_data

    def _absent_at(self, nearest: Sequence[Int64]) -> Bool | None:
        """Which samples (z, y, x), ascending along each axis, are absent; None if none is."""
        z, y, x = (slice(int(each[0]), int(each[-1]) + 1) for each in nearest)
        absent = self.bricks.parts((z, y, x), self.bricks.ends[0])[1]
        own = (each - each[0] for each in nearest)
        return None if absent is None else absent[np.ix_(*own)]

    def _without_absent(self, values: Float64, cells: Float64) -> Float64:
        """Set values at points to NaN where the nearest sample is absent."""
        bricks = self.bricks
        if not bricks.table.absent.any():
            return values
        nearest = nearest_to(cells)[:, ::-1]
        edges, counts = np.array(bricks.table.bricks.edges), bricks.table.bricks.counts
        numbers = np.ravel_multi_index(tuple((nearest // edges).T), counts)
        for number in np.unique(numbers[bricks.table.absent[numbers] > 0]).tolist():
            (chosen,) = np.nonzero(numbers == number)
            mask = bricks._brick(number)[1]
            own = nearest[chosen] % edges
            values[chosen if mask is None else chosen[mask[tuple(own.T)]]] = np.nan
        return values


def points_per_cell(samples: Sequence[int], cells: Sequence[int]) -> tuple[int, int, int]:
    """Points (kz, ky, kx) of a mean over each of `cells` (nz, ny, nx) of a volume of `samples`."""
    z, y, x = (
        points_along(size, count, PER_SAMPLE_OF_VOLUME)
        for size, count in zip(samples, cells, strict=True)
    )
    return z, y, x
