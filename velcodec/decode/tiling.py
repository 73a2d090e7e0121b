"""Cutting a model into overlapping tiles, and the weights that blend their renderings.

Every tile of a model has the same size. Along an axis of n samples with t tiles of T samples,
tile k starts at sample o_k = round_half_up(k (n - T) / (t - 1)), in integers. Neighbours change
over on a ramp centred in their overlap, a C1 smoothstep, so that the weights sum to one
everywhere and a smooth field stays smooth across a border, at any resolution and at any point.

It knows where tiles lie and how much each counts; never what is in them, and no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.storage.locks import lazy_property
from velcodec.geometry import Float64

Int64 = NDArray[np.int64]

SPARE_TILE_SHARE = 0.35
"""How far, in tiles, a model may exceed a whole number of tiles before it gets one more."""


def overlap_samples(tile: int) -> int:
    """Samples shared by neighbouring tiles of about `tile` samples."""
    return max(2, tile // 10)


class Window(NamedTuple):
    """What t tiles contribute to an axis rendered at N samples; m samples each."""

    start: Int64  # (t,) first output sample
    local: Float64  # (t, m) coordinate of each output sample in the tile's domain
    weight: Float64  # (t, m), zero where the tile does not reach


class Cover(NamedTuple):
    """The (at most two) tiles that count at each of P positions of an axis."""

    tile: Int64  # (P, 2)
    local: Float64  # (P, 2) coordinate in the tile's domain
    weight: Float64  # (P, 2)
    slope: Float64  # (P, 2) derivative of the weight by the position, per cell


@dataclass(frozen=True)
class Axis:
    """One axis of a tiling: `samples` covered by `tiles` tiles of `size` samples.

    Raises ValueError when the tiles cannot cover the axis.
    """

    samples: int
    size: int
    tiles: int

    def __post_init__(self) -> None:
        n, size, tiles = self.samples, self.size, self.tiles
        one = tiles == 1 and size == n
        if not one and not (tiles >= 2 and 1 <= size < n and tiles * size >= n >= tiles):
            raise ValueError(f"{tiles} tiles of {size} samples do not cover an axis of {n}")

    @lazy_property
    def offsets(self) -> Int64:
        """First sample of each tile, shape (tiles,)."""
        if self.tiles == 1:
            return np.zeros(1, dtype=np.int64)
        k = np.arange(self.tiles, dtype=np.int64)
        gaps = self.tiles - 1
        return (2 * k * (self.samples - self.size) + gaps) // (2 * gaps)

    @lazy_property
    def _cuts(self) -> Float64:
        """Centres of the overlaps, in cells, shape (tiles - 1,)."""
        return (self.offsets[1:] + self.offsets[:-1] + self.size) / 2.0

    @lazy_property
    def _ramp(self) -> float:
        """Width of the ramps in cells: within each overlap, and no two ramps meet."""
        if self.tiles == 1:
            return 1.0
        overlap = float((self.offsets[:-1] + self.size - self.offsets[1:]).min())
        if self.tiles > 2:
            overlap = min(overlap, float(np.diff(self._cuts).min()))
        return max(overlap, 1e-6)

    def _rise(self, position: Float64) -> tuple[Float64, Float64]:
        """Smoothstep in ramp units and its derivative per cell; `position` from a ramp's start."""
        t = np.clip(position / self._ramp, 0.0, 1.0)
        return t * t * (3.0 - 2.0 * t), 6.0 * t * (1.0 - t) / self._ramp

    def _weight(self, tile: Int64, cells: Float64) -> tuple[Float64, Float64]:
        """Weight of `tile` at `cells` and its slope; arrays that broadcast."""
        if self.tiles == 1:
            shape = np.broadcast(tile, cells).shape
            return np.ones(shape), np.zeros(shape)
        starts = self._cuts - self._ramp / 2
        before = starts[np.maximum(tile - 1, 0)]
        after = starts[np.minimum(tile, self.tiles - 2)]
        up, up_slope = self._rise(cells - before)
        down, down_slope = self._rise(cells - after)
        first, last = tile == 0, tile == self.tiles - 1
        up, up_slope = np.where(first, 1.0, up), np.where(first, 0.0, up_slope)
        down, down_slope = np.where(last, 0.0, down), np.where(last, 0.0, down_slope)
        return up - down, up_slope - down_slope

    def _local(self, tile: Int64, cells: Float64) -> Float64:
        return 2.0 * (cells - self.offsets[tile]) / self.size - 1.0

    def window(self, n: int) -> Window:
        """The tiles' shares of the axis rendered at `n` samples."""
        k = np.arange(self.tiles)
        if self.tiles == 1:
            first, stop = np.zeros(1, dtype=np.int64), np.full(1, n)
        else:
            half = self._ramp / 2
            reach_from = np.concatenate([[0.0], self._cuts - half])
            reach_to = np.concatenate([self._cuts + half, [float(self.samples)]])
            scale = n / self.samples
            first = np.clip(np.ceil(reach_from * scale - 0.5), 0, n).astype(np.int64)
            stop = np.clip(np.floor(reach_to * scale - 0.5) + 1, 0, n).astype(np.int64)
        width = max(1, int((stop - first).max()))
        start = np.clip(first, 0, n - width)
        cells = (start[:, None] + np.arange(width) + 0.5) * self.samples / n
        weight, _ = self._weight(k[:, None], cells)
        return Window(start, self._local(k[:, None], cells), weight)

    def cover(self, cells: Float64) -> Cover:
        """The tiles that count at positions `cells` (P,) in [0, samples]."""
        first = np.searchsorted(self._cuts + self._ramp / 2, cells, side="right")
        tile = np.minimum(np.stack([first, first + 1], axis=1), self.tiles - 1).astype(np.int64)
        weight, slope = self._weight(tile, cells[:, None])
        twice = tile[:, 1] == tile[:, 0]
        weight[twice, 1] = slope[twice, 1] = 0.0
        return Cover(tile, self._local(tile, cells[:, None]), weight, slope)


@dataclass(frozen=True)
class Tiling:
    """The tiles of one model, numbered row by row: tile (kz, kx) is number kz * x.tiles + kx."""

    z: Axis
    x: Axis

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.z.tiles * self.x.tiles

    @property
    def tile_shape(self) -> tuple[int, int]:
        """(tile_nz, tile_nx) in samples."""
        return self.z.size, self.x.size

    def cut(self, model: NDArray[np.generic]) -> NDArray[np.generic]:
        """The tiles of a [z, x] model, shape (tiles, tile_nz, tile_nx)."""
        nz, nx = self.tile_shape
        return np.stack(
            [model[z : z + nz, x : x + nx] for z in self.z.offsets for x in self.x.offsets]
        )


def plan_axis(n: int, tile: int) -> Axis:
    """Tiles of about `tile` samples over `n` samples; one tile up to 1.3 times `tile`."""
    overlap = overlap_samples(tile)
    wanted = (n - overlap) / max(1, tile - overlap)
    tiles = max(1, int(np.ceil(wanted - SPARE_TILE_SHARE)))
    if tiles == 1:
        return Axis(n, n, 1)
    size = -(-(n + (tiles - 1) * overlap) // tiles)
    return Axis(n, size, tiles)


def plan(nz: int, nx: int, tile: int) -> Tiling:
    """Tiling of an [nz, nx] model by square tiles of about `tile` samples."""
    return Tiling(plan_axis(nz, tile), plan_axis(nx, tile))
