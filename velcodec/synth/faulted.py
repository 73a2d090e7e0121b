"""FlatFault and CurveFault: layers cut into blocks that slipped along straight faults.

A block is the rock on one side of a fault, between two steep side walls; inside it one sees the
unfaulted model moved by the block's slip, which runs along the fault. Blocks apply youngest first.
Edges are smooth ramps about a cell wide, which at 70 x 70 show the 1 to 2 blended pixels of the
published sets. It draws straight faults only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import Draws
from .fault_draws import draw_blocks, fault_depths, fault_velocities
from .layered import Stack, select, stack_layers
from .models import Models, ramp

# A smooth ramp this wide gives 0.05 / 0.95 at half a cell from an interface, as measured.
EDGE = 0.69

# Shares of 2, 3 and 4 layers in set A: a third each in the published files; leant towards the harder.
_LAYERS_A = (0.25, 0.3, 0.45)


@dataclass(frozen=True)
class Blocks:
    """B fault blocks of F edges each: inside where normal . (x, z) >= offset for every edge.

    normals (n, B, F, 2) and offsets (n, B, F) in cells, the fault itself first; slips (n, B, 2)
    cells (x, z), how far the block's rock has moved. Within a layer of rock about the first
    interface of a block, `veils` (n, B) cells from the fault, only half of the moved model is seen
    (0: none), as in the published sets.
    """

    normals: Tensor
    offsets: Tensor
    slips: Tensor
    veils: Tensor


@dataclass(frozen=True)
class Folds:
    """Parallel folds: depth (n, P) of a horizon, a sine of `amplitude` and `wavelength` (cells),
    `phase` (radians, at the middle) and a `tilt` (cells from the middle to the right edge); (n, 1)."""

    amplitude: Tensor
    wavenumber: Tensor
    phase: Tensor
    tilt: Tensor

    def at(self, x: Tensor) -> Tensor:
        """(n, P) depth in cells at x, (1, P) or (n, P)."""
        centred = x - 35.0
        wave = torch.sin(centred * self.wavenumber + self.phase)
        return wave.mul_(self.amplitude).add_(centred * (self.tilt / 35.0))


@dataclass(frozen=True)
class FaultedModels(Models):
    """Layers (`stack` under the folds, or flat) cut by `blocks`."""

    count: int
    device: torch.device
    stack: Stack
    folds: Folds | None
    blocks: Blocks

    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        return self._faulted(x, z, 0)

    def _depth(self, x: Tensor, z: Tensor) -> Tensor:
        return z if self.folds is None else z - self.folds.at(x)

    def _faulted(self, x: Tensor, z: Tensor, block: int) -> Tensor:
        if block == self.blocks.slips.shape[1]:
            return self.stack.at(self._depth(x, z))
        slip = self.blocks.slips[:, block]
        still = self._faulted(x, z, block + 1)
        moved = self._faulted(x - slip[:, :1], z - slip[:, 1:], block + 1)
        return still.add_(self._inside(x, z, block).mul_(moved.sub_(still)))

    def _inside(self, x: Tensor, z: Tensor, block: int) -> Tensor:
        """(n, P) share of the moved model in what is seen, 0 to 1."""
        fault = self._distance(x, z, block, 0)
        walls = torch.minimum(self._distance(x, z, block, 1), self._distance(x, z, block, 2))
        inside = ramp(torch.minimum(fault, walls), EDGE)
        veil = self.blocks.veils[:, block : block + 1]
        shallow = self._depth(x, z) < self.stack.depths[:, :1] + 0.7 * (
            self.stack.depths[:, 1:2] - self.stack.depths[:, :1]
        )
        beyond = ramp(torch.minimum(fault.sub_(veil), walls), EDGE)
        return torch.where(shallow & (veil > 0.0), 0.5 * (inside + beyond), inside)

    def _distance(self, x: Tensor, z: Tensor, block: int, edge: int) -> Tensor:
        normal = self.blocks.normals[:, block, edge]
        return (x * normal[:, :1] - self.blocks.offsets[:, block, edge : edge + 1]).add(
            z * normal[:, 1:]
        )

    def _select(self, rows: slice) -> FaultedModels:
        cut = select(self, rows)
        return FaultedModels(**{**cut, "count": cut["stack"].top.shape[0]})  # type: ignore


def draw_faulted(draws: Draws, curved: bool, many: bool) -> FaultedModels:
    """FlatFault or CurveFault; set A has 2 to 4 layers and one fault, set B (`many`) 6 to 8 layers
    and two crossing faults."""
    layers = draws.integers(6, 8) if many else 2 + draws.choice(_LAYERS_A)
    most = 8 if many else 4
    depths = fault_depths(draws, layers, most)
    stack = stack_layers(fault_velocities(draws, layers, most), depths, EDGE)
    blocks = Blocks(*draw_blocks(draws, 2 if many else 1))
    folds = _draw_folds(draws, many) if curved else None
    return FaultedModels(draws.count, draws.device, stack, folds, blocks)


def _draw_folds(draws: Draws, short: bool) -> Folds:
    if short:
        amplitude = draws.uniform(1, low=2.0, high=6.0)
        wavelength = draws.uniform(1, low=22.0, high=45.0)
    else:
        amplitude = draws.uniform(1, low=4.5, high=10.5)
        wavelength = draws.uniform(1, low=50.0, high=68.0)
    sign = 1.0 - 2.0 * draws.integers(0, 1, 1).to(torch.float32)
    # Measured: either sign, but the middle always lies about 0.4 amplitudes deep.
    phase = sign * (0.42 + 0.2 * draws.normal(1))
    tilt = sign * draws.uniform(1, low=-1.0, high=8.0)
    return Folds(sign * amplitude, 2.0 * torch.pi / wavelength, phase, tilt)
