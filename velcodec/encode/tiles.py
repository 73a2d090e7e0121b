"""Models as tiles: what the fit sees, and the value range that each tile is normalised by.

A `Cut` holds every tile of some models at one nominal tile size, numbered model after model. The
values stay with the models; targets are made when asked for, so memory stays flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.tiling import Int64, Tiling, plan
from velcodec.decode.units import inner_range, to_m_s
from velcodec.formats.latent_coding.stream import inward_range
from velcodec.formats.storage.locks import lazy_property
from velcodec.geometry import Float64

GROUPS = {"cpu": 8, "cuda": 64}
"""Tiles fitted together on each kind of device: fixed, so that a result depends on neither the
memory nor the threads that there are. On a CPU so few fill the caches, and leave groups to every
thread.
"""


@dataclass(frozen=True)
class ModelSet:
    """The models of one encoding: [z, x] arrays in one of the known units, read when needed.

    `absent` tells which samples of each are, or None for a model that has all, or nothing where all
    models have all. What stands in their place is coded, and counts in no error.
    """

    models: Sequence[NDArray[np.generic]]
    units: str
    absent: Sequence[NDArray[np.bool_] | None] = ()

    def __len__(self) -> int:
        return len(self.models)

    def m_s(self, i: int) -> Float64:
        """Model i in m/s, float64 [z, x]."""
        return to_m_s(self.models[i], self.units)

    def absent_of(self, i: int) -> NDArray[np.bool_] | None:
        """Which samples of model i are absent, [z, x]; None where none is."""
        return self.absent[i] if self.absent else None

    def present(self, i: int, values: Float64) -> Float64:
        """Those of `values` [z, x] that are of samples of model i that are there."""
        absent = self.absent_of(i)
        return values if absent is None else values[~absent]


@dataclass(frozen=True)
class Cut:
    """Tiles of the models numbered `members`, tile ends `low`, `high` (m/s) on the range grid."""

    source: ModelSet
    members: Int64
    tile: int
    tilings: tuple[Tiling, ...]
    low: Float64
    high: Float64

    def __len__(self) -> int:
        return len(self.low)

    @lazy_property
    def first(self) -> Int64:
        """Number of each member's first tile, then the number of tiles; (members + 1,)."""
        counts = [tiling.tiles for tiling in self.tilings]
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @lazy_property
    def owner(self) -> Int64:
        """Position among the members of each tile's model, shape (tiles,)."""
        return np.repeat(np.arange(len(self.members)), np.diff(self.first))

    def tiles_of(self, position: int) -> slice:
        """The tiles of the member at `position`."""
        return slice(int(self.first[position]), int(self.first[position + 1]))

    def groups(self, tiles: Int64 | None = None, device: str = "cpu") -> list[Int64]:
        """Varied tiles (of `tiles`, default all) in groups of one shape, of the device's size."""
        size = GROUPS[device]
        chosen = np.arange(len(self)) if tiles is None else tiles
        chosen = chosen[self.high[chosen] > self.low[chosen]]
        shapes: dict[tuple[int, int], list[int]] = {}
        for tile in chosen:
            shape = self.tilings[self.owner[tile]].tile_shape
            shapes.setdefault(shape, []).append(int(tile))
        return [
            np.array(numbers[i : i + size], dtype=np.int64)
            for numbers in shapes.values()
            for i in range(0, len(numbers), size)
        ]

    def shape_of(self, tile: int) -> tuple[int, int]:
        """(tile_nz, tile_nx) of a tile."""
        return self.tilings[int(self.owner[tile])].tile_shape

    def values(self, tiles: Int64) -> Float64:
        """Tiles of one shape in m/s, (B, tile_nz, tile_nx)."""
        found: Float64 = np.stack([self._tile(int(tile)) for tile in tiles])
        return found

    def _tile(self, tile: int) -> Float64:
        number, place = self._place(tile)
        return to_m_s(self.source.models[number][place], self.source.units)

    def _place(self, tile: int) -> tuple[int, tuple[slice, slice]]:
        """The number of a tile's model, and the tile's samples in it."""
        position = int(self.owner[tile])
        tiling = self.tilings[position]
        kz, kx = divmod(tile - int(self.first[position]), tiling.x.tiles)
        z, x = int(tiling.z.offsets[kz]), int(tiling.x.offsets[kx])
        nz, nx = tiling.tile_shape
        return int(self.members[position]), (slice(z, z + nz), slice(x, x + nx))

    def means(self, tiles: Int64, values: Float64) -> Float64:
        """Mean over each of some tiles of one shape, of `values` (B, tile_nz * tile_nx), of samples
        that are there; 0 where none is.
        """
        if not self.source.absent:
            found: Float64 = values.mean(axis=1)
            return found
        there = np.ones(values.shape, dtype=bool)
        for row, tile in enumerate(tiles):
            number, place = self._place(int(tile))
            absent = self.source.absent_of(number)
            if absent is not None:
                there[row] = ~absent[place].ravel()
        sums: Float64 = np.where(there, values, 0.0).sum(axis=1)
        return sums / np.maximum(there.sum(axis=1), 1)

    def targets(self, tiles: Int64) -> Float64:
        """Tiles of one shape, normalised to [-1, 1] by their own ends, (B, tile_nz * tile_nx)."""
        low, high = self.low[tiles, None], self.high[tiles, None]
        values = self.values(tiles).reshape(len(tiles), -1)
        return np.clip(2.0 * (values - low) / (high - low) - 1.0, -1.0, 1.0)


def plan_model(model: NDArray[np.generic], tile: int) -> Tiling:
    """Tiling of a [z, x] model by tiles of about `tile` samples."""
    return plan(model.shape[0], model.shape[1], tile)


def cut_models(source: ModelSet, members: Int64, tile: int, range_step: float) -> Cut:
    """Cut the models numbered `members` into tiles of about `tile` samples."""
    tilings = []
    ends: list[tuple[float, float]] = []
    for i in members:
        model = source.models[int(i)]
        tiling = plan_model(model, tile)
        tilings.append(tiling)
        nz, nx = tiling.tile_shape
        for z in tiling.z.offsets:
            for x in tiling.x.offsets:
                ends.append(inner_range(model[z : z + nz, x : x + nx], source.units))
    least, greatest = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    low, high = inward_range(least, greatest, 0.0, range_step)
    return Cut(source, members, tile, tuple(tilings), low, high)
