"""What every decoder shares: the interface, freezing, and the attributes of a loaded decoder.

A decoder maps points of the decoder domain and a latent to normalised velocity. It never sees
metres, m/s or files: `velcodec.geometry` and `velcodec.encode` scale, `file` reads and writes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from velcodec.decoder.backends import CpuBackend
from velcodec.decoder.sizes import LATENT_SIZE
from velcodec.formats.latent_coding.stream import LatentTables

PRICE_OF_A_BIT = 0.1155
"""Slope of distortion over rate at high rate, in units of the squared step: 2 ln 2 / 12."""

PRIOR_PER_BIT = 0.72
"""Bits of a squared coefficient under a Gaussian prior, per prior precision: 1 / (2 ln 2)."""

CURVATURE_LATENTS, CURVATURE_POINTS = 8, 256
"""Sample sizes of the mean curvature."""


class Decoder(nn.Module, ABC):
    """Maps (x, z) in [-1, 1]^2 and a latent to normalised velocity (paper section 3.2).

    Points are (x, z), x first, z down; arrays are [z, x]. The output is not clamped; the codec
    clamps it to [-1, 1], the normalised value range of the tile.
    """

    architecture: str
    latent_size: int = LATENT_SIZE

    weights_of_model: int = 1
    """Weights that each model has of its own when it is evaluated."""

    # Set when the decoder is frozen (see `velcodec.decoder.file`).
    identity: bytes | None = None
    name: str = "unnamed"
    tables: LatentTables | None = None
    default_step: int = 0
    _curvature: Tensor | None = None
    encoder_path: Path | None = None
    steps: Tensor
    prior_precision: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.ones(1), persistent=False)
        self.register_buffer("prior_precision", torch.ones(self.latent_size), persistent=False)

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Architecture name and hyper-parameters: enough to rebuild the decoder."""

    @abstractmethod
    def forward(self, points: Tensor, latent: Tensor) -> Tensor:
        """Normalised velocity, shape (B, P).

        `points` is (P, 2), shared by all models, or (B, P, 2); `latent` is (B, latent_size).
        Differentiable in both.
        """

    @abstractmethod
    def jacobian(
        self, points: Tensor, latent: Tensor, leading: int | None = None, rough: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Values (B, P) and their derivatives by the latent (B, P, latent_size), without autograd;
        with `leading`, by the first `leading` coefficients only. With `rough` they may be off by
        some thousandths where that is faster.
        """

    @abstractmethod
    def reparametrise_(self, basis: Tensor) -> None:
        """Change the latent's coordinates in place: the new latent y means the old latent basis @
        y.

        `basis` is (latent_size, latent_size). Every architecture reads the latent through linear
        maps, which absorb the change exactly.
        """

    @torch.no_grad()
    def values(self, points: Tensor, latent: Tensor) -> Tensor:
        """As `forward`, without derivatives."""
        return self(points, latent)

    def squared_error(self, points: Tensor, latent: Tensor, target: Tensor) -> Tensor:
        """Mean squared error (B,) of renderings at `points` (P, 2) against target (B, P)."""
        return (self.values(points, latent) - target).square().mean(1)

    def error_and_gradient(
        self, points: Tensor, latent: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean squared error (B,) against target (B, P), and half its derivative by the latent."""
        latent = latent.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            error = (self(points, latent) - target).square().mean(1)
            (gradient,) = torch.autograd.grad(error.sum(), latent)
        return error.detach(), gradient / 2

    @torch.no_grad()
    def mean_curvature(self) -> Tensor:
        """Diagonal (D,) of the Gauss-Newton Hessian of the mean squared error, averaged over
        latents drawn from the prior with a fixed seed. About 1 in the basis of a trained decoder.
        """
        if self._curvature is None or self._curvature.device != self.device:
            random = torch.Generator().manual_seed(0)
            latent = torch.randn(CURVATURE_LATENTS, self.latent_size, generator=random)
            points = 2 * torch.rand(CURVATURE_POINTS, 2, generator=random) - 1
            latent = latent.to(self.prior_precision) * self.prior_precision.rsqrt()
            slope = self.jacobian(points.to(latent), latent)[1]
            self._curvature = slope.square().mean((0, 1))
        return self._curvature

    def point_gradient(self, points: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, P) and their derivatives by (x, z) of the decoder domain (B, P, 2)."""
        where = points.expand(latent.shape[0], *points.shape[-2:]).detach().clone()
        where.requires_grad_(True)
        with torch.enable_grad():
            values = self(where, latent)
            (gradient,) = torch.autograd.grad(values.sum(), where)
        return values.detach(), gradient

    @property
    def deviations(self) -> Tensor:
        """Standard deviations (D,) of the latent's coefficients under the prior, in falling order:
        for the shipped decoder from 1.4 to 1e-4.
        """
        return self.prior_precision.rsqrt()

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """`count` latents (count, D) drawn from the prior, a Gaussian of mean zero with independent
        coefficients. `generator` is one of the CPU; the result is on the decoder's device.
        """
        drawn = torch.randn(count, self.latent_size, generator=generator)
        return drawn.to(self.prior_precision) * self.deviations

    def log_prior(self, latent: Tensor) -> Tensor:
        """Logarithm of the prior's density (...) at latents (..., D), in the latent's units.
        Differentiable.
        """
        precision = self.prior_precision
        normaliser = (precision / (2 * math.pi)).log().sum()
        return (normaliser - (precision * latent.square()).sum(-1)) / 2

    def bit_price(self, step_index: Tensor) -> Tensor:
        """Price of a bit in mean squared error (normalised units) at step indices (B,)."""
        return PRICE_OF_A_BIT * self.steps[step_index].square()

    def prior_weight(self, step_index: Tensor) -> Tensor:
        """Weight (B,) of the Gaussian prior that models the rate at step indices (B,)."""
        return PRIOR_PER_BIT * self.bit_price(step_index)

    def compiled(self) -> CpuBackend | None:
        """A backend that evaluates this decoder on the CPU faster than torch, or None."""
        return None

    def freeze_(self) -> Decoder:
        """Switch to evaluation mode and turn off all gradients."""
        self.eval()
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        return self

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


def as_batched(points: Tensor, batch: int) -> Tensor:
    """View `points`, (P, 2) or (B, P, 2), as (B, P, 2)."""
    return points.expand(batch, *points.shape[-2:])
