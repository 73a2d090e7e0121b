"""Smooth random content held on a grid of samples and read between them by cubic B-splines.

A gridded field with B-spline weights is a twice differentiable function of (x, z), so that every
rendering shows the same content. It never extrapolates: the grid reaches beyond the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.synth.draws import Draws

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
    draws: Draws,
    size: int,
    spacing: float,
    *,
    slope: Tensor,
    smooth: Tensor,
    stretch: Tensor | None = None,
    tilt: Tensor | None = None,
    waves: int | None = None,
) -> Tensor:
    """(n, size, size) random fields, mean 0, sd 1 over the grid, of amplitude spectrum
    f^-slope exp(-2 (pi f smooth)^2).

    `slope` and `smooth` (sd of the blur, cells) are (n,); `stretch` (n,) > 1 draws the field out
    along a direction `tilt` (n,) radians from the x axis. `waves` (even) keeps only the lowest
    waves / 2 of the grid's frequencies, which is cheaper. Periodic beyond the grid.
    """
    waves = size if waves is None else min(waves, size)
    span = size * spacing
    kz = torch.fft.fftfreq(waves, 1.0 / waves, device=draws.device)[:, None]
    kx = torch.fft.rfftfreq(waves, 1.0 / waves, device=draws.device)[None]
    along, across = kx[None] / span, kz[None] / span
    if tilt is not None:
        cos, sin = torch.cos(tilt)[:, None, None], torch.sin(tilt)[:, None, None]
        along, across = cos * along + sin * across, cos * across - sin * along
    if stretch is not None:
        root = stretch.sqrt()[:, None, None]
        along, across = along * root, across / root
    squared = along.square() + across.square()
    squared = squared.expand(draws.count, -1, -1).clamp(min=1e-6)
    gain = torch.log(squared).mul_(-0.5 * slope[:, None, None])
    gain = gain.sub_(2.0 * math.pi**2 * squared * smooth[:, None, None] ** 2).exp_()
    # No mean, and no Nyquist column or row, whose sine part a real grid does not have.
    gain = gain * ((kx.abs() < waves / 2) & (kz.abs() < waves / 2) & (kx.abs() + kz.abs() > 0))
    spectrum = torch.fft.rfft2(draws.noise(waves, waves)) * gain
    if waves < size:
        half = waves // 2
        padded = spectrum.new_zeros(draws.count, size, size // 2 + 1)
        padded[:, :half, :half] = spectrum[:, :half, :half]
        padded[:, -half:, :half] = spectrum[:, -half:, :half]
        spectrum = padded
    field: Tensor = torch.fft.irfft2(spectrum, s=(size, size))
    return field / field.square().mean(dim=(1, 2), keepdim=True).sqrt()


def blur(values: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur (periodic) of (n, size, size) by sigma (n,) grid samples."""
    size = values.shape[1]
    fz = torch.fft.fftfreq(size, device=values.device)[:, None]
    fx = torch.fft.rfftfreq(size, device=values.device)[None]
    gain = torch.exp(-2.0 * math.pi**2 * (fx**2 + fz**2) * sigma[:, None, None] ** 2)
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(values) * gain, s=(size, size))
    return blurred
