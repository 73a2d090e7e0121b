"""Style: continuous, natural-image-like content over a depth trend, smooth (A) or sharp (B).

Content is layers of shapes that hide each other, each with its own level and texture, so that its
edges and spectrum are those of pictures, not of Gaussian fields. It holds no picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.synth.draws import Draws
from velcodec.synth.fields import MARGIN, Gridded, blur, grid_axis, spectral
from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.models import CELLS, Models

# On a CPU fields of this many models at a time stay in the cache: twice as fast as 256. On a GPU a
# large batch hides the cost of starting each operation.
_BATCH_CPU, _BATCH_GPU = 32, 1024


@dataclass(frozen=True)
class GriddedModels(Models):
    """Velocity `field` in m/s on a grid, read by cubic B-splines."""

    count: int
    device: torch.device
    field: Gridded

    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        return self.field.at(x, z)


def draw_style(draws: Draws, sharp: bool) -> GriddedModels:
    """Style-A (smooth) or Style-B (`sharp`, textured)."""
    spacing = 0.625 if sharp else 1.25
    batch = _BATCH_CPU if draws.device.type == "cpu" else _BATCH_GPU
    values = [_draw_velocity(part, spacing, sharp) for part in draws.split(batch)]
    return GriddedModels(draws.count, draws.device, Gridded(torch.cat(values), spacing))


def _draw_velocity(draws: Draws, spacing: float, sharp: bool) -> Tensor:
    """(n, size, size) velocity in m/s on the grid."""
    size = round(CELLS / spacing) + 2 * MARGIN
    content = _picture(draws, size, spacing, sharp)
    width = draws.uniform(low=0.35, high=1.0) if sharp else draws.uniform(low=1.7, high=2.7)
    content = blur(content, width / spacing)
    depth = grid_axis(size, spacing, draws.device)[:, None] / CELLS
    contrast = torch.exp(0.2 * draws.normal(1, 1)) * 0.95
    value = _to_unit(depth + contrast * _to_unit(content)).clamp(min=0.0)
    # Pictures are exposed: the mean varies less than that of unexposed content.
    mean = value.mean(dim=(1, 2), keepdim=True)
    exposed = (0.485 if sharp else 0.44) + 0.35 * (mean - 0.48)
    value = _to_unit(value ** (torch.log(exposed) / torch.log(mean)))
    bottom = draws.uniform(1, 1, low=LOW + 15.0, high=LOW + 60.0)
    top = draws.uniform(1, 1, low=HIGH - 650.0, high=HIGH - 60.0)
    return bottom + value * (top - bottom)


def _to_unit(values: Tensor) -> Tensor:
    """(n, size, size) `values` scaled so that they run from 0 to 1 inside the model."""
    inner = values[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    low, high = inner.amin(dim=(1, 2), keepdim=True), inner.amax(dim=(1, 2), keepdim=True)
    return (values - low) / (high - low).clamp(min=1e-6)


def _picture(draws: Draws, size: int, spacing: float, sharp: bool) -> Tensor:
    """(n, size, size) shapes in [0, 1.2] over a dark background, the later hiding the earlier."""
    zeros = torch.zeros(draws.count, device=draws.device)
    axis = grid_axis(size, spacing, draws.device)
    down = ((axis - CELLS / 2) / (CELLS / 2))[:, None]
    # Measured: the upper edge is mostly background.
    reach = draws.uniform(1, 1, low=8.0, high=40.0)
    sky = (1.0 - axis[:, None] / reach).clamp(0.0, 1.2) * draws.uniform(1, 1, low=0.4, high=1.6)
    textures = [
        spectral(draws, size, spacing, slope=draws.uniform(low=0.9, high=1.9), smooth=zeros)
        for _ in range(2)
    ]
    roughest = 0.3 if sharp else 0.15
    content = draws.uniform(1, 1, low=0.0, high=0.4 * roughest) * textures[1]
    for layer in range(5 if sharp else 4):
        form = spectral(
            draws,
            size,
            spacing,
            slope=draws.uniform(low=1.05, high=2.45),
            smooth=zeros + (0.5 if sharp else 1.0),
            stretch=torch.exp(draws.uniform(low=0.0, high=1.4)),
            tilt=_upright_or_flat(draws),
            waves=64 if sharp else 48,
        )
        bright = draws.happens(0.8 if layer % 2 == 0 else 0.45, 1, 1)
        weight = 0.3 * (1.0 + draws.normal(1, 1)) * torch.where(bright, 1.0, -1.0)
        inside = form + weight * down - sky > draws.uniform(1, 1, low=-0.1, high=1.0)
        level = draws.uniform(1, 1)
        level = torch.where(bright, 0.55 + 0.45 * level, 0.25 * level)
        rough = draws.uniform(1, 1, low=0.02, high=roughest)
        # The same two textures, moved, serve all the layers.
        texture = torch.roll(textures[layer % 2], (size // 3 * layer, size // 5 * layer), (1, 2))
        content = torch.where(inside, level + rough * texture, content)
    # Measured: bright spots along the lower edge of most models.
    rim = ((axis - 60.0) / 6.0).clamp(0.0, 1.5)[:, None]
    spots = spectral(
        draws, size, spacing, slope=zeros + 1.5, smooth=zeros + 1.5, tilt=None, waves=48
    )
    lit = (spots + 1.2 * rim > draws.uniform(1, 1, low=1.5, high=2.6)) & (rim > 0.0)
    lit = lit & draws.happens(0.7, 1, 1)
    content = torch.where(lit, draws.uniform(1, 1, low=0.8, high=1.1), content)
    return content.clamp(0.0, 1.2)


def _upright_or_flat(draws: Draws) -> Tensor:
    """(n,) directions in radians from the x axis: mostly near horizontal or vertical."""
    quarter = draws.integers(0, 1).to(torch.float32) * (math.pi / 2)
    return quarter + 0.35 * draws.normal()
