"""From latents to velocity: tiles rendered by the decoder, scaled to m/s and blended.

This is the one path from latents to values: readers use it, and encoders measure with it. Values
are float64 m/s on the decoder's device; they never leave [low, high] of the tiles they come from.
Memory is bounded by the output and `POINTS_AT_ONCE`. Never reads bytes, units or dtypes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from velcodec.coordinates import Float64
from velcodec.decoder import Decoder
from velcodec.tiling import Int64, Tiling

POINTS_AT_ONCE = 16_384
"""Points given to the decoder together, over all tiles of a batch: bounds memory, fills caches."""

POINTS_ON_GPU = 1 << 23
"""The same on a GPU: enough to keep it busy, some hundred MB."""


@dataclass(frozen=True)
class RenderTiles:
    """n tiles ready to render: latents (n, D) in the decoder's dtype, ends (n,) float64 m/s."""

    latent: Tensor
    low: Tensor
    high: Tensor

    def __len__(self) -> int:
        return int(self.latent.shape[0])

    def __getitem__(self, index: slice | Tensor) -> RenderTiles:
        return RenderTiles(self.latent[index], self.low[index], self.high[index])


def render_tiles(latents: Tensor, low: Float64, high: Float64, decoder: Decoder) -> RenderTiles:
    """RenderTiles on the decoder's device, in its dtype."""
    like = next(decoder.parameters())
    ends = torch.as_tensor(np.stack([low, high]), dtype=torch.float64, device=like.device)
    return RenderTiles(latents.to(like), ends[0], ends[1])


def _at_once(like: Tensor) -> int:
    return POINTS_ON_GPU if like.is_cuda else POINTS_AT_ONCE


def _normalised(decoder: Decoder, points: Tensor, latent: Tensor) -> Tensor:
    """Decoder output (B, P); on a GPU in one kernel, where there is one."""
    return decoder.values(points, latent) if latent.is_cuda else decoder(points, latent)


def _scaled(normalised: Tensor, tiles: RenderTiles) -> Tensor:
    """Decoder output (B, P) to m/s within each tile's ends."""
    low, high = tiles.low[:, None], tiles.high[:, None]
    share = (torch.nan_to_num(normalised.double()).clamp(-1.0, 1.0) + 1.0) / 2.0
    return torch.minimum(torch.maximum(low + share * (high - low), low), high)


