"""The volumes' sampler on a CPU without torch: the same function as that of the module `network`.

Volumes are processed in blocks of samples with a margin, so that memory is bounded and no value
depends on the block boundaries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float32, Float64
from velcodec.formats.errors import SamplerError
from velcodec.formats.storage.locks import lazy_property
from velcodec.parallel import in_parallel, threads
from velcodec.sampler.compiled import HUGE, cell_positions, odd_extension
from velcodec.sampler.form import FAINT
from velcodec.sampler.volume.form import (
    DILATIONS,
    HIDDEN,
    ORIENTATIONS,
    RANGES,
    REACH,
    WINDOW,
    VolumeWeights,
    mirrored_taps,
    signs,
)

BLOCK = 64
"""Samples along a side of a block whose features are held together: 200 MB."""

AROUND = 28
"""Samples beyond a part that can change a value in it by more than rounding does: those of the
network's reach and of the B-spline's.
"""

LEAST_PLANES = 4
"""Fewest planes worth a separate thread."""

_MARGIN = max(DILATIONS)
Range = tuple[int, int]


@dataclass(frozen=True)
class Layers:
    """The weights in all orientations, as the compiled loops take them."""

    lift: Float32
    lift_bias: Float32
    layers: Float32
    layer_bias: Float32
    out: Float32
    out_bias: Float32
    direction: Float32
    shift: Float32
    last: Float32

    @classmethod
    def of(cls, w: VolumeWeights) -> Layers:
        """The layers from one orientation's weights."""
        turns = range(ORIENTATIONS)
        cube = w.lift[:, : WINDOW**3].reshape(-1, WINDOW, WINDOW, WINDOW)
        rest = w.lift[:, WINDOW**3 :]
        lift = [
            np.concatenate([_mirrored(cube, g).reshape(len(cube), -1), rest], axis=1) for g in turns
        ]
        layers = np.stack([_oriented(layer) for layer in w.layers]).transpose(0, 1, 3, 2)
        gate = np.tile(w.gate, ORIENTATIONS)[None]
        direction = (signs()[:, None] * w.direction[None]).reshape(-1, 3).T
        corners = np.array([[c & 1, c >> 1 & 1, c >> 2] for c in range(8)], np.float32)
        made = cls(
            np.concatenate(lift),
            np.tile(w.lift_bias, ORIENTATIONS),
            layers,
            np.tile(w.layer_bias, (1, ORIENTATIONS)),
            np.concatenate([_oriented(w.out[..., None])[..., 0], gate]),
            np.concatenate([np.tile(w.out_bias, ORIENTATIONS), w.gate_bias]),
            direction,
            corners @ direction,
            np.tile(w.last, ORIENTATIONS),
        )
        return cls(*(np.ascontiguousarray(each, np.float32) for each in vars(made).values()))


def _mirrored(kernel: Float32, orientation: int) -> Float32:
    """Kernels [..., z, y, x] in one of the orientations."""
    axes = [kernel.ndim - 1 - axis for axis in range(3) if orientation >> axis & 1]
    return np.flip(kernel, tuple(axes))


def _oriented(base: Float32) -> Float32:
    """Weights between all orientations, (8 out, 8 in, taps), of a base (out, 8, in, taps)."""
    turns, rows = range(ORIENTATIONS), []
    for g in turns:
        turned = base[..., mirrored_taps(g)] if base.shape[-1] > 1 else base
        rows.append(np.concatenate([turned[:, g ^ h] for h in turns], axis=1))
    return np.concatenate(rows)


