"""The volumes' sampler on a CPU without torch: the same function as that of the module `network`.

Volumes are processed in blocks of samples with a margin, so that memory is bounded and no value
depends on the block boundaries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float32, Float64
from velcodec.formats.errors import SamplerError
from velcodec.formats.storage.locks import lazy_property
from velcodec.parallel import in_parallel
from velcodec.sampler.cell_average import Average, check_positive
from velcodec.sampler.compiled import HUGE, cell_positions, odd_extension
from velcodec.sampler.volume.features import Layers, Range, features_of, jobs_of
from velcodec.sampler.volume.form import (
    REACH,
    VolumeWeights,
)

BLOCK = 64
"""Samples along a side of a block whose features are held together: 200 MB."""

AROUND = 28
"""Samples beyond a part that can change a value in it by more than rounding does: those of the
network's reach and of the B-spline's.
"""

POINTS_AT_ONCE = 1 << 20
"""Points of means held together; at least a plane of a block."""

Box = tuple[slice, slice, slice]


class Samples(Protocol):
    """Samples (nz, ny, nx), of which boxes are taken: an array, or what reads them when asked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Their number along z, y and x."""

    def __getitem__(self, box: Box, /) -> NDArray[Any]: ...


def ends_of(samples: Samples) -> tuple[float, float]:
    """The least and the greatest sample."""
    z, y, x = (slice(0, size) for size in samples.shape)
    every = samples[z, y, x]
    return float(every.min()), float(every.max())


@dataclass(frozen=True)
class _Block:
    """What the values of some points follow from: samples with enough around them, their B-spline,
    and features, which begin at sample `start` of these; all begin at sample `first` of the volume.
    """

    first: tuple[int, ...]
    samples: Float64
    spline: Float64
    features: Float32
    start: NDArray[np.int64]


class SampledVolume:
    """The continuous field of samples (nz, ny, nx), in their units, anywhere in their extent. It
    passes through every sample and stays within their range.

    `ends` are the least and the greatest sample of the whole volume if the samples are a part of
    it; within AROUND samples of the part's edges its field is not that of the whole. Samples are
    taken block by block, so that those of a large volume need not be in memory together.
    """

    def __init__(
        self,
        samples: Samples,
        weights: VolumeWeights,
        ends: tuple[float, float] | None = None,
    ) -> None:
        self.samples = samples
        self.least, self.most = ends or ends_of(samples)
        if max(-self.least, self.most) > HUGE:
            raise SamplerError(
                f"samples: found values up to {max(-self.least, self.most):g}, expected at most "
                f"{HUGE:g} to render another grid"
            )
        self.half_range = (self.most - self.least) / 2.0
        self.middle = self.least + self.half_range
        self.weights = weights

    @lazy_property
    def _layers(self) -> Layers:
        return Layers.of(self.weights)

    def grid(self, nz: int, ny: int, nx: int) -> Float64:
        """Values (nz, ny, nx) at the cell centres of a grid over the same extent."""
        out = np.empty((nz, ny, nx))
        along = zip(self.samples.shape, out.shape, strict=True)
        z, y, x = (cell_positions(samples, cells) for samples, cells in along)
        for part, values in self.pieces(z, y, x):
            out[part] = values
        return out

    def pieces(self, z: Float64, y: Float64, x: Float64) -> Iterator[tuple[Box, Float64]]:
        """The values at ascending positions in cells: sample i lies at i + 1/2. They come in
        pieces, each with its ranges of positions along z, y and x.
        """
        at = z, y, x
        for cuts, block in self._blocks(at):
            planes = max(1, POINTS_AT_ONCE // (len(y[cuts[1]]) * len(x[cuts[2]])))
            for first in range(cuts[0].start, cuts[0].stop, planes):
                part = slice(first, min(first + planes, cuts[0].stop)), cuts[1], cuts[2]
                own = [each[cut] for each, cut in zip(at, part, strict=True)]
                yield part, self._values(block, own)

    def means(
        self, z: Float64, y: Float64, x: Float64, along: Sequence[int], average: Average, place: str
    ) -> Float64:
        """Means over blocks of `along` (kz, ky, kx) points, of the points of `pieces`: of values,
        or the velocity of the mean slowness. Raises OptionError, naming `place`, for the slowness
        of velocities that are not positive.
        """
        sizes = [len(each) // k for each, k in zip((z, y, x), along, strict=True)]
        totals, count = np.zeros(sizes), along[0] * along[1] * along[2]
        for part, values in self.pieces(z, y, x):
            if average == "slowness":
                check_positive(float(values.min()), place)
                values = 1.0 / values
            _add_up(values, part, along, totals)
        means = count / totals if average == "slowness" else totals / count
        return means.clip(self.least, self.most)

    def points(self, cells: Float64) -> Float64:
        """Values (P,) at points (x, y, z) in cells, (P, 3)."""
        from velcodec.sampler.volume.kernel import values_at_points

        out = np.full(len(cells), self.least)
        if self.least == self.most:
            return out
        corner = np.floor(cells - 0.5).astype(np.int64)[:, ::-1]
        layers = self._layers
        lowest, highest = corner.min(axis=0).tolist(), corner.max(axis=0).tolist()
        for inner in _split(lowest, highest):
            low, high = np.array(inner).T
            (chosen,) = np.nonzero(((corner >= low) & (corner < high)).all(axis=1))
            if len(chosen):
                own = corner[chosen]
                block = self._block(own.min(axis=0).tolist(), own.max(axis=0).tolist())
                values = np.empty(len(chosen))
                values_at_points(
                    np.ascontiguousarray(cells[chosen] - block.first[::-1]), block.samples,
                    block.features, block.start, block.spline, layers.direction, layers.shift,
                    layers.last, self.least, self.most, values,
                )  # fmt: skip
                out[chosen] = values
        return out

    def _values(self, block: _Block | None, at: Sequence[Float64]) -> Float64:
        """Values at positions (z, y, x) that a block serves; the block is None if all are equal."""
        from velcodec.sampler.volume.kernel import values_on_grid

        out = np.full([len(each) for each in at], self.least)
        if block is None:
            return out
        z, y, x = (each - first for each, first in zip(at, block.first, strict=True))
        layers = self._layers

        def fill(planes: slice, _: slice) -> None:
            values_on_grid(
                x, y, z[planes], block.samples, block.features, block.start, block.spline,
                layers.direction, layers.shift, layers.last, self.least, self.most, out[planes],
            )  # fmt: skip

        in_parallel(fill, jobs_of(len(out)))
        return out

    def _blocks(self, at: Sequence[Float64]) -> Iterator[tuple[Box, _Block | None]]:
        """The ranges of ascending positions (z, y, x) that one block serves, and the block."""
        corners = [np.floor(each - 0.5).astype(np.int64) for each in at]
        low, high = ([int(each[end]) for each in corners] for end in (0, -1))
        for inner in _split(low, high):
            z, y, x = (
                slice(*np.searchsorted(corner, ends).tolist())
                for corner, ends in zip(corners, inner, strict=True)
            )
            if any(cut.start == cut.stop for cut in (z, y, x)):
                continue
            if self.least == self.most:
                yield (z, y, x), None
                continue
            own = [corner[cut] for corner, cut in zip(corners, (z, y, x), strict=True)]
            first, last = ([int(each[end]) for each in own] for end in (0, -1))
            yield (z, y, x), self._block(first, last)

    def _block(self, low: Sequence[int], high: Sequence[int]) -> _Block:
        """The block of points whose corners lie from `low` to `high`, both (z, y, x)."""
        shape = self.samples.shape
        first = [max(each, 0) for each in low]
        stop = [min(each + 2, size) for each, size in zip(high, shape, strict=True)]
        wide = [
            (max(a - AROUND, 0), min(b + AROUND, size))
            for a, b, size in zip(first, stop, shape, strict=True)
        ]
        z, y, x = (slice(*each) for each in wide)
        samples = np.ascontiguousarray(self.samples[z, y, x], np.float64)
        near = [
            (max(a - REACH, w), min(b + REACH, v))
            for a, b, (w, v) in zip(first, stop, wide, strict=True)
        ]
        cut = tuple(slice(a - w, b - w) for (a, b), (w, _) in zip(near, wide, strict=True))
        inner = [(a - n, b - n) for a, b, (n, _) in zip(first, stop, near, strict=True)]
        features = features_of((samples[cut] - self.middle) / self.half_range, inner, self._layers)
        begin = tuple(w for w, _ in wide)
        start = np.array(first) - np.array(begin)
        return _Block(begin, samples, spline_coefficients(samples), features, start)


def _split(low: Sequence[int], high: Sequence[int]) -> Iterator[tuple[Range, ...]]:
    """Ranges [from, to) of corners of blocks that hold those from `low` to `high`. A corner is the
    first sample of a cell between samples, or -1 before the outermost.
    """
    along = []
    for least, most in zip(low, high, strict=True):
        starts = range(max(least, 0), max(most, 0) + 1, BLOCK)
        along.append([(least if a == starts[0] else a, a + BLOCK) for a in starts])
    return product(*along)


def _add_up(values: Float64, part: Box, along: Sequence[int], totals: Float64) -> None:
    """Add values at points `part`, ranges along each axis, to the totals of their blocks of
    `along` points.
    """
    into = []
    for axis, (points, k) in enumerate(zip(part, along, strict=True)):
        cells = np.arange(points.start, points.stop) // k
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        values = np.add.reduceat(values, starts, axis)
        into.append(slice(cells[0], cells[-1] + 1))
    totals[tuple(into)] += values


def spline_coefficients(samples: Float64) -> Float64:
    """Coefficients (nz + 4, ny + 4, nx + 4) of the natural cubic B-spline through samples: two more
    on each side, extended antisymmetrically.
    """
    from velcodec.sampler.kernel import spline_along

    coefficients = samples
    for axis in range(3):
        moved = np.ascontiguousarray(np.moveaxis(coefficients, axis, 0))
        flat = moved.reshape(len(moved), -1).copy()
        spline_along(flat)
        wide = odd_extension(flat, 2).reshape(-1, *moved.shape[1:])
        coefficients = np.moveaxis(wide, 0, axis)
    return np.ascontiguousarray(coefficients)
