"""The local sampler on a CPU without torch: the same function as `velcodec.sampler.network`.

Large models are processed in blocks of samples with a margin, so that memory is bounded and no
value depends on the block boundaries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float32, Float64
from velcodec.formats.errors import SamplerError
from velcodec.formats.storage.locks import lazy_property
from velcodec.parallel import in_parallel, threads
from velcodec.sampler.cell_average import Average, averaged, fine_shape
from velcodec.sampler.form import (
    DILATIONS,
    FAINT,
    HIDDEN,
    ORIENTATIONS,
    RANGES,
    REACH,
    WINDOW,
    SamplerWeights,
)

Block = tuple[int, int, Float32]
"""First sample (z, x) of a block, and the block's features."""

BLOCK = 256
"""Samples along a side of a block whose features are held together, 34 kB a row."""

POINTS_AT_ONCE = 1 << 21
"""Points of means held together; at least a row of cells."""

HUGE = 1e300
"""Sums of larger samples would overflow."""

LEAST_ROWS = 16
"""Fewest rows worth a separate thread."""


@dataclass(frozen=True)
class Layers:
    """The weights in all orientations, as the compiled loops take them."""

    lift: Float32
    lift_bias: Float32
    convs: Float32
    conv_bias: Float32
    out: Float32
    out_bias: Float32
    direction: Float32
    last: Float32

    @classmethod
    def of(cls, w: SamplerWeights) -> Layers:
        """The layers from one orientation's weights."""
        turns = range(ORIENTATIONS)
        square = w.lift[:, : WINDOW * WINDOW].reshape(-1, WINDOW, WINDOW)
        lift = [
            np.concatenate(
                [
                    mirrored(square, g).reshape(len(square), -1),
                    w.lift[:, WINDOW * WINDOW :],
                ],
                axis=1,
            )
            for g in turns
        ]
        convs = np.stack([oriented(conv) for conv in w.convs])
        gate = np.tile(w.gate, ORIENTATIONS)[None]
        signs = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]], np.float32)
        out = oriented(w.out[..., None, None])[..., 0, 0]
        direction = (signs[:, None] * w.direction[None]).reshape(-1, 2).T
        layers = cls(
            np.concatenate(lift),
            np.tile(w.lift_bias, ORIENTATIONS),
            convs.transpose(0, 1, 3, 4, 2),
            np.tile(w.conv_bias, (1, ORIENTATIONS)),
            np.concatenate([out, gate]),
            np.concatenate([np.tile(w.out_bias, ORIENTATIONS), w.gate_bias]),
            direction,
            np.tile(w.last, ORIENTATIONS),
        )
        return cls(*(np.ascontiguousarray(each, np.float32) for each in vars(layers).values()))


def mirrored(kernel: Float32, orientation: int) -> Float32:
    """Kernels [..., z, x] in one of the four orientations: bit 0 mirrors x, bit 1 z."""
    if orientation & 1:
        kernel = kernel[..., ::-1]
    return kernel[..., ::-1, :] if orientation & 2 else kernel


def oriented(base: Float32) -> Float32:
    """Weights between all orientations, (4 out, 4 in, z, x), of a base (out, 4, in, z, x)."""
    turns = range(ORIENTATIONS)
    return np.concatenate(
        [np.concatenate([mirrored(base, g)[:, g ^ h] for h in turns], axis=1) for g in turns]
    )


