"""What every generated family shares: continuous models, evaluated at points or rendered on a grid.

Geometry inside this package is in cells of the 70 x 70 grid: x and z from 0 to 70 over the decoder
domain [-1, 1], sample i at i + 1/2. It never reads or writes files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

CELLS = 70.0
"""Cells along each axis of the published grid; lengths in this package are in these cells."""

_CHUNK = 1 << 21


def render_points(nz: int, nx: int, device: torch.device | str = "cpu") -> Tensor:
    """Points (x, z) in the decoder domain of an [nz, nx] grid, (nz * nx, 2) float32."""
    z = (2.0 * torch.arange(nz, device=device) + 1.0) / nz - 1.0
    x = (2.0 * torch.arange(nx, device=device) + 1.0) / nx - 1.0
    return torch.stack([x.repeat(nz), z.repeat_interleave(nx)], dim=1)


def ramp(distance: Tensor, rate: float) -> Tensor:
    """A smooth step from 0 (distance << 0) to 1, logistic with `rate` per cell; in place."""
    return distance.mul_(rate).sigmoid_()


class Models(ABC):
    """A batch of generated models, each a continuous function of (x, z) with values in m/s."""

    count: int
    device: torch.device

    @abstractmethod
    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, P) velocity in m/s at cells x, z, each (1, P) or (n, P)."""

    @abstractmethod
    def _select(self, rows: slice) -> Models:
        """The models in `rows` of the batch."""

    def __len__(self) -> int:
        return self.count

    def evaluate(self, points: Tensor) -> Tensor:
        """Velocity in m/s, (n, P) float32, at points (x, z) of the decoder domain.

        `points` is (P, 2), shared by all models, or (n, P, 2). Raises ValueError for another shape.
        """
        shared = points.ndim == 2
        if points.shape[-1:] != (2,) or points.ndim not in (2, 3):
            raise ValueError(f"points: expected (P, 2) or (n, P, 2), found {tuple(points.shape)}")
        if not shared and points.shape[0] != self.count:
            raise ValueError(f"points: expected {self.count} models, found {points.shape[0]}")
        cells = (points.to(self.device, torch.float32) + 1.0) * (CELLS / 2.0)
        x, z = cells[..., 0], cells[..., 1]
        x, z = (x[None], z[None]) if shared else (x, z)
        rows = max(1, _CHUNK // max(1, x.shape[1]))
        if self.count <= rows:
            return self._velocity(x, z).expand(self.count, -1)
        parts = []
        for first in range(0, self.count, rows):
            part = slice(first, min(first + rows, self.count))
            own = (x, z) if shared else (x[part], z[part])
            parts.append(self._select(part)._velocity(*own))
        return torch.cat(parts)

    def render(self, nz: int, nx: int) -> Tensor:
        """Velocity in m/s at cell centres, (n, nz, nx) float32, depth down."""
        return self.evaluate(render_points(nz, nx, self.device)).reshape(self.count, nz, nx)
