"""The local sampler in torch: rendering on a GPU, and gradients.

`velcodec.sampler.compiled` renders on a CPU, and needs no torch. Large models are worked on in
blocks with what lies around them, as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.formats.errors import InputDtypeError, InputShapeError
from velcodec.formats.sample_coding.stream import SamplerName
from velcodec.geometry import Float64
from velcodec.sampler.cell_average import Average, averaged, fine_shape
from velcodec.sampler.compiled import cell_positions
from velcodec.sampler.form import REACH, newest_sampler, sampler_of
from velcodec.sampler.network import SPLINE_REACH, Prepared, SamplerNetwork

BLOCK = 512
AROUND = max(REACH, SPLINE_REACH + 2)
"""Samples beyond a block that can change a value in it."""

POINTS_AT_ONCE = 1 << 17


@cache
def _network(name: SamplerName, dtype: torch.dtype, device: str) -> SamplerNetwork:
    network = SamplerNetwork.from_weights(sampler_of(name)).to(device, dtype)
    return network.requires_grad_(False)


def upsample(samples: Tensor, nz: int, nx: int) -> Tensor:
    """Models (..., nz', nx') rendered at (nz, nx) over the same extent, a differentiable function
    of the samples: any leading axes, float32 or float64, on their device.

    Values are not clamped to the samples' range, so that gradients pass everywhere, and are exact
    to the dtype's rounding: `Archive.decode` is clamped and exact. Memory grows with samples and
    points: for small models. Raises InputShapeError, InputDtypeError.
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
    network = _network(newest_sampler(), samples.dtype, str(samples.device))
    found: Tensor = network(network.prepare(samples), _grid_cells(samples, nz, nx))
    return found.reshape(*leading, nz, nx)


def _grid_cells(samples: Tensor, nz: int, nx: int) -> Tensor:
    z = torch.as_tensor(cell_positions(samples.shape[1], nz)).to(samples)
    x = torch.as_tensor(cell_positions(samples.shape[2], nx)).to(samples)
    cells = torch.stack([x.repeat(nz), z.repeat_interleave(nx)], dim=-1)
    return cells.expand(len(samples), -1, -1)


class TorchField:
    """The continuous field of samples (nz, nx), in their units, float64 on a device; as
    `velcodec.sampler.compiled.SampledField`.
    """

    def __init__(
        self, samples: NDArray[np.generic], sampler: SamplerName, device: torch.device | str
    ) -> None:
        self.samples = torch.as_tensor(np.ascontiguousarray(samples, np.float64), device=device)
        self.least, self.most = self.samples.min(), self.samples.max()
        self.network = _network(sampler, torch.float64, str(device))

    @torch.no_grad()
    def grid(self, nz: int, nx: int) -> Tensor:
        """Values (nz, nx) at the centres of as many cells over the same extent."""
        cells = _grid_cells(self.samples[None], nz, nx)[0]
        return self.points(cells).reshape(nz, nx)

    def averages(self, nz: int, nx: int, average: Average, place: str) -> Tensor:
        """Values (nz, nx) as `velcodec.sampler.cell_average` says; `place` is named by the OptionError of
        a slowness that is none.
        """
        if average == "none":
            return self.grid(nz, nx)
        rows, columns = self.samples.shape
        along = fine_shape((rows, columns), (nz, nx))
        fine = self.grid(nz * along[0], nx * along[1])
        found: Tensor = averaged(fine, along, average, place)
        return found.clamp(self.least, self.most)

    @torch.no_grad()
    def points(self, cells: Tensor) -> Tensor:
        """Values (P,) at points (x, z) in cells, (P, 2)."""
        out = torch.empty(len(cells)).to(cells)
        for chosen, prepared, moved in self._parts(cells):
            out[chosen] = self.network(prepared, moved[None])[0]
        return out.clamp(self.least, self.most)

    def gradient(self, cells: Float64) -> Float64:
        """Derivatives (P, 2) by x and z, per cell; zero where the field is held at an end of its
        range.
        """
        wanted = torch.as_tensor(cells, device=self.samples.device)
        out = torch.zeros_like(wanted)
        for chosen, prepared, moved in self._parts(wanted):
            at = moved.clone().requires_grad_()
            with torch.enable_grad():
                values = self.network(prepared, at[None])[0]
                (slope,) = torch.autograd.grad(values.sum(), at)
            inside = (values.detach() >= self.least) & (values.detach() <= self.most)
            out[chosen] = slope * inside[:, None]
        return out.cpu().numpy()

    def _parts(self, cells: Tensor) -> Iterator[tuple[Tensor, Prepared, Tensor]]:
        """Numbers of points that lie in one block, what the network makes of its samples, and the
        points in its cells.
        """
        nz, nx = self.samples.shape
        block = (cells - 0.5).floor().clamp(min=0).long() // BLOCK
        for top in range(0, nz, BLOCK):
            for left in range(0, nx, BLOCK):
                own = (block[:, 0] == left // BLOCK) & (block[:, 1] == top // BLOCK)
                (numbers,) = torch.nonzero(own, as_tuple=True)
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
