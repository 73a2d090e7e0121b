"""The rate term of training: noise in place of rounding, and the length of its code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from velcodec.decoder.base import PRICE_OF_A_BIT
from velcodec.decoder.sizes import LATENT_SIZE

CLASS_GAINS = (0.25, 0.5, 1.0, 2.0)


def reference_step(rate_weight: float) -> float:
    """The step at which a bit is worth `rate_weight`, the Hessian being the identity."""
    return math.sqrt(rate_weight / PRICE_OF_A_BIT)


def laplace_bits(coefficients: Tensor, scale: Tensor) -> Tensor:
    """Ideal code length (bits) of coefficients, rounded to integers, under Laplace priors."""

    def cdf(v: Tensor) -> Tensor:
        tail = 0.5 * torch.exp(-v.abs() / scale)
        return torch.where(v < 0, tail, 1 - tail)

    u = coefficients.abs()
    return -torch.log2((cdf(0.5 - u) - cdf(-0.5 - u)).clamp(min=1e-7))


class LatentRate(nn.Module):
    """Learned quantiser steps and Laplace scales, one of each per coefficient.

    A record may pick one of a few gains on all scales (its record class), as the codec does.
    """

    def __init__(self, latent_size: int = LATENT_SIZE) -> None:
        super().__init__()
        self.log_step = nn.Parameter(torch.full((latent_size,), math.log(0.15)))
        self.log_scale = nn.Parameter(torch.zeros(latent_size))
        self.register_buffer("gains", torch.tensor(CLASS_GAINS))
        self.gains: Tensor

    @torch.no_grad()
    def start_from(self, prior_precision: Tensor, step: float) -> None:
        """Steps and scales of a finished decoder, whose latent basis wants one step everywhere."""
        self.log_step.fill_(math.log(step))
        self.log_scale.copy_(torch.log((2 * prior_precision).rsqrt() / step))

    def forward(self, latent: Tensor, coarseness: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents (B, D) and bits (B,), with every step multiplied by `coarseness` (B,)."""
        step = self.log_step.exp() * coarseness[:, None]
        noisy = latent / step + noise
        scale = (self.log_scale.exp() / coarseness[:, None])[None] * self.gains[:, None, None]
        bits = laplace_bits(noisy[None], scale).sum(-1)
        return noisy * step, bits.amin(0)