class SampledVolume:
    """The continuous field of samples (nz, ny, nx), in their units, anywhere in their extent. It
    passes through every sample and stays within their range.

    `ends` are the least and the greatest sample of the whole volume if the samples are a part of
    it; within AROUND samples of the part's edges its field is not that of the whole.
    """

    def __init__(
        self,
        samples: NDArray[np.generic],
        weights: VolumeWeights,
        ends: tuple[float, float] | None = None,
    ) -> None:
        self.samples = np.ascontiguousarray(samples, np.float64)
        self.least, self.most = ends or (float(self.samples.min()), float(self.samples.max()))
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

    @lazy_property
    def _spline(self) -> Float64:
        return spline_coefficients(self.samples)

    def grid(self, nz: int, ny: int, nx: int) -> Float64:
        """Values (nz, ny, nx) at the cell centres of a grid over the same extent."""
        out = np.empty((nz, ny, nx))
        along = zip(self.samples.shape, out.shape, strict=True)
        z, y, x = (cell_positions(samples, cells) for samples, cells in along)
        self.fill(z, y, x, out)
        return out

    def fill(self, z: Float64, y: Float64, x: Float64, out: NDArray[np.floating]) -> None:
        """Fill `out` (len(z), len(y), len(x)) at ascending positions in cells: sample i lies at
        i + 1/2.
        """
        if self.least == self.most:
            out[...] = self.least
            return
        corners = [np.floor(each - 0.5).astype(np.int64) for each in (z, y, x)]
        for _, inner in self._blocks():
            cuts = [
                slice(*np.searchsorted(corner, ends))
                for corner, ends in zip(corners, inner, strict=True)
            ]
            if any(cut.start == cut.stop for cut in cuts):
                continue
            needed = [
                (max(int(corner[cut.start]), 0), min(int(corner[cut.stop - 1]) + 2, size))
                for corner, cut, size in zip(corners, cuts, self.samples.shape, strict=True)
            ]
            own = z[cuts[0]], y[cuts[1]], x[cuts[2]]
            self.fill_within(self.features(needed), needed, own, out[tuple(cuts)])

    def fill_within(
        self, features: Float32, inner: list[Range], at: tuple[Float64, Float64, Float64],
        out: NDArray[np.floating],
    ) -> None:  # fmt: skip
        """Fill `out` at positions (z, y, x) between samples whose `features` are given, those of
        the samples in the ranges `inner`.
        """
        start = tuple(first for first, _ in inner)
        in_parallel(partial(self._fill_planes, at, start, features, out), _jobs(len(out)))

    def _fill_planes(
        self, at: tuple[Float64, Float64, Float64], start: tuple[int, ...], features: Float32,
        out: NDArray[np.floating], planes: slice, _: slice,
    ) -> None:  # fmt: skip
        from velcodec.sampler.volume.kernel import values_on_grid

        z, y, x = at
        layers = self._layers
        values_on_grid(
            x, y, z[planes], self.samples, features, np.array(start), self._spline,
            layers.direction, layers.shift, layers.last, self.least, self.most, out[planes],
        )  # fmt: skip

    def points(self, cells: Float64) -> Float64:
        """Values (P,) at points (x, y, z) in cells, (P, 3)."""
        from velcodec.sampler.volume.kernel import values_at_points

        out = np.full(len(cells), self.least)
        if self.least == self.most:
            return out
        corner = np.floor(cells - 0.5).astype(np.int64)[:, ::-1]
        layers = self._layers
        for start, inner in self._blocks():
            low, high = np.array(inner).T
            (chosen,) = np.nonzero(((corner >= low) & (corner < high)).all(axis=1))
            if len(chosen):
                values = np.empty(len(chosen))
                values_at_points(
                    np.ascontiguousarray(cells[chosen]), self.samples, self._of_block(start),
                    np.array(start), self._spline, layers.direction, layers.shift, layers.last,
                    self.least, self.most, values,
                )  # fmt: skip
                out[chosen] = values
        return out

    def _blocks(self) -> Iterator[tuple[tuple[int, int, int], list[Range]]]:
        """First sample (z, y, x) of each block, and its range [from, to) of corners along each
        axis: first samples of the cells between samples; -1 before the outermost.
        """
        shape = self.samples.shape
        for z in range(0, shape[0], BLOCK):
            for y in range(0, shape[1], BLOCK):
                for x in range(0, shape[2], BLOCK):
                    start = (z, y, x)
                    yield (
                        start,
                        [
                            (first if first else -1, min(first + BLOCK, size))
                            for first, size in zip(start, shape, strict=True)
                        ],
                    )

    def _of_block(self, start: tuple[int, int, int]) -> Float32:
        """Features of a block's samples and, if present, one more along each axis."""
        along = zip(start, self.samples.shape, strict=True)
        return self.features([(first, min(first + BLOCK + 1, size)) for first, size in along])

    def features(self, inner: list[Range]) -> Float32:
        """Biases and gates (n, m, l, 8 HIDDEN + 1) of the samples in the ranges `inner` along z, y
        and x.
        """
        if self.least == self.most:
            return np.zeros([*(b - a for a, b in inner), ORIENTATIONS * HIDDEN + 1], np.float32)
        wide = [
            (max(first - REACH, 0), min(end + REACH, size))
            for (first, end), size in zip(inner, self.samples.shape, strict=True)
        ]
        part = self.samples[tuple(slice(*each) for each in wide)]
        own = [(first - low, end - low) for (first, end), (low, _) in zip(inner, wide, strict=True)]
        return features_of((part - self.middle) / self.half_range, own, self._layers)


