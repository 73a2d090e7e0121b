"""The error of a tile around its fitted latent, to second order.

It foretells what any integers nearby do to the error, at every step, from one gradient and one
Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import error_and_gradient, hessian_of, leading_coefficients
from velcodec.fit.views import some_points

HESSIAN_POINTS = 1225
"""Points of the Hessian."""


@dataclass(frozen=True)
class Expansion:
    """Of B tiles at their latents: the mean squared error (B,), half its derivative `slope` (B, D)
    and Gauss-Newton Hessian (B, L, L) by the first L coefficients, in bfloat16; `curvature` (D,)
    stands for the others.
    """

    error: Tensor
    slope: Tensor
    hessian: Tensor
    curvature: Tensor

    def part(self, tiles: Tensor | slice) -> Expansion:
        """Of some of the tiles."""
        own = self.error[tiles], self.slope[tiles], self.hessian[tiles]
        return Expansion(*own, self.curvature)

    def leading(self, count: int) -> Tensor:
        """The Hessians (B, count, count) of the first `count` coefficients, at most L, float32."""
        return self.hessian[:, :count, :count].float()

    def slope_at(self, moved: Tensor) -> Tensor:
        """Half the derivative (B, D) that is foreseen where latents have `moved` by (B, D)."""
        count = self.hessian.shape[1]
        bent = moved * self.curvature
        bent[:, :count] = (self.leading(count) @ moved[:, :count, None])[..., 0]
        return self.slope + bent


@torch.no_grad()
def expand(decoder: Decoder, latent: Tensor, target: Tensor, points: Tensor) -> Expansion:
    """The expansion at latents (B, D) of the error against `target` (B, P) at `points` (P, 2)."""
    error, slope = error_and_gradient(decoder, points, latent, target)
    finest = torch.tensor([len(decoder.steps) - 1], device=latent.device)
    leading = leading_coefficients(decoder, decoder.prior_weight(finest))
    some = some_points(len(points), HESSIAN_POINTS, 0, points.device)
    hessian = hessian_of(decoder, points[some], latent, leading)
    return Expansion(error, slope, hessian.bfloat16(), decoder.mean_curvature())


def joined(parts: list[Expansion]) -> Expansion:
    """One expansion of all tiles of `parts`, in order."""
    error = torch.cat([part.error for part in parts])
    slope = torch.cat([part.slope for part in parts])
    hessian = torch.cat([part.hessian for part in parts])
    return Expansion(error, slope, hessian, parts[0].curvature)
