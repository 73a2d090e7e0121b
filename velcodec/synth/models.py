"""The base of all generated families: continuous models, evaluated at points or rendered on a grid.

Geometry inside this package is in cells of the 70 x 70 grid: x and z from 0 to 70 over the decoder
domain [-1, 1], sample i at i + 1/2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

CELLS = 70.0
"""Cells along each axis of the published grid; lengths in this package are in these cells."""

# Points evaluated at once. On a CPU intermediate results of this size stay in the cache, which is
# two to three times faster; on a GPU larger ones hide the cost of starting an operation.
_CHUNK_CPU, _CHUNK_GPU = 1 << 17, 1 << 21


def render_points(nz: int, nx: int, device: torch.device | str = "cpu") -> Tensor:
    """Points (x, z) in the decoder domain of an [nz, nx] grid, (nz * nx, 2) float32."""
    z = (2.0 * torch.arange(nz, device=device) + 1.0) / nz - 1.0
    x = (2.0 * torch.arange(nx, device=device) + 1.0) / nx - 1.0
    return torch.stack([x.repeat(nz), z.repeat_interleave(nx)], dim=1)


def ramp(distance: Tensor, rate: float) -> Tensor:
    """A smooth step from 0 (distance << 0) to 1, logistic with `rate` per cell; in place."""
    return distance.mul_(rate).sigmoid_()


def cut_rows(record: Any, rows: slice) -> Any:
    """A dataclass of per-model tensors, nested dataclasses and tuples, cut to the models in
    `rows`.
    """
    cut: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            cut[field.name] = value[rows]
        elif is_dataclass(value):
            cut[field.name] = cut_rows(value, rows)
        elif isinstance(value, tuple):
            cut[field.name] = tuple(cut_rows(one, rows) for one in value)
    return replace(record, **cut)


class Models(ABC):
    """A batch of generated models, each a continuous function of (x, z) with values in m/s.

    Families are frozen dataclasses of tensors with the models along the first axis.
    """

    count: int
    device: torch.device

    @abstractmethod
    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, P) velocity in m/s at cells x, z, each (1, P) or (n, P)."""

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
        chunk = _CHUNK_CPU if self.device.type == "cpu" else _CHUNK_GPU
        rows = max(1, chunk // max(1, x.shape[1]))
        if self.count <= rows:
            return self._velocity(x, z).expand(self.count, -1)
        parts = []
        for first in range(0, self.count, rows):
            part = slice(first, min(first + rows, self.count))
            own = (x, z) if shared else (x[part], z[part])
            chosen = replace(cut_rows(self, part), count=part.stop - first)
            parts.append(chosen._velocity(*own))
        return torch.cat(parts)

    def render(self, nz: int, nx: int) -> Tensor:
        """Velocity in m/s at cell centres, (n, nz, nx) float32, depth down."""
        return self.evaluate(render_points(nz, nx, self.device)).reshape(self.count, nz, nx)