class SampledField:
    """The continuous field of samples (nz, nx), in their units, anywhere in their extent. It passes
    through every sample and stays within their range.

    The features of `keep` blocks are kept for later calls, for callers that ask for many windows.
    """

    def __init__(
        self, samples: NDArray[np.generic], weights: SamplerWeights, keep: int = 0
    ) -> None:
        self.samples = np.ascontiguousarray(samples, np.float64)
        self.least, self.most = float(self.samples.min()), float(self.samples.max())
        if max(-self.least, self.most) > HUGE:
            raise SamplerError(
                f"samples: found values up to {max(-self.least, self.most):g}, expected at most "
                f"{HUGE:g} to render another grid"
            )
        self.half_range = (self.most - self.least) / 2.0
        self.middle = self.least + self.half_range
        self.weights = weights
        self._features = lru_cache(keep)(self._block_features) if keep else self._block_features

    @property
    def is_constant(self) -> bool:
        """Whether all samples are equal."""
        return self.least == self.most

    @lazy_property
    def _layers(self) -> Layers:
        return Layers.of(self.weights)

    @lazy_property
    def _spline(self) -> Float64:
        return spline_coefficients(self.samples)

    def grid(self, nz: int, nx: int) -> Float64:
        """Values (nz, nx) at the cell centres of a grid over the same extent."""
        out = np.empty((nz, nx))
        self.fill(
            cell_positions(self.samples.shape[0], nz),
            cell_positions(self.samples.shape[1], nx),
            out,
        )
        return out

    def fill(self, z: Float64, x: Float64, out: Float64) -> None:
        """Fill `out` (len(z), len(x)) at ascending positions in cells: sample i lies at i + 1/2."""
        if self.is_constant:
            out[...] = self.least
            return
        rows, columns = (np.floor(each - 0.5).astype(np.int64) for each in (z, x))
        for top, left, inner_z, inner_x in self._blocks():
            z0, z1 = np.searchsorted(rows, inner_z)
            x0, x1 = np.searchsorted(columns, inner_x)
            if z0 == z1 or x0 == x1:
                continue
            where = top, left, self._features(top, left)
            work = partial(self._fill_rows, z[z0:z1], x[x0:x1], where, out[z0:z1, x0:x1])
            in_parallel(work, _jobs(z1 - z0))

    def _fill_rows(
        self, z: Float64, x: Float64, block: Block, out: Float64, rows: slice, _: slice
    ) -> None:
        from velcodec.sampler.kernel import values_on_grid

        top, left, features = block
        values_on_grid(
            x, z[rows], self.samples, features, top, left, self._spline, self._layers.direction,
            self._layers.last, self.least, self.most, out[rows],
        )  # fmt: skip

    def averages(self, nz: int, nx: int, average: Average, place: str) -> Float64:
        """Values (nz, nx) as in `cell_average`, some rows at a time. Raises OptionError, naming
        `place`, for the slowness of velocities that are not positive.
        """
        if average == "none":
            return self.grid(nz, nx)
        along = fine_shape((self.samples.shape[0], self.samples.shape[1]), (nz, nx))
        z = cell_positions(self.samples.shape[0], nz * along[0])
        x = cell_positions(self.samples.shape[1], nx * along[1])
        rows = max(1, POINTS_AT_ONCE // (along[0] * len(x)))
        out = np.empty((nz, nx))
        for first in range(0, nz, rows):
            part = z[first * along[0] : (first + rows) * along[0]]
            fine = np.empty((len(part), len(x)))
            self.fill(part, x, fine)
            out[first : first + rows] = averaged(fine, along, average, place)
        return out.clip(self.least, self.most)

    def points(self, cells: Float64) -> Float64:
        """Values (P,) at points (x, z) in cells, (P, 2)."""
        from velcodec.sampler.kernel import values_at_points

        out = np.full(len(cells), self.least)
        if self.is_constant:
            return out
        corner = np.floor(cells - 0.5).astype(np.int64)
        for top, left, (z0, z1), (x0, x1) in self._blocks():
            x, z = corner.T
            (chosen,) = np.nonzero((z >= z0) & (z < z1) & (x >= x0) & (x < x1))
            if len(chosen):
                values = np.empty(len(chosen))
                values_at_points(
                    np.ascontiguousarray(cells[chosen]), self.samples, self._features(top, left),
                    top, left, self._spline, self._layers.direction, self._layers.last,
                    self.least, self.most, values,
                )  # fmt: skip
                out[chosen] = values
        return out

    def _blocks(self) -> Iterator[tuple[int, int, tuple[int, int], tuple[int, int]]]:
        """First sample (z, x) of each block, and its range [from, to) of corners along each axis:
        first samples of the cells between samples; -1 before the outermost.
        """
        nz, nx = self.samples.shape
        for top in range(0, nz, BLOCK):
            z = (top if top else -1), min(top + BLOCK, nz)
            for left in range(0, nx, BLOCK):
                yield top, left, z, ((left if left else -1), min(left + BLOCK, nx))

    def _block_features(self, top: int, left: int) -> Float32:
        """Biases and gates (n, m, 4 HIDDEN + 1) of a block's samples and, if present, one more row
        and column.
        """
        nz, nx = self.samples.shape
        z0, x0 = max(top - REACH, 0), max(left - REACH, 0)
        bottom, right = min(top + BLOCK + 1, nz), min(left + BLOCK + 1, nx)
        part = self.samples[z0 : min(bottom + REACH, nz), x0 : min(right + REACH, nx)]
        features = features_of((part - self.middle) / self.half_range, self._layers)
        inner = features[:, top - z0 : bottom - z0, left - x0 : right - x0]
        return np.ascontiguousarray(inner.transpose(1, 2, 0))


def cell_positions(samples: int, cells: int) -> Float64:
    """Positions, in units of `samples` cells along an axis, of the centres of `wanted` cells; exact
    where they coincide with samples.
    """
    return (2.0 * np.arange(cells, dtype=np.float64) + 1.0) * samples / (2.0 * cells)


def features_of(samples: Float64, layers: Layers) -> Float32:
    """Biases and gates (4 HIDDEN + 1, nz, nx) of samples (nz, nx)."""
    from velcodec.sampler.kernel import add_convolved, map_channels

    def each_row(kernel: Any, *arguments: Any) -> None:
        in_parallel(partial(_some_rows, kernel, arguments), jobs)

    (nz, nx), jobs, margin = samples.shape, _jobs(len(samples)), max(DILATIONS)
    shape = len(layers.lift_bias), nz + 2 * margin, nx + 2 * margin
    here, there = np.empty(shape, np.float32), np.empty(shape, np.float32)
    inner = (slice(None), slice(margin, -margin), slice(margin, -margin))
    each_row(map_channels, layers.lift, layers.lift_bias, _inputs(samples), True, here[inner])
    for weight, bias, dilation in zip(layers.convs, layers.conv_bias, DILATIONS, strict=True):
        _extend(here, margin, dilation)
        each_row(add_convolved, weight, bias, here, margin, dilation, there)
        here, there = there, here
    features = np.empty((ORIENTATIONS * HIDDEN + 1, nz, nx), np.float32)
    each_row(map_channels, layers.out, layers.out_bias, here[inner], False, features)
    return features


def _some_rows(kernel: Any, arguments: tuple[Any, ...], rows: slice, _: slice) -> None:
    kernel(*arguments, rows.start, rows.stop)


def _jobs(rows: int) -> list[tuple[slice, slice]]:
    """Split rows among threads."""
    height = max(LEAST_ROWS, -(-rows // threads()))
    return [(slice(r, min(r + height, rows)), slice(0)) for r in range(0, rows, height)]


def _extend(padded: Float32, margin: int, reach: int) -> None:
    """Repeat the outermost samples `reach` times outwards, in place."""
    inner = padded[:, margin:-margin]
    a, b = margin - reach, padded.shape[2] - margin
    inner[:, :, a:margin] = inner[:, :, margin : margin + 1]
    inner[:, :, b : b + reach] = inner[:, :, b - 1 : b]
    b = padded.shape[1] - margin
    padded[:, a:margin] = padded[:, margin : margin + 1]
    padded[:, b : b + reach] = padded[:, b - 1 : b]


def _inputs(samples: Float64) -> Float32:
    """The network's inputs (INPUTS, nz, nx) for samples from -1 to 1, as in
    `velcodec.sampler.network.inputs`: ratios of differences, taken in float64.
    """
    nz, nx = samples.shape
    half = WINDOW // 2
    wide = np.pad(samples, half, mode="edge")
    small, middle, large = (_range(samples, size) for size in RANGES)
    inputs = np.empty((WINDOW * WINDOW + 2, nz, nx), np.float32)
    near = middle + 2.0 * FAINT
    for dz in range(WINDOW):
        for dx in range(WINDOW):
            around = wide[dz : dz + nz, dx : dx + nx]
            inputs[dz * WINDOW + dx] = 2.0 * (around - samples) / near
    inputs[-2] = middle / (large + 2.0 * FAINT)
    inputs[-1] = small / near
    return inputs


def _range(samples: Float64, size: int) -> Float64:
    """Range of the size x size samples around each sample."""
    half = size // 2
    ends = []
    for pick in (np.maximum, np.minimum):
        extreme = samples
        for axis in (0, 1):
            pad = [(half, half) if each == axis else (0, 0) for each in (0, 1)]
            wide = np.pad(extreme, pad, mode="edge")
            parts = [
                wide[k : k + len(extreme)] if axis == 0 else wide[:, k : k + extreme.shape[1]]
                for k in range(size)
            ]
            extreme = parts[0].copy()
            for part in parts[1:]:
                pick(extreme, part, out=extreme)
        ends.append(extreme)
    difference: Float64 = ends[0] - ends[1]
    return difference


def spline_coefficients(samples: Float64) -> Float64:
    """Coefficients (nz + 4, nx + 4) of the natural cubic B-spline through samples (nz, nx): two
    more on each side, extended antisymmetrically.
    """
    from velcodec.sampler.kernel import spline_along

    coefficients = samples.copy()
    spline_along(coefficients)
    coefficients = np.ascontiguousarray(coefficients.T)
    spline_along(coefficients)
    return np.ascontiguousarray(odd_extension(odd_extension(coefficients, 2).T, 2))


def odd_extension(values: Float64, reach: int) -> Float64:
    """`values` with `reach` more rows on both sides, point-mirrored about the outermost one."""
    while reach:
        size = len(values)
        if size == 1:
            return np.repeat(values, 2 * reach + 1, axis=0)
        step = min(reach, size - 1)
        before = 2.0 * values[:1] - values[1 : 1 + step][::-1]
        after = 2.0 * values[-1:] - values[-1 - step : -1][::-1]
        values, reach = np.concatenate([before, values, after]), reach - step
    return values
