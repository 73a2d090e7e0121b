"""Rendering tiles with a frozen decoder in compiled loops, without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from velcodec.decoder.siren_mixture.cpu import cpu_renderer
from velcodec.decoder.siren_mixture.frozen import FrozenMixture
from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.latent_coding.stream import Tiles

COMPILED_POINTS_AT_ONCE = 1 << 18
"""Points rendered together by compiled loops, which block for the caches themselves."""


@dataclass(frozen=True)
class FrozenTiles:
    """n tiles ready to render without torch: latents (n, D) float32, ends (n,) m/s."""

    latent: NDArray[np.float32]
    low: Float64
    high: Float64

    def __len__(self) -> int:
        return len(self.latent)

    def __getitem__(self, index: slice | Int64 | NDArray[np.bool_]) -> FrozenTiles:
        return FrozenTiles(self.latent[index], self.low[index], self.high[index])

    @property
    def ends(self) -> tuple[Float64, Float64]:
        """Least and greatest value of each tile."""
        return self.low, self.high

    def points_at_once(self, _: FrozenMixture) -> int:
        """Points to render together."""
        return COMPILED_POINTS_AT_ONCE

    def array(self, values: Float64) -> Float64:
        """`values` as they are: arrays need no moving."""
        return values

    def grids(self, z: Float64, x: Float64) -> NDArray[np.float32]:
        """Points (B, nz * nx, 2) of B grids with coordinates z (B, nz) and x (B, nx)."""
        grid = np.empty((*z.shape, x.shape[1], 2), np.float32)
        grid[..., 0], grid[..., 1] = x[:, None], z[:, :, None]
        return grid.reshape(len(z), -1, 2)

    def values(self, decoder: FrozenMixture, points: NDArray[np.floating]) -> Float64:
        """m/s (B, P) at points (P, 2) or (B, P, 2)."""
        varied = self.high > self.low
        where = points.swapaxes(-1, -2)
        if varied.all():
            return cpu_renderer(decoder).velocities(self.latent, self.low, self.high, where)
        values = np.repeat(self.low[:, None], points.shape[-2], axis=1)
        if varied.any():
            part = self[varied]
            where = where if where.ndim == 2 else where[varied]
            values[varied] = cpu_renderer(decoder).velocities(
                part.latent, part.low, part.high, where
            )
        return values


def cpu_tiles(decoder: FrozenMixture, tiles: Tiles) -> FrozenTiles:
    """Stored tiles, ready for a frozen decoder."""
    latents = cpu_renderer(decoder).latents(tiles.coefficients, tiles.step)
    ends = (np.asarray(end, dtype=np.float64) for end in (tiles.low, tiles.high))
    return FrozenTiles(latents, *ends)
