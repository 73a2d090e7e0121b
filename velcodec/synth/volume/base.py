"""Volumes: continuous functions of (x, y, z), evaluated at points or rendered on a grid.

Tensors are only added, multiplied, divided and compared, which IEEE 754 rounds in one way; what
needs more (angles, logarithms) is computed once per volume in Python. A rendering has therefore the
same bytes on any number of threads. Lengths are in cells, 70 along each axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.synth.models import CELLS

_AT_ONCE = 1 << 18
"""Samples computed together, so that intermediate results stay in a CPU's cache."""

RAMP = 0.7
"""Half the width in cells of a smooth step; half a cell from its middle it is 0.056 or 0.944, as
`faulted.EDGE` gives it in two dimensions."""


class Volume(ABC):
    """One generated volume: velocity in m/s at any (x, y, z)."""

    @abstractmethod
    def velocity(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Velocity in m/s at cells x, y, z, float32 tensors that broadcast."""


@dataclass(frozen=True)
class Volumes:
    """A batch of generated volumes."""

    each: tuple[Volume, ...]
    device: torch.device

    def __len__(self) -> int:
        return len(self.each)

    def evaluate(self, points: Tensor) -> Tensor:
        """Velocity in m/s, (n, P) float32, at points (x, y, z) of [-1, 1]^3.

        `points` is (P, 3), shared by all volumes, or (n, P, 3). Raises ValueError for another
        shape.
        """
        if points.ndim not in (2, 3) or points.shape[-1] != 3:
            raise ValueError(f"points: expected (P, 3) or (n, P, 3), found {tuple(points.shape)}")
        if points.ndim == 3 and len(points) != len(self):
            raise ValueError(f"points: expected {len(self)} volumes, found {len(points)}")
        cells = (points.to(self.device, torch.float32) + 1.0) * (CELLS / 2.0)
        own: Iterable[Tensor] = cells if points.ndim == 3 else [cells] * len(self)
        values = [
            volume.velocity(*at.T.contiguous()).expand(len(at))
            for volume, at in zip(self.each, own, strict=True)
        ]
        return torch.stack(values)

    def render(self, nz: int, ny: int, nx: int) -> Tensor:
        """Velocity in m/s at cell centres, (n, nz, ny, nx) float32, depth down."""
        z, y, x = (cell_centres(cells, self.device) for cells in (nz, ny, nx))
        x, y, z = x[None, None], y[None, :, None], z[:, None, None]
        out = torch.empty(len(self), nz, ny, nx, device=self.device)
        rows = max(1, _AT_ONCE // (ny * nx))
        for values, volume in zip(out, self.each, strict=True):
            for top in range(0, nz, rows):
                values[top : top + rows] = volume.velocity(x, y, z[top : top + rows])
        return out


def cell_centres(cells: int, device: torch.device) -> Tensor:
    """(cells,) positions in cells of the generator of the centres of a grid's cells."""
    return (torch.arange(cells, device=device) + 0.5) * (CELLS / cells)


def step(distance: Tensor, width: float = RAMP) -> Tensor:
    """A smooth step from 0 at -width to 1 at width, a cubic."""
    t = (distance * (0.5 / width) + 0.5).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def sine(turns: Tensor) -> Tensor:
    """The sine of `turns`, 1 being a period, within 2e-4."""
    t = turns - (turns + 0.5).floor()
    p = (0.25 - (t.abs() - 0.25).abs()) * 6.2831853
    q = p * p
    return p * (1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q / 5040.0))) * t.sign()


@dataclass(frozen=True)
class Lattice:
    """A random field: cubic B-spline coefficients `values` along (z, y, x) or (y, x), `spacing`
    cells apart along each axis. Beyond the volume by more than the margin it is constant.
    """

    values: Tensor
    spacing: tuple[float, ...]

    def at(self, *positions: Tensor) -> Tensor:
        """Values at cells (x, y, z) or (x, y), tensors that broadcast.

        Sums run along x, then y, then z, whether positions are a grid's axes or points, so that
        both give the same bits.
        """
        taps = [
            _taps(position, spacing, size)
            for position, spacing, size in zip(
                positions, reversed(self.spacing), reversed(self.values.shape), strict=True
            )
        ]
        if _are_axes(positions):
            total = self.values
            for number, (first, weights) in enumerate(taps):
                axis = self.values.ndim - 1 - number
                size = [1] * self.values.ndim
                size[axis] = -1
                parts = [
                    total.index_select(axis, first.reshape(-1) + k) * weight.reshape(size)
                    for k, weight in enumerate(weights)
                ]
                total = _sum(parts)
            return total
        return self._gathered(taps, self.values.reshape(-1))

    def _gathered(self, taps: Sequence[tuple[Tensor, list[Tensor]]], flat: Tensor) -> Tensor:
        strides = list(reversed(self.values.stride()))

        def along(axis: int, place: Tensor | int) -> Tensor:
            first, weights = taps[axis]
            parts = []
            for k, weight in enumerate(weights):
                inner = place + (first + k) * strides[axis]
                value = flat[inner] if axis == 0 else along(axis - 1, inner)
                parts.append(value * weight)
            return _sum(parts)

        return along(len(taps) - 1, 0)


MARGIN = 2
"""Coefficients of a lattice beyond the volume on every side."""


def lattice_size(spacing: float) -> int:
    """Coefficients of a lattice along an axis."""
    return int(-(-CELLS // spacing)) + 1 + 2 * MARGIN


def _taps(position: Tensor, spacing: float, size: int) -> tuple[Tensor, list[Tensor]]:
    """The first of four coefficients at a position, and their weights."""
    place = (position / spacing + MARGIN).clamp(1.0, size - 2.001)
    base = place.floor()
    t = place - base
    s = 1.0 - t
    weights = [
        s * s * s / 6.0,
        (4.0 + t * t * (3.0 * t - 6.0)) / 6.0,
        (4.0 + s * s * (3.0 * s - 6.0)) / 6.0,
        t * t * t / 6.0,
    ]
    return base.to(torch.int64) - 1, weights


def _are_axes(positions: Sequence[Tensor]) -> bool:
    """Whether positions are those of a grid: each varies along its own axis alone."""
    return all(
        p.ndim == len(positions) and p.numel() == p.shape[len(positions) - 1 - number]
        for number, p in enumerate(positions)
    )


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
