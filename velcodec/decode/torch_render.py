"""Tiles rendered by torch: on other devices, by other decoders, and where encoders have tensors.

Velocities are float64 m/s on the decoder's device, within [low, high] of each tile. On the CPU a
decoder's compiled loops do the work where it has some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.decode.render import COMPILED_POINTS_AT_ONCE, pairs_of, runs, sum_of_tiles
from velcodec.decode.tiling import Int64, Tiling
from velcodec.decoder.base import Decoder
from velcodec.geometry import Float64
from velcodec.quantise import dequantise

if TYPE_CHECKING:
    from velcodec.formats.latent_coding.stream import Tiles

POINTS_AT_ONCE = 16_384
"""Points given to a decoder of torch together, over all tiles of a batch: fills caches."""

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

    def __getitem__(self, index: slice | Tensor | Int64) -> RenderTiles:
        return RenderTiles(self.latent[index], self.low[index], self.high[index])

    @property
    def ends(self) -> tuple[Float64, Float64]:
        """Least and greatest value of each tile."""
        return self.low.cpu().numpy(), self.high.cpu().numpy()

    def points_at_once(self, decoder: Decoder) -> int:
        """Points to render together."""
        return COMPILED_POINTS_AT_ONCE if decoder.compiled() else _at_once(self.latent)

    def array(self, values: Float64) -> Tensor:
        """Numbers where the tiles are."""
        return torch.as_tensor(values, dtype=torch.float64, device=self.latent.device)

    def grids(self, z: Tensor, x: Tensor) -> Tensor:
        """Points (B, nz * nx, 2) of B grids with coordinates z (B, nz) and x (B, nx)."""
        shape = (z.shape[0], z.shape[1], x.shape[1])
        grid = torch.stack([x[:, None].expand(shape), z[:, :, None].expand(shape)], dim=-1)
        return grid.reshape(z.shape[0], -1, 2)

    def values(self, decoder: Decoder, points: Tensor | NDArray[np.floating]) -> Tensor:
        """m/s (B, P) at points (P, 2) or (B, P, 2)."""
        return tile_values(decoder, self, torch.as_tensor(points).to(self.latent))


def render_tiles(latents: Tensor, low: Float64, high: Float64, decoder: Decoder) -> RenderTiles:
    """RenderTiles on the decoder's device, in its dtype."""
    like = next(decoder.parameters())
    ends = torch.as_tensor(np.stack([low, high]), dtype=torch.float64, device=like.device)
    return RenderTiles(latents.to(like), ends[0], ends[1])


def ready_tiles(decoder: Decoder, tiles: Tiles) -> RenderTiles:
    """Stored tiles as torch renders them."""
    device = next(decoder.parameters()).device
    coefficients = torch.as_tensor(np.asarray(tiles.coefficients, dtype=np.int64), device=device)
    step = torch.as_tensor(np.asarray(tiles.step, dtype=np.int64), device=device)
    latents = dequantise(decoder, coefficients, step)
    return render_tiles(latents, tiles.low, tiles.high, decoder)


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
        return _varied_values(decoder, tiles, points)
    values = tiles.low[:, None].repeat(1, points.shape[-2])
    if bool(varied.any()):
        own = points if points.ndim == 2 else points[varied]
        values[varied] = _varied_values(decoder, tiles[varied], own)
    return values


def _varied_values(decoder: Decoder, tiles: RenderTiles, points: Tensor) -> Tensor:
    """As `tile_values`, of tiles that are not constant."""
    compiled = decoder.compiled()
    if compiled is not None:
        own = tiles.latent.numpy(), tiles.low.numpy(), tiles.high.numpy()
        return torch.from_numpy(compiled.velocities(*own, points.mT.numpy()))
    at_once = max(1, _at_once(points) // points.shape[-2])
    parts = [slice(first, first + at_once) for first in range(0, len(tiles), at_once)]
    values = [
        _scaled(
            _normalised(decoder, points if points.ndim == 2 else points[p], tiles.latent[p]),
            tiles[p],
        )
        for p in parts
    ]
    return torch.cat(values)


def render_gradient(
    decoder: Decoder, tiles: RenderTiles, tiling: Tiling, cells: Float64
) -> Float64:
    """Derivatives (P, 2) by x and z, m/s per cell, of one model at cell coordinates (P, 2)."""
    pairs = pairs_of(tiling, cells)
    per_cell = np.array([2.0 / tiling.x.size, 2.0 / tiling.z.size])
    total = np.zeros((len(pairs.tile), 2))
    for tile, index in runs(pairs.tile):
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
    return np.stack([sum_of_tiles(pairs, total[:, axis], len(cells)) for axis in (0, 1)], axis=1)
