"""Inversion for the samples of a grid: what inversion in the latent space is compared with.

v = start + G (w m) with a Gaussian G and weights w that grow with depth: a change of variables, so
that gradients are smooth and deep samples move too. Total variation keeps edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from velcodec.field.smooth import within

SMOOTHING = (2.0, 1.0, 0.6)
"""Standard deviations of G in cells, for the first bands; the last is kept for later ones."""

TOTAL_VARIATION = 0.03
"""Weight of the mean slope in 100 m/s per cell."""

ROUNDED = 5.0
"""m/s; slopes below this count as their squares."""

BALANCED_DEPTH = 20.0
"""Cells at which weights reach one."""

UNIT = 1000.0
"""m/s of a unit of m."""

BOUND_WIDTH = 2e-3


@dataclass(frozen=True)
class GridModel:
    """A model as a start plus smoothed changes. `changes` (nz, nx) is the parameter."""

    start: Tensor
    changes: Tensor
    smoothing: float
    bounds: tuple[float, float] | None

    @classmethod
    def at(cls, start: Tensor, band: int, bounds: tuple[float, float] | None) -> GridModel:
        """The parametrisation around `start` (nz, nx) in m/s for band number `band`."""
        changes = torch.zeros_like(start, requires_grad=True)
        return cls(start.detach(), changes, SMOOTHING[min(band, len(SMOOTHING) - 1)], bounds)

    def __call__(self) -> Tensor:
        """The model (nz, nx) in m/s; differentiable in `changes`."""
        depth = torch.arange(len(self.start)).to(self.start) + 2
        weight = (depth / BALANCED_DEPTH).clamp(max=1)[:, None]
        values = self.start + UNIT * gaussian(self.changes * weight, self.smoothing)
        if self.bounds is None:
            return values
        least, greatest = self.bounds
        return within(values, least, greatest, BOUND_WIDTH * (greatest - least))


def gaussian(image: Tensor, deviation: float) -> Tensor:
    """`image` (nz, nx) smoothed by a Gaussian, with its edges repeated."""
    reach = math.ceil(3 * deviation)
    at = torch.arange(-reach, reach + 1).to(image)
    weights = torch.exp(-0.5 * (at / deviation).square())
    weights = weights / weights.sum()
    padded = F.pad(image[None, None], (reach,) * 4, mode="replicate")
    smooth = F.conv2d(F.conv2d(padded, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return smooth[0, 0]


def roughness(model: Tensor) -> Tensor:
    """Total variation, (): mean slopes along z and x in 100 m/s per cell, rounded near zero."""
    down, across = model.diff(dim=0), model.diff(dim=1)
    slopes = ((each.square() + ROUNDED**2).sqrt().mean() for each in (down, across))
    return sum(slopes, model.new_zeros(())) / 100
