"""How far a rendering may be from the model that it was fitted to, sample by sample.

The Laplace approximation of the fit: with the Gauss-Newton Hessian H of a tile's mean squared error
and the prior's weighted precision P, latents scatter with a covariance in proportion to
C = (H + P)^-1, and a sample with derivatives j by j C j^T. That says where errors are likely. How
large they are follows from the root mean square error, which archives and fits know.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decode.tiling import Tiling
from velcodec.decoder import Decoder
from velcodec.decoder.points import grid_points
from velcodec.field.blending import blended_grid

FACTOR = 0.956
"""Calibrated so that two deviations cover 95 % of the samples of generated models, pooled over all
families (`benchmarks/uncertainty.py`)."""

POINTS_AT_ONCE = 4096


@torch.no_grad()
def deviations(
    decoder: Decoder, latents: Tensor, tiling: Tiling, rms: Tensor, shape: tuple[int, int]
) -> Tensor:
    """Standard deviations (models, nz, nx), in the units of `rms` (models,), of renderings of
    latents (models, tiles, D) on a grid of `shape`.
    """
    points = grid_points(*tiling.tile_shape, dtype=latents.dtype, device=latents.device)
    tiles = [_Tile(decoder, each, points) for each in latents.flatten(0, 1)]
    effective = torch.stack([tile.effective for tile in tiles]).view(latents.shape[:2])
    size = FACTOR * rms.to(latents) / effective.mean(1).sqrt()

    def values(number: Tensor, where: Tensor) -> Tensor:
        found = []
        for model in range(len(latents)):
            for place, k in enumerate(number.tolist()):
                tile = tiles[model * tiling.tiles + k]
                found.append(tile.spread(where if where.ndim == 2 else where[place]))
        return torch.stack(found).view(len(latents), len(number), -1)

    return size[:, None, None] * blended_grid(values, tiling, *shape, latents)


class _Tile:
    """The Laplace approximation of one tile, in units of its error's variance per point.

    `effective` is the number of coefficients that the samples determine.
    """

    def __init__(self, decoder: Decoder, latent: Tensor, points: Tensor) -> None:
        self.decoder, self.latent = decoder, latent[None]
        hessian = sum(
            (slope.mT @ slope for slope in map(self._slopes, points.split(POINTS_AT_ONCE))),
            latent.new_zeros(len(latent), len(latent)),
        ) / len(points)
        default = torch.tensor([decoder.default_step], device=latent.device)
        prior = decoder.prior_weight(default).to(latent) * decoder.prior_precision
        self.covariance = torch.linalg.inv((hessian + torch.diag(prior)).double()).to(latent)
        self.effective = (self.covariance * hessian).sum()

    def _slopes(self, points: Tensor) -> Tensor:
        return self.decoder.jacobian(points, self.latent)[1][0]

    def spread(self, points: Tensor) -> Tensor:
        """Relative standard deviation (P,) at points (P, 2) of the tile's domain."""
        parts = []
        for some in points.split(POINTS_AT_ONCE):
            slope = self._slopes(some)
            parts.append((slope @ self.covariance * slope).sum(1).clamp(min=0).sqrt())
        return torch.cat(parts)
