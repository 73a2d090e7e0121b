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

from velcodec.synth.draws import Draws
from velcodec.synth.fault_draws import draw_blocks, fault_depths, fault_velocities
from velcodec.synth.layered import Stack, stack_layers
from velcodec.synth.models import CELLS, Models, ramp

# Half a cell from an interface a logistic of this rate per cell is at 0.053 / 0.947, as measured.
EDGE = 5.77

# Shares of 2, 3 and 4 layers in set A: a third each in the published files, here leant towards the
# harder.
_LAYERS_A = (0.15, 0.33, 0.52)


@dataclass(frozen=True)
class Blocks:
    """B fault blocks of F edges each: inside where normal . (x, z) >= offset for every edge.

    normals (n, B, F, 2) and offsets (n, B, F) in cells, the fault itself first; slips (n, B, 2)
    cells (x, z), how far the block's rock has moved.

    In a block with a veil, the moved first layer shows halfway between the first two velocities
    below a level, as patches of the published sets do: below the unmoved depth `levels` (n, B),
    raised by `lifts` (n, B) within `veils` (n, B) cells of the fault; no veil where that is 0.
    """

    normals: Tensor
    offsets: Tensor
    slips: Tensor
    veils: Tensor
    levels: Tensor
    lifts: Tensor


@dataclass(frozen=True)
class Folds:
    """Parallel folds: depth (n, P) of a horizon, a sine of `amplitude` and `wavelength` (cells),
    `phase` (radians, at the middle) and a `tilt` (cells from the middle to the right edge); (n, 1).
    """

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
        fault = self._distance(x, z, block, 0)
        still = self._faulted(x, z, block + 1)
        moved_x, moved_z = x - slip[:, :1], z - slip[:, 1:]
        moved = self._faulted(moved_x, moved_z, block + 1)
        moved = moved.add_(self._veil(moved_x, moved_z, fault, block))
        walls = torch.minimum(self._distance(x, z, block, 1), self._distance(x, z, block, 2))
        inside = ramp(torch.minimum(fault, walls), EDGE)
        return still.add_(inside.mul_(moved.sub_(still)))

    def _veil(self, moved_x: Tensor, moved_z: Tensor, fault: Tensor, block: int) -> Tensor:
        """(n, P) velocity in m/s that a block's veil adds to the moved model."""
        veil = self.blocks.veils[:, block : block + 1]
        level = self.blocks.levels[:, block : block + 1]
        level = torch.where(fault < veil, level - self.blocks.lifts[:, block : block + 1], level)
        # Without a veil the level lies below everything.
        level = level + torch.where(veil > 0.0, 0.0, 1e4)
        below = ramp(moved_z - level, EDGE)
        above = ramp(self.stack.depths[:, :1] - self._depth(moved_x, moved_z), EDGE)
        return below.mul_(above).mul_(0.5 * self.stack.jumps[:, :1])

    def _distance(self, x: Tensor, z: Tensor, block: int, edge: int) -> Tensor:
        normal = self.blocks.normals[:, block, edge]
        return (x * normal[:, :1] - self.blocks.offsets[:, block, edge : edge + 1]).add(
            z * normal[:, 1:]
        )


def draw_faulted(draws: Draws, curved: bool, many: bool) -> FaultedModels:
    """FlatFault or CurveFault; set A has 2 to 4 layers and one fault, set B (`many`) 6 to 8 layers
    and two crossing faults.
    """
    layers = draws.integers(6, 8) if many else 2 + draws.choice(_LAYERS_A)
    most = 8 if many else 4
    depths = fault_depths(draws, layers, most)
    stack = stack_layers(fault_velocities(draws, layers, most), depths, EDGE)
    folds = _draw_folds(draws, many) if curved else None
    normals, offsets, slips, veils = draw_blocks(
        draws, 2 if many else 1, veiled=0.6 if curved else 1.0
    )
    levels = _first_crests(normals, offsets, depths, folds)
    lifts = slips[..., 1] * (0.4 if curved else 1.0)
    blocks = Blocks(normals, offsets, slips, veils, levels, lifts)
    return FaultedModels(draws.count, draws.device, stack, folds, blocks)


def _first_crests(normals: Tensor, offsets: Tensor, depths: Tensor, folds: Folds | None) -> Tensor:
    """(n, B) least depth in cells of the unmoved first interface, on each block's side."""
    first = depths[:, :1]
    if folds is None:
        return first.expand(-1, normals.shape[1])
    x = torch.linspace(0.0, CELLS, 36, device=depths.device)[None]
    depth = (first + folds.at(x))[:, None]
    side = normals[:, :, 0, :1] * x + normals[:, :, 0, 1:] * depth - offsets[:, :, :1]
    return torch.where(side > 0.0, depth, 2.0 * CELLS).amin(dim=2)


def _draw_folds(draws: Draws, short: bool) -> Folds:
    if short:
        amplitude = draws.uniform(1, low=2.0, high=6.0)
        wavelength = draws.uniform(1, low=22.0, high=45.0)
    else:
        amplitude = draws.uniform(1, low=4.0, high=9.5)
        wavelength = draws.uniform(1, low=50.0, high=68.0)
    sign = 1.0 - 2.0 * draws.integers(0, 1, 1).to(torch.float32)
    # Measured: either sign, but the middle always lies about 0.4 amplitudes deep.
    phase = sign * (0.42 + 0.2 * draws.normal(1))
    tilt = sign * draws.uniform(1, low=-1.0, high=8.0)
    return Folds(sign * amplitude, 2.0 * torch.pi / wavelength, phase, tilt)
