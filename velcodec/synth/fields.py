"""Smooth random content held on a grid of samples and read between them by cubic B-splines.

A gridded field with B-spline weights is a twice differentiable function of (x, z), so that every
rendering shows the same content. It never extrapolates: the grid reaches beyond the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import Draws

MARGIN = 4
"""Grid cells beyond the model on every side."""


@dataclass(frozen=True)
class Gridded:
    """Coefficients (n, size, size) of a cubic B-spline, [z, x], `spacing` cells apart; coefficient
    (i, j) lies at (i + 1/2 - MARGIN) spacing.
    """

    values: Tensor
    spacing: float

    def at(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, P) values at cells x, z, each (1, P) or (n, P)."""
        n, size = self.values.shape[0], self.values.shape[1]
        first_x, weights_x = _weights(x / self.spacing - 0.5 + MARGIN, size)
        first_z, weights_z = _weights(z / self.spacing - 0.5 + MARGIN, size)
        flat = self.values.reshape(n, size * size)
        total: Tensor | None = None
        for i in range(4):
            line: Tensor | None = None
            for j in range(4):
                place = ((first_z + i) * size + (first_x + j)).expand(n, -1)
                tap = flat.gather(1, place) * weights_x[j]
                line = tap if line is None else line + tap
            assert line is not None
            line = line * weights_z[i]
            total = line if total is None else total + line
        assert total is not None
        return total


def _weights(position: Tensor, size: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """First of the four coefficients at grid `position` and the four cubic B-spline weights."""
    base = position.floor().clamp(1, size - 3)
    t = position - base
    s = 1.0 - t
    weights = (
        s * s * s / 6.0,
        (4.0 + t * t * (3.0 * t - 6.0)) / 6.0,
        (4.0 + s * s * (3.0 * s - 6.0)) / 6.0,
        t * t * t / 6.0,
    )
    return base.to(torch.int64) - 1, weights


def grid_axis(size: int, spacing: float, device: torch.device) -> Tensor:
    """(size,) positions in cells of the grid's samples along either axis."""
    return (torch.arange(size, device=device) + 0.5 - MARGIN) * spacing


def spectral(
    draws: Draws, size: int, spacing: float, slope: Tensor, smooth: Tensor, aspect: Tensor
) -> Tensor:
    """(n, size, size) random fields, mean 0, sd 1 over the grid, amplitude spectrum
    f^-slope exp(-(pi f smooth)^2 2); `slope`, `smooth` (cells), `aspect` (> 1: flat) are (n,).
    """
    noise = draws.normal(size, size)
    fz = torch.fft.fftfreq(size, spacing, device=draws.device)[:, None]
    fx = torch.fft.rfftfreq(size, spacing, device=draws.device)[None]
    stretch = aspect.sqrt()[:, None, None]
    squared = (fx * stretch) ** 2 + (fz / stretch) ** 2
    squared[:, 0, 0] = 1.0
    log_gain = -0.5 * slope[:, None, None] * torch.log(squared)
    log_gain = log_gain - 2.0 * math.pi**2 * squared * smooth[:, None, None] ** 2
    gain = torch.exp(log_gain)
    gain[:, 0, 0] = 0.0
    field = torch.fft.irfft2(torch.fft.rfft2(noise) * gain, s=(size, size))
    return field / field.square().mean(dim=(1, 2), keepdim=True).sqrt()


def blur(values: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur (periodic) of (n, size, size) by sigma (n,) grid samples."""
    size = values.shape[1]
    fz = torch.fft.fftfreq(size, device=values.device)[:, None]
    fx = torch.fft.rfftfreq(size, device=values.device)[None]
    gain = torch.exp(-2.0 * math.pi**2 * (fx**2 + fz**2) * sigma[:, None, None] ** 2)
    return torch.fft.irfft2(torch.fft.rfft2(values) * gain, s=(size, size))
