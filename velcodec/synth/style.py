"""Style: continuous, natural-image-like content over a depth trend, smooth (A) or sharp (B).

Content is layers of shapes that hide each other, each with its own level and texture, so that its
edges and spectrum are those of pictures, not of Gaussian fields. It holds no picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import Draws
from .fields import MARGIN, Gridded, blur, grid_axis, spectral
from .layered import HIGH, LOW, select
from .models import CELLS, Models


@dataclass(frozen=True)
class GriddedModels(Models):
    """Velocity `field` in m/s on a grid, read by cubic B-splines."""

    count: int
    device: torch.device
    field: Gridded

    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        return self.field.at(x, z)

    def _select(self, rows: slice) -> GriddedModels:
        cut = select(self, rows)
        return GriddedModels(**{**cut, "count": cut["field"].values.shape[0]})  # type: ignore


def draw_style(draws: Draws, sharp: bool) -> GriddedModels:
    """Style-A (smooth) or Style-B (`sharp`, textured)."""
    spacing = 0.5 if sharp else 1.0
    size = round(CELLS / spacing) + 2 * MARGIN
    n = draws.count
    ones = torch.ones(n, device=draws.device)
    depth = grid_axis(size, spacing, draws.device)[:, None].clamp(0.0, CELLS) / CELLS
    content = torch.zeros(n, size, size, device=draws.device)
    for _ in range(3):
        aspect = torch.exp(draws.uniform(low=-0.5, high=0.8))
        shape = spectral(draws, size, spacing, draws.uniform(low=1.4, high=2.2), ones, aspect)
        shape = shape - draws.uniform(1, 1, low=-0.5, high=1.2)
        texture = spectral(draws, size, spacing, draws.uniform(low=1.0, high=1.8), ones, ones)
        level = draws.normal(1, 1) + 0.25 * texture
        content = torch.where(shape > 0, level, content)
    content = blur(content, draws.uniform(low=1.3, high=2.2) / (1.0 if not sharp else 2.0))
    trend = depth ** torch.exp(draws.uniform(1, 1, low=-0.5, high=0.5))
    value = trend * draws.uniform(1, 1, low=1.5, high=3.5) + content
    inner = value[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    low, high = inner.amin(dim=(1, 2), keepdim=True), inner.amax(dim=(1, 2), keepdim=True)
    bottom = draws.uniform(1, 1, low=LOW, high=LOW + 300.0)
    top = draws.uniform(1, 1, low=HIGH - 900.0, high=HIGH)
    value = bottom + (value - low) / (high - low) * (top - bottom)
    return GriddedModels(n, draws.device, Gridded(value, spacing))