@torch.no_grad()
def tile_values(decoder: Decoder, tiles: RenderTiles, points: Tensor) -> Tensor:
    """m/s (B, P) float64 of tiles at points (P, 2) or (B, P, 2) of their own domains."""
    varied = tiles.high > tiles.low
    if bool(varied.all()):
        at_once = max(1, _at_once(points) // points.shape[-2])
        if len(tiles) <= at_once:
            return _scaled(_normalised(decoder, points, tiles.latent), tiles)
        parts = (slice(first, first + at_once) for first in range(0, len(tiles), at_once))
        return torch.cat(
            [
                tile_values(decoder, tiles[p], points if points.ndim == 2 else points[p])
                for p in parts
            ]
        )
    values = tiles.low[:, None].repeat(1, points.shape[-2])
    if bool(varied.any()):
        own = points if points.ndim == 2 else points[varied]
        values[varied] = _scaled(_normalised(decoder, own, tiles.latent[varied]), tiles[varied])
    return values


@torch.no_grad()
def render_grid(decoder: Decoder, tiles: RenderTiles, tiling: Tiling, nz: int, nx: int) -> Tensor:
    """Models with the same tiling on an [nz, nx] grid: (models, nz, nx) float64 m/s.

    `tiles` holds the tiles of model after model, in the tiling's order.
    """
    like = tiles.latent
    models = len(tiles) // tiling.tiles
    out = torch.zeros(models, nz, nx, dtype=torch.float64, device=like.device)
    window_z, window_x = tiling.z.window(nz), tiling.x.window(nx)
    z, weight_z, x, weight_x = (
        torch.as_tensor(a, dtype=torch.float64, device=like.device)
        for a in (window_z.local, window_z.weight, window_x.local, window_x.weight)
    )
    height, width = z.shape[1], x.shape[1]
    rows_at_once = max(1, min(height, _at_once(like) // width))
    batch = max(1, _at_once(like) // (rows_at_once * width))
    for row in range(0, height, rows_at_once):
        rows = slice(row, min(row + rows_at_once, height))
        for first in range(0, len(tiles), batch):
            number = np.arange(first, min(first + batch, len(tiles)))
            model, tile = np.divmod(number, tiling.tiles)
            kz, kx = np.divmod(tile, tiling.x.tiles)
            if tiling.tiles == 1:
                kz_own, kx_own = kz[:1], kx[:1]
            else:
                kz_own, kx_own = kz, kx
            points = _grid_points(z[kz_own, rows], x[kx_own])
            shared = points[0] if tiling.tiles == 1 else points
            part = tiles[first : first + len(number)]
            values = tile_values(decoder, part, shared.to(like)).view(len(number), -1, width)
            values = values * (weight_z[kz, rows, None] * weight_x[kx, None])
            for b, m in enumerate(model):
                z0, x0 = int(window_z.start[kz[b]]) + row, int(window_x.start[kx[b]])
                out[m, z0 : z0 + values.shape[1], x0 : x0 + width] += values[b]
    return _within(out.view(models, -1), tiles, tiling).view(models, nz, nx)


def _grid_points(z: Tensor, x: Tensor) -> Tensor:
    """Points (B, nz * nx, 2) of B grids with coordinates z (B, nz) and x (B, nx)."""
    shape = (z.shape[0], z.shape[1], x.shape[1])
    grid = torch.stack([x[:, None].expand(shape), z[:, :, None].expand(shape)], dim=-1)
    return grid.reshape(z.shape[0], -1, 2)


def _within(values: Tensor, tiles: RenderTiles, tiling: Tiling) -> Tensor:
    """Models (M, P) within their tiles' ends: blending may step out by a rounding error."""
    low = tiles.low.view(-1, tiling.tiles).amin(1)[:, None]
    high = tiles.high.view(-1, tiling.tiles).amax(1)[:, None]
    return torch.minimum(torch.maximum(values, low), high)


@dataclass(frozen=True)
class _Pairs:
    """Every (point, tile) pair that counts, ordered by tile."""

    point: Int64
    tile: Int64
    local: Float64  # (pairs, 2): x, z of the tile's domain
    weight: Float64
    slope: Float64  # (pairs, 2): by x, z, per cell


def _pairs(tiling: Tiling, cells: Float64) -> _Pairs:
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
    return _Pairs(keep // 4, tile.ravel()[keep], local, weight.ravel()[keep], slope)


def _runs(tile: Int64) -> Iterator[tuple[Int64, Int64]]:
    """Batches of runs of equal tile: (tile of each run (B,), indices into the pairs (B, P)).

    A run shorter than its batch is padded with its own last pair; no batch has more than
    POINTS_AT_ONCE pairs.
    """
    starts = np.flatnonzero(np.diff(tile, prepend=-1))
    stops = np.append(starts, len(tile))[1:]
    pieces = [
        (first, min(first + POINTS_AT_ONCE, int(stop)))
        for start, stop in zip(starts, stops, strict=True)
        for first in range(int(start), int(stop), POINTS_AT_ONCE)
    ]
    pieces.sort(key=lambda piece: piece[0] - piece[1])
    i = 0
    while i < len(pieces):
        longest = pieces[i][1] - pieces[i][0]
        batch = np.array(pieces[i : i + max(1, POINTS_AT_ONCE // longest)], dtype=np.int64)
        index = np.minimum(batch[:, :1] + np.arange(longest), batch[:, 1:] - 1)
        yield tile[batch[:, 0]], index
        i += len(batch)


def render_points(decoder: Decoder, tiles: RenderTiles, tiling: Tiling, cells: Float64) -> Float64:
    """Values (P,) in m/s of one model at cell coordinates (x, z), (P, 2)."""
    pairs = _pairs(tiling, cells)
    found = np.zeros(len(pairs.tile))
    for tile, index in _runs(pairs.tile):
        points = torch.as_tensor(pairs.local[index]).to(tiles.latent)
        values = tile_values(decoder, tiles[torch.as_tensor(tile)], points)
        found[index] = values.cpu().numpy()
    total = np.bincount(pairs.point, found * pairs.weight, minlength=len(cells))
    return np.clip(total, float(tiles.low.min()), float(tiles.high.max()))


def render_gradient(
    decoder: Decoder, tiles: RenderTiles, tiling: Tiling, cells: Float64
) -> Float64:
    """Derivatives (P, 2) by x and z, m/s per cell, of one model at cell coordinates (P, 2)."""
    pairs = _pairs(tiling, cells)
    per_cell = np.array([2.0 / tiling.x.size, 2.0 / tiling.z.size])
    total = np.zeros((len(pairs.tile), 2))
    for tile, index in _runs(pairs.tile):
        part = tiles[torch.as_tensor(tile)]
        points = torch.as_tensor(pairs.local[index]).to(tiles.latent)
        normalised, gradient = decoder.point_gradient(points, part.latent)
        half = (part.high - part.low)[:, None] / 2.0
        inside = (normalised.abs() <= 1.0) & torch.isfinite(normalised)
        slope = torch.nan_to_num(gradient.double()) * (half * inside)[..., None]
        values = _scaled(normalised, part).cpu().numpy()
        weight = pairs.weight[index][..., None]
        total[index] = slope.cpu().numpy() * per_cell * weight
        total[index] += values[..., None] * pairs.slope[index]
    return np.stack(
        [np.bincount(pairs.point, total[:, axis], minlength=len(cells)) for axis in (0, 1)], axis=1
    )
