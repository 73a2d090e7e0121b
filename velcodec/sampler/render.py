"""The local sampler in torch: rendering on a GPU, and gradients.

`velcodec.sampler.compiled` renders on a CPU without torch. Large models are processed in blocks
with a margin, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.formats.arrays import Float64
from velcodec.formats.errors import InputDtypeError, InputShapeError
from velcodec.sampler.cell_average import Average, averaged, fine_shape
from velcodec.sampler.compiled import cell_positions
from velcodec.sampler.form import NEWEST_SAMPLER, REACH, sampler_of
from velcodec.sampler.network import SPLINE_REACH, Prepared, SamplerNetwork, StoredNetwork

BLOCK = 512
AROUND = max(REACH, SPLINE_REACH + 2)
"""Samples beyond a block that can change a value in it."""

POINTS_AT_ONCE = 1 << 17


@cache
def _network(number: int, dtype: torch.dtype, device: str) -> SamplerNetwork:
    network = SamplerNetwork.from_weights(sampler_of(number)).to(device, dtype)
    return network.requires_grad_(False)


def upsample(samples: Tensor, nz: int, nx: int) -> Tensor:
    """Models (..., nz', nx') rendered at (nz, nx) over the same extent, differentiable in the
    samples, float32 or float64, on their device.

    Values are not clamped to the samples' range, so that gradients pass everywhere, and are
    accurate to the dtype's rounding; `Archive.decode` clamps and is exact. For small models: memory
    grows with samples and points. Raises InputShapeError, InputDtypeError.
    """
    if not isinstance(samples, Tensor) or not samples.is_floating_point():
        found_type = getattr(samples, "dtype", type(samples).__name__)
        raise InputDtypeError(f"samples: found {found_type}, expected a float tensor")
    if samples.ndim < 2 or 0 in samples.shape or min(nz, nx) < 1:
        raise InputShapeError(
            f"samples: found shape {tuple(samples.shape)} for {nz} x {nx}, expected (..., nz, nx)"
        )
    leading = samples.shape[:-2]
    samples = samples.reshape(-1, *samples.shape[-2:])
    network = _network(NEWEST_SAMPLER, samples.dtype, str(samples.device))
    values: Tensor = network(network.prepare(samples), _grid_cells(samples, nz, nx))
    return values.reshape(*leading, nz, nx)


def _grid_cells(samples: Tensor, nz: int, nx: int) -> Tensor:
    z = torch.as_tensor(cell_positions(samples.shape[1], nz)).to(samples)
    x = torch.as_tensor(cell_positions(samples.shape[2], nx)).to(samples)
    cells = torch.stack([x.repeat(nz), z.repeat_interleave(nx)], dim=-1)
    return cells.expand(len(samples), -1, -1)


class TorchPoints:
    """A field of samples at points, clamped to their range: what sections and volumes share."""

    least: Tensor
    most: Tensor
    network: StoredNetwork[Any]

    @torch.no_grad()
    def points(self, cells: Tensor) -> Tensor:
        """Values (P,) at points (x, z), or (x, y, z), in cells, (P, axes)."""
        out = torch.empty(len(cells)).to(cells)
        for chosen, prepared, moved in self._parts(cells):
            out[chosen] = self.network(prepared, moved[None])[0]
        return out.clamp(self.least, self.most)

    def gradient(self, cells: Float64) -> Float64:
        """Derivatives (P, axes) by each axis, per cell, at the points of `points`; zero where the
        field is clamped to its range.
        """
        points = torch.as_tensor(cells, device=self.least.device)
        out = torch.zeros_like(points)
        for chosen, prepared, moved in self._parts(points):
            at = moved.clone().requires_grad_()
            with torch.enable_grad():
                values = self.network(prepared, at[None])[0]
                (slope,) = torch.autograd.grad(values.sum(), at)
            inside = (values.detach() >= self.least) & (values.detach() <= self.most)
            out[chosen] = slope * inside[:, None]
        return out.cpu().numpy()

    def _parts(self, cells: Tensor) -> Iterator[tuple[Tensor, Any, Tensor]]:
        """For each block: the numbers of its points, its prepared samples, and the points in its
        cells.
        """
        raise NotImplementedError


class TorchField(TorchPoints):
    """The continuous field of samples (nz, nx), in their units, in float64 on a device; like
    `velcodec.sampler.compiled.SampledField`.
    """

    def __init__(
        self, samples: NDArray[np.generic], sampler: int, device: torch.device | str
    ) -> None:
        self.samples = torch.as_tensor(np.ascontiguousarray(samples, np.float64), device=device)
        self.least, self.most = self.samples.min(), self.samples.max()
        self.network: SamplerNetwork = _network(sampler, torch.float64, str(device))

    @torch.no_grad()
    def grid(self, nz: int, nx: int) -> Tensor:
        """Values (nz, nx) at the cell centres of a grid over the same extent."""
        cells = _grid_cells(self.samples[None], nz, nx)[0]
        return self.points(cells).reshape(nz, nx)

    def averages(self, nz: int, nx: int, average: Average, place: str) -> Tensor:
        """Values (nz, nx) as in `cell_average`. Raises OptionError, naming `place`, for the
        slowness of velocities that are not positive.
        """
        if average == "none":
            return self.grid(nz, nx)
        rows, columns = self.samples.shape
        along = fine_shape((rows, columns), (nz, nx))
        fine = self.grid(nz * along[0], nx * along[1])
        means: Tensor = averaged(fine, along, average, place)
        return means.clamp(self.least, self.most)

    def _parts(self, cells: Tensor) -> Iterator[tuple[Tensor, Prepared, Tensor]]:
        nz, nx = self.samples.shape
        block = (cells - 0.5).floor().clamp(min=0).long() // BLOCK
        for top in range(0, nz, BLOCK):
            for left in range(0, nx, BLOCK):
                inside = (block[:, 0] == left // BLOCK) & (block[:, 1] == top // BLOCK)
                (numbers,) = torch.nonzero(inside, as_tuple=True)
                if not len(numbers):
                    continue
                z0, x0 = max(top - AROUND, 0), max(left - AROUND, 0)
                bottom, right = top + BLOCK + 1 + AROUND, left + BLOCK + 1 + AROUND
                with torch.no_grad():
                    part = self.samples[None, z0:bottom, x0:right]
                    prepared = self.network.prepare(part, (self.most - self.least)[None])
                start = torch.tensor([x0, z0]).to(cells)
                for chosen in numbers.split(POINTS_AT_ONCE):
                    yield chosen, prepared, cells[chosen] - start
