"""FlatFault and CurveFault: layers cut into blocks that slipped along straight faults.

A block is the intersection of half-planes; inside it one sees the unfaulted model moved by the
block's slip. Blocks apply youngest first. Edges are smooth ramps about a cell wide, which at 70 x 70
show the 1 to 2 blended pixels of the published sets. It draws straight faults only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import Draws
from .layered import HIGH, LOW, Stack, curve, select, stack_layers
from .models import CELLS, Models, ramp

# A smooth ramp this wide gives 0.05 / 0.95 at half a cell from an interface, as measured.
EDGE = 0.69
_EVERYWHERE = 1e4


@dataclass(frozen=True)
class Blocks:
    """B fault blocks of F edges each: inside where normal . (x, z) >= offset for every edge.

    normals (n, B, F, 2) unit vectors, offsets (n, B, F) cells, slips (n, B, 2) cells (x, z), how
    far the block's rock has moved.
    """

    normals: Tensor
    offsets: Tensor
    slips: Tensor


@dataclass(frozen=True)
class FaultedModels(Models):
    """Layers (`stack` under the relief `nodes`, or flat) cut by `blocks`."""

    count: int
    device: torch.device
    stack: Stack
    nodes: Tensor | None
    blocks: Blocks

    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        return self._faulted(x, z, 0)

    def _faulted(self, x: Tensor, z: Tensor, block: int) -> Tensor:
        if block == self.blocks.slips.shape[1]:
            depth = z if self.nodes is None else z - curve(self.nodes, x)
            return self.stack.at(depth)
        inside = self._inside(x, z, block)
        slip = self.blocks.slips[:, block]
        moved_x = (
            x
            if self.nodes is None and block + 1 == self.blocks.slips.shape[1]
            else (x - slip[:, :1])
        )
        moved = self._faulted(moved_x, z - slip[:, 1:], block + 1)
        still = self._faulted(x, z, block + 1)
        return still + inside * (moved - still)

    def _inside(self, x: Tensor, z: Tensor, block: int) -> Tensor:
        nearest: Tensor | None = None
        for edge in range(self.blocks.offsets.shape[2]):
            normal = self.blocks.normals[:, block, edge]
            distance = x * normal[:, :1] + z * normal[:, 1:]
            distance = distance - self.blocks.offsets[:, block, edge : edge + 1]
            nearest = distance if nearest is None else torch.minimum(nearest, distance)
        assert nearest is not None
        return ramp(nearest, EDGE)

    def _select(self, rows: slice) -> FaultedModels:
        cut = select(self, rows)
        return FaultedModels(**{**cut, "count": cut["stack"].top.shape[0]})  # type: ignore


def _line(x: Tensor, z: Tensor, lean: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Half-plane right (side +1) or left (-1) of the line through (x, z), `lean` radians from the
    vertical, positive leaning to greater x with depth.
    """
    normal = torch.stack([torch.cos(lean), -torch.sin(lean)], dim=-1) * side[..., None]
    return normal, normal[..., 0] * x + normal[..., 1] * z


def draw_faulted(draws: Draws, curved: bool, many: bool) -> FaultedModels:
    """FlatFault or CurveFault; set A has 2 to 4 layers and few faults, set B (`many`) 6 to 8."""
    layers = draws.integers(6, 8) if many else draws.integers(2, 4)
    most = 8 if many else 4
    mean_gap = CELLS / layers.to(torch.float32)[:, None]
    gaps = mean_gap * (1.0 + draws.uniform(most - 1, low=-0.13, high=0.18))
    depths = gaps.cumsum(dim=1).round()
    velocities = _fault_velocities(draws, layers, most)
    blocks = _draw_blocks(draws, 3 if many else 1)
    nodes = None
    if curved:
        nodes = draws.uniform(8, low=-0.5, high=0.5) * mean_gap
    stack = stack_layers(velocities, depths, EDGE)
    return FaultedModels(draws.count, draws.device, stack, nodes, blocks)


def _fault_velocities(draws: Draws, layers: Tensor, most: int) -> Tensor:
    """Ascending velocities, the upper half of the layers from U[1500, 3000], the lower half from
    U[3000, 4500], as measured on the 4-layer set.
    """
    middle = (LOW + HIGH) / 2.0
    index = torch.arange(most, device=draws.device)
    deep = index >= ((layers + 1) // 2)[:, None]
    value = draws.uniform(most, low=LOW, high=middle) + deep * (middle - LOW)
    value = torch.where(index < layers[:, None], value.round(), HIGH + 1.0).sort(dim=1).values
    return value.gather(1, torch.minimum(index, layers[:, None] - 1))


def _draw_blocks(draws: Draws, count: int) -> Blocks:
    side = 1.0 - 2.0 * draws.integers(0, 1, count).to(torch.float32)
    lean = draws.uniform(count, low=-1.0, high=1.0) * math.radians(60.0)
    x, z = draws.uniform(count, low=5.0, high=65.0), draws.uniform(count, low=15.0, high=60.0)
    main = _line(x, z, lean, side)
    # The far edge of the block: nearly vertical, often outside the grid.
    reach = draws.uniform(count, low=0.0, high=90.0)
    far = _line(x + side * reach, z, draws.uniform(count, low=-0.08, high=0.08), -side)
    throw = draws.uniform(count, low=3.0, high=15.0)
    throw = throw * (1.0 - 2.0 * draws.integers(0, 1, count).to(torch.float32))
    slip = torch.stack([throw * torch.tan(lean) * 0.0, throw], dim=-1)
    normals = torch.stack([main[0], far[0]], dim=2)
    return Blocks(normals, torch.stack([main[1], far[1]], dim=2), slip)
