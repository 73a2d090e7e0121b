"""How far a rendering may be from the model that it was fitted to, sample by sample.

The Laplace approximation of the fit: with the Gauss-Newton Hessian H of a tile's mean squared error
and the prior's weighted precision P, latents scatter with a covariance in proportion to
C = (H + P)^-1, and a sample with derivatives j by j C j^T. That says where errors are likely. How
large they are, and how concentrated, follows from the rms and the mean of the absolute error, which
archives and fits know: deviations are a power of the scatter, so that Gaussian errors of these
deviations would have the same ratio of the two.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from velcodec.decode.tiling import Tiling
from velcodec.decoder import Decoder
from velcodec.decoder.points import grid_points
from velcodec.field.blending import blended_grid

FACTOR = 1.248
"""Calibrated so that two deviations cover 95 % of the samples of generated models, pooled over all
families (`benchmarks/uncertainty.py`)."""

POWERS = (1.0, 1.5)
"""Least and greatest power of the scatter."""

GAUSSIAN_RATIO = math.sqrt(2 / math.pi)
"""Mean absolute value of a Gaussian over its standard deviation."""

POINTS_AT_ONCE = 4096


@torch.no_grad()
def deviations(
    decoder: Decoder, latents: Tensor, tiling: Tiling, rms: Tensor, mae: Tensor,
    grids: tuple[tuple[int, int], tuple[int, int]],
) -> Tensor:  # fmt: skip
    """Standard deviations (models, nz, nx), in the units of `rms` and `mae` (models,), of
    renderings of latents (models, tiles, D). `grids` are the native grid, of which the errors are,
    and the grid (nz, nx) of the result.
    """
    points = grid_points(*tiling.tile_shape, dtype=latents.dtype, device=latents.device)
    tiles = [_Tile(decoder, each, points) for each in latents.flatten(0, 1)]

    def values(number: Tensor, where: Tensor) -> Tensor:
        found = []
        for model in range(len(latents)):
            for place, k in enumerate(number.tolist()):
                tile = tiles[model * tiling.tiles + k]
                found.append(tile.spread(where if where.ndim == 2 else where[place]))
        return torch.stack(found).view(len(latents), len(number), -1)

    native, wanted = grids
    scatter = blended_grid(values, tiling, *native, latents)
    shown = scatter if wanted == native else blended_grid(values, tiling, *wanted, latents)
    found = []
    for k, (own, other) in enumerate(zip(scatter, shown, strict=True)):
        unit = own.square().mean().sqrt().clamp(min=torch.finfo(own.dtype).tiny)
        power = _power(own / unit, float(mae[k] / rms[k]) if rms[k] > 0 else 1.0)
        size = rms[k].to(own) / (own / unit).pow(2 * power).mean().sqrt()
        found.append(FACTOR * size * (other / unit).pow(power))
    return torch.stack(found)


def _power(scatter: Tensor, ratio: float) -> float:
    """The power of the scatter at which Gaussian errors have this ratio of mean to rms, or the
    closest of POWERS; by bisection, since the ratio falls with the power.
    """
    low, high = POWERS
    for _ in range(20):
        middle = (low + high) / 2
        raised = scatter.double().pow(middle)
        found = GAUSSIAN_RATIO * float(raised.mean() / raised.square().mean().sqrt())
        low, high = (middle, high) if found > ratio else (low, middle)
    return (low + high) / 2


class _Tile:
    """The Laplace approximation of one tile, in units of its error's variance per point."""

    def __init__(self, decoder: Decoder, latent: Tensor, points: Tensor) -> None:
        self.decoder, self.latent = decoder, latent[None]
        hessian = sum(
            (slope.mT @ slope for slope in map(self._slopes, points.split(POINTS_AT_ONCE))),
            latent.new_zeros(len(latent), len(latent)),
        ) / len(points)
        default = torch.tensor([decoder.default_step], device=latent.device)
        prior = decoder.prior_weight(default).to(latent) * decoder.prior_precision
        self.covariance = torch.linalg.inv((hessian + torch.diag(prior)).double()).to(latent)

    def _slopes(self, points: Tensor) -> Tensor:
        return self.decoder.jacobian(points, self.latent)[1][0]

    def spread(self, points: Tensor) -> Tensor:
        """Relative standard deviation (P,) at points (P, 2) of the tile's domain."""
        parts = []
        for some in points.split(POINTS_AT_ONCE):
            slope = self._slopes(some)
            parts.append((slope @ self.covariance * slope).sum(1).clamp(min=0).sqrt())
        return torch.cat(parts)