def features_of(samples: Float64, inner: list[Range], layers: Layers) -> Float32:
    """Biases and gates (n, m, l, 8 HIDDEN + 1) of the samples (nz, ny, nx) in the ranges `inner`
    along z, y and x.
    """
    from velcodec.sampler.volume.kernel import add_crossed, last_rows, lift_rows

    nz, ny, nx = samples.shape
    shape = len(layers.lift_bias), nz, ny, nx + 2 * _MARGIN
    here, there = np.empty(shape, np.float32), np.empty(shape, np.float32)
    left = sum(DILATIONS)
    planes, rows = (_widened(ends, left, size) for ends, size in zip(inner, (nz, ny), strict=False))
    wide, near, ratios = _inputs(samples)
    _in_planes(
        lift_rows, (wide, near, ratios, layers.lift, layers.lift_bias, _MARGIN, here), planes, *rows
    )
    for weight, bias, dilation in zip(layers.layers, layers.layer_bias, DILATIONS, strict=True):
        here[..., :_MARGIN] = here[..., _MARGIN : _MARGIN + 1]
        here[..., nx + _MARGIN :] = here[..., nx + _MARGIN - 1 : nx + _MARGIN]
        left -= dilation
        planes, rows = (
            _widened(ends, left, size) for ends, size in zip(inner, (nz, ny), strict=False)
        )
        _in_planes(add_crossed, (weight, bias, here, _MARGIN, dilation, there), planes, *rows)
        here, there = there, here
    features = np.empty([b - a for a, b in inner] + [ORIENTATIONS * HIDDEN + 1], np.float32)
    _in_planes(
        last_rows, (layers.out, layers.out_bias, here, _MARGIN, features), (0, len(features)),
        *(first for first, _ in inner),
    )  # fmt: skip
    return features


def _widened(ends: Range, by: int, size: int) -> Range:
    return max(ends[0] - by, 0), min(ends[1] + by, size)


def _in_planes(kernel: Any, arguments: tuple[Any, ...], planes: Range, *rest: int) -> None:
    def work(some: slice, _: slice) -> None:
        kernel(*arguments, planes[0] + some.start, planes[0] + some.stop, *rest)

    in_parallel(work, _jobs(planes[1] - planes[0]))


def _jobs(planes: int) -> list[tuple[slice, slice]]:
    """Split planes among threads."""
    height = max(LEAST_PLANES, -(-planes // threads()))
    return [(slice(z, min(z + height, planes)), slice(0)) for z in range(0, planes, height)]


def _inputs(samples: Float64) -> tuple[Float64, Float64, Float32]:
    """Samples with two more repeated on all sides, the divisor of their differences, and the last
    two inputs (2, nz, ny, nx), for samples from -1 to 1.
    """
    small, middle, large = (_range(samples, size) for size in RANGES)
    near = middle + 2.0 * FAINT
    ratios = np.stack([middle / (large + 2.0 * FAINT), small / near]).astype(np.float32)
    return np.pad(samples, WINDOW // 2, mode="edge"), near, ratios


def _range(samples: Float64, size: int) -> Float64:
    """Range of the cube of `size` samples a side around each sample."""
    half, ends = size // 2, []
    for pick in (np.maximum, np.minimum):
        extreme = samples
        for axis in range(3):
            pad = [(half, half) if each == axis else (0, 0) for each in range(3)]
            wide = np.moveaxis(np.pad(extreme, pad, mode="edge"), axis, 0)
            found = wide[: samples.shape[axis]].copy()
            for k in range(1, size):
                pick(found, wide[k : k + len(found)], out=found)
            extreme = np.moveaxis(found, 0, axis)
        ends.append(extreme)
    difference: Float64 = ends[0] - ends[1]
    return difference


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
