"""Rendering tiles and blending them into one field, on a grid or at points.

Readers and encoders share this path from latents to values. Values are float64 m/s and stay within
[low, high] of the tiles they come from. Tiles are NumPy arrays (`cpu_tiles`) or torch tensors
(`torch_tiles`). Memory is bounded by the output and the points rendered together. Never reads
bytes, units or dtypes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from velcodec.decode.tiling import Tiling
from velcodec.formats.arrays import Float64, Int64

PAIRS_AT_ONCE = 16_384
"""Scattered points that are rendered together, over all tiles."""


class TilesToRender(Protocol):
    """n tiles ready to render, as arrays or tensors."""

    def __len__(self) -> int:
        """Number of tiles."""

    def __getitem__(self, index: Any) -> TilesToRender:
        """A selection of the tiles."""

    @property
    def ends(self) -> tuple[Float64, Float64]:
        """Least and greatest value of each tile, m/s, shape (n,)."""

    def points_at_once(self, decoder: Any) -> int:
        """Points to render together."""

    def array(self, values: Float64) -> Any:
        """`values` as an array or tensor, on the tiles' device."""

    def grids(self, z: Any, x: Any) -> Any:
        """Points (B, nz * nx, 2) of B grids with coordinates z (B, nz) and x (B, nx)."""

    def values(self, decoder: Any, points: Any) -> Any:
        """m/s (B, P) at points (P, 2) or (B, P, 2)."""


def render_grid(
    decoder: Any,
    tiles: TilesToRender,
    tiling: Tiling,
    nz: int,
    nx: int,
) -> Any:
    """Models of one tiling on an [nz, nx] grid: (models, nz, nx) float64 m/s, an array or a tensor
    like the tiles.

    `tiles` holds the tiles of one model after another, in the tiling's order.
    """
    models = len(tiles) // tiling.tiles
    out = tiles.array(np.zeros((models, nz, nx)))
    window_z, window_x = tiling.z.window(nz), tiling.x.window(nx)
    z, weight_z, x, weight_x = (
        tiles.array(each)
        for each in (window_z.local, window_z.weight, window_x.local, window_x.weight)
    )
    height, width = z.shape[1], x.shape[1]
    at_once = tiles.points_at_once(decoder)
    rows_at_once = max(1, min(height, at_once // width))
    batch = max(1, at_once // (rows_at_once * width))
    for row in range(0, height, rows_at_once):
        rows = slice(row, min(row + rows_at_once, height))
        for first in range(0, len(tiles), batch):
            number = np.arange(first, min(first + batch, len(tiles)))
            model, tile = np.divmod(number, tiling.tiles)
            kz, kx = np.divmod(tile, tiling.x.tiles)
            if tiling.tiles == 1:  # the same points for every model
                points = tiles.grids(z[:1, rows], x[:1])[0]
            else:
                points = tiles.grids(z[kz][:, rows], x[kx])
            part = tiles[first : first + len(number)]
            values = part.values(decoder, points).reshape(len(number), -1, width)
            values = values * (weight_z[kz, rows, None] * weight_x[kx, None])
            for b, m in enumerate(model):
                z0, x0 = int(window_z.start[kz[b]]) + row, int(window_x.start[kx[b]])
                out[m, z0 : z0 + values.shape[1], x0 : x0 + width] += values[b]
    # Rounding in the blend may exceed the tiles' ends.
    low, high = (end.reshape(-1, tiling.tiles) for end in tiles.ends)
    least, most = tiles.array(low.min(1)), tiles.array(high.max(1))
    return out.clip(least[:, None, None], most[:, None, None])


@dataclass(frozen=True)
class Pairs:
    """All (point, tile) pairs with a weight or slope, ordered by tile."""

    point: Int64
    tile: Int64
    local: Float64  # (pairs, 2): x, z in the tile's domain
    weight: Float64
    slope: Float64  # (pairs, 2): derivative of the weight by x and z, per cell


def pairs_of(tiling: Tiling, cells: Float64) -> Pairs:
    """The pairs of P points at cell coordinates (x, z), shape (P, 2)."""
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


def runs(tile: Int64, most: int = PAIRS_AT_ONCE) -> Iterator[tuple[Int64, Int64]]:
    """Batches of at most `most` runs of equal tile: (tile of each run (B,), indices into the pairs
    (B, P)).

    A run shorter than P is padded with its last pair; a batch has at most PAIRS_AT_ONCE pairs.
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
        count = max(1, min(most, PAIRS_AT_ONCE // longest))
        batch = np.array(pieces[i : i + count], dtype=np.int64)
        index = np.minimum(batch[:, :1] + np.arange(longest), batch[:, 1:] - 1)
        yield tile[batch[:, 0]], index
        i += len(batch)


def sum_of_tiles(pairs: Pairs, values: Float64, points: int) -> Float64:
    """Sum of the pairs' values at each of `points` points, shape (points,)."""
    return np.bincount(pairs.point, values, minlength=points).astype(np.float64, copy=False)


def render_points(
    decoder: Any,
    tiles: TilesToRender,
    tiling: Tiling,
    cells: Float64,
) -> Float64:
    """Values (P,) in m/s of one model at cell coordinates (x, z), shape (P, 2)."""
    pairs = pairs_of(tiling, cells)
    pair_values = np.zeros(len(pairs.tile))
    for tile, index in runs(pairs.tile):
        values = tiles[tile].values(decoder, pairs.local[index])
        pair_values[index] = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    total = sum_of_tiles(pairs, pair_values * pairs.weight, len(cells))
    low, high = tiles.ends
    return np.clip(total, float(low.min()), float(high.max()))
