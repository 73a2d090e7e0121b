"""From latents to velocity: tiles rendered by the decoder, scaled to m/s and blended.

This is the one path from latents to values: readers use it, and encoders measure with it. Values
are float64 m/s; they never leave [low, high] of the tiles they come from. Tiles are NumPy's here,
rendered by a decoder without torch; those of `velcodec.decode.torch_render` are blended by the same
code. Memory is bounded by the output and the points at once. Never reads bytes, units or dtypes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.tiling import Int64, Tiling
from velcodec.decoder.siren_mixture.frozen import FrozenMixture
from velcodec.formats.latent_coding.stream import Tiles
from velcodec.geometry import Float64

if TYPE_CHECKING:
    from velcodec.decode.torch_render import RenderTiles
    from velcodec.decoder import Decoder

COMPILED_POINTS_AT_ONCE = 1 << 18
"""Points rendered together by compiled loops, which keep to the caches by themselves."""

PAIRS_AT_ONCE = 16_384
"""Points of tiles, wherever they lie, that are rendered together."""


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
        """Numbers where the tiles are."""
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
            return decoder.floating.velocities(self.latent, self.low, self.high, where)
        values = np.repeat(self.low[:, None], points.shape[-2], axis=1)
        if varied.any():
            own = where if where.ndim == 2 else where[varied]
            some = self[varied]
            values[varied] = decoder.floating.velocities(some.latent, some.low, some.high, own)
        return values


def ready_tiles(decoder: Decoder | FrozenMixture, tiles: Tiles) -> FrozenTiles | RenderTiles:
    """Stored tiles as the decoder renders them."""
    if isinstance(decoder, FrozenMixture):
        latents = decoder.floating.latents(tiles.coefficients, tiles.step)
        ends = (np.asarray(end, dtype=np.float64) for end in (tiles.low, tiles.high))
        return FrozenTiles(latents, *ends)
    from velcodec.decode import torch_render

    return torch_render.ready_tiles(decoder, tiles)


def render_grid(
    decoder: Decoder | FrozenMixture,
    tiles: FrozenTiles | RenderTiles,
    tiling: Tiling,
    nz: int,
    nx: int,
) -> Any:
    """Models with the same tiling on an [nz, nx] grid: (models, nz, nx) float64 m/s, an array or a
    tensor as the tiles are.

    `tiles` holds the tiles of model after model, in the tiling's order.
    """
    given: Any = tiles
    models = len(tiles) // tiling.tiles
    out = given.array(np.zeros((models, nz, nx)))
    window_z, window_x = tiling.z.window(nz), tiling.x.window(nx)
    z, weight_z, x, weight_x = (
        given.array(each)
        for each in (window_z.local, window_z.weight, window_x.local, window_x.weight)
    )
    height, width = z.shape[1], x.shape[1]
    at_once = given.points_at_once(decoder)
    rows_at_once = max(1, min(height, at_once // width))
    batch = max(1, at_once // (rows_at_once * width))
    for row in range(0, height, rows_at_once):
        rows = slice(row, min(row + rows_at_once, height))
        for first in range(0, len(tiles), batch):
            number = np.arange(first, min(first + batch, len(tiles)))
            model, tile = np.divmod(number, tiling.tiles)
            kz, kx = np.divmod(tile, tiling.x.tiles)
            if tiling.tiles == 1:  # the same points for every model
                points = given.grids(z[:1, rows], x[:1])[0]
            else:
                points = given.grids(z[kz][:, rows], x[kx])
            part = given[first : first + len(number)]
            values = part.values(decoder, points).reshape(len(number), -1, width)
            values = values * (weight_z[kz, rows, None] * weight_x[kx, None])
            for b, m in enumerate(model):
                z0, x0 = int(window_z.start[kz[b]]) + row, int(window_x.start[kx[b]])
                out[m, z0 : z0 + values.shape[1], x0 : x0 + width] += values[b]
    # Blending may step out of the tiles' ends by a rounding error.
    low, high = (end.reshape(-1, tiling.tiles) for end in tiles.ends)
    least, most = given.array(low.min(1)), given.array(high.max(1))
    return out.clip(least[:, None, None], most[:, None, None])


@dataclass(frozen=True)
class Pairs:
    """Every (point, tile) pair that counts, ordered by tile."""

    point: Int64
    tile: Int64
    local: Float64  # (pairs, 2): x, z of the tile's domain
    weight: Float64
    slope: Float64  # (pairs, 2): by x, z, per cell


def pairs_of(tiling: Tiling, cells: Float64) -> Pairs:
    """The pairs of points at cell coordinates (x, z), (P, 2)."""
    cx, cz = tiling.x.cover(cells[:, 0]), tiling.z.cover(cells[:, 1])
    shape = (len(cells), 2, 2)  # point, z neighbour, x neighbour

    def along_z(a: Float64) -> Float64:
        return np.broadcast_to(a[:, :, None], shape)

    def along_x(a: Float64) -> Float64:
        return np.broadcast_to(a[:, None, :], shape)

    tile = cz.tile[:, :, None] * tiling.x.tiles + cx.tile[:, None, :]
    weight = along_z(cz.weight) * along_x(cx.weight)
    slope_x = along_z(cz.weight) * along_x(cx.slope)
    slope_z = along_z(cz.slope) * along_x(cx.weight)
    keep = np.flatnonzero((weight != 0) | (slope_x != 0) | (slope_z != 0))
    keep = keep[np.argsort(tile.ravel()[keep], kind="stable")]
    local = np.stack([along_x(cx.local).ravel()[keep], along_z(cz.local).ravel()[keep]], axis=1)
    slope = np.stack([slope_x.ravel()[keep], slope_z.ravel()[keep]], axis=1)
    return Pairs(keep // 4, tile.ravel()[keep], local, weight.ravel()[keep], slope)


def runs(tile: Int64) -> Iterator[tuple[Int64, Int64]]:
    """Batches of runs of equal tile: (tile of each run (B,), indices into the pairs (B, P)).

    A run shorter than its batch is padded with its own last pair; no batch has more than
    PAIRS_AT_ONCE pairs.
    """
    starts = np.flatnonzero(np.diff(tile, prepend=-1))
    stops = np.append(starts, len(tile))[1:]
    pieces = [
        (first, min(first + PAIRS_AT_ONCE, int(stop)))
        for start, stop in zip(starts, stops, strict=True)
        for first in range(int(start), int(stop), PAIRS_AT_ONCE)
    ]
    pieces.sort(key=lambda piece: piece[0] - piece[1])
    i = 0
    while i < len(pieces):
        longest = pieces[i][1] - pieces[i][0]
        batch = np.array(pieces[i : i + max(1, PAIRS_AT_ONCE // longest)], dtype=np.int64)
        index = np.minimum(batch[:, :1] + np.arange(longest), batch[:, 1:] - 1)
        yield tile[batch[:, 0]], index
        i += len(batch)


def sum_of_tiles(pairs: Pairs, values: Float64, points: int) -> Float64:
    """What the tiles give each of so many points together, from values of the pairs."""
    return np.bincount(pairs.point, values, minlength=points).astype(np.float64, copy=False)


def render_points(
    decoder: Decoder | FrozenMixture,
    tiles: FrozenTiles | RenderTiles,
    tiling: Tiling,
    cells: Float64,
) -> Float64:
    """Values (P,) in m/s of one model at cell coordinates (x, z), (P, 2)."""
    given: Any = tiles
    pairs = pairs_of(tiling, cells)
    found = np.zeros(len(pairs.tile))
    for tile, index in runs(pairs.tile):
        values = given[tile].values(decoder, pairs.local[index])
        found[index] = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    total = sum_of_tiles(pairs, found * pairs.weight, len(cells))
    low, high = tiles.ends
    return np.clip(total, float(low.min()), float(high.max()))
