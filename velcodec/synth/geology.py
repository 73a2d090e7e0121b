"""Geology: a broader family, so that a decoder is not tied to one benchmark."""

from __future__ import annotations

import torch

from .draws import Draws
from .fields import MARGIN, Gridded, grid_axis, spectral
from .models import CELLS
from .style import GriddedModels


def draw_geology(draws: Draws) -> GriddedModels:
    """Depth gradient, thin dipping layers and a salt-like blob, on a half-cell grid."""
    spacing = 0.5
    size = round(CELLS / spacing) + 2 * MARGIN
    n = draws.count
    ones = torch.ones(n, device=draws.device)
    axis = grid_axis(size, spacing, draws.device)
    dip = torch.tan(draws.uniform(1, 1, low=-0.5, high=0.5))
    relief = 6.0 * spectral(draws, size, spacing, slope=2.5 * ones, smooth=3.0 * ones, waves=32)
    u = axis[:, None] + dip * (axis - CELLS / 2) + relief * draws.uniform(1, 1)
    wobble = torch.zeros(n, size, size, device=draws.device)
    for _ in range(6):
        wobble = wobble + draws.normal(1, 1) * (u > draws.uniform(1, 1, low=0.0, high=CELLS))
    value = u / CELLS * draws.uniform(1, 1, low=0.0, high=3.0) + wobble
    low, high = value.amin(dim=(1, 2), keepdim=True), value.amax(dim=(1, 2), keepdim=True)
    value = (value - low) / (high - low)
    salt = spectral(draws, size, spacing, slope=2.2 * ones, smooth=2.0 * ones, waves=48)
    salt = (salt > draws.uniform(1, 1, low=0.8, high=1.5)) & draws.happens(0.3, 1, 1)
    value = torch.where(salt, draws.uniform(1, 1, low=0.7, high=1.5), value)
    bottom = draws.uniform(1, 1, low=1000.0, high=3000.0)
    return GriddedModels(
        n,
        draws.device,
        Gridded(bottom + value * draws.uniform(1, 1, low=200.0, high=3000.0), spacing),
    )
