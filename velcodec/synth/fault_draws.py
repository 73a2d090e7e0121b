"""Random faults, layer depths and layer velocities of the FlatFault and CurveFault families.

The distributions were measured by fitting fault blocks to published models (docs/generator.md).
Lengths are in cells of the 70 x 70 grid. Nothing is evaluated here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.synth.draws import Draws
from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.models import CELLS

# Kinds of fault, by the side that moved and its direction: measured shares, then uniform ranges of
# the fault's angle from the vertical (degrees) and of its crossing with the middle depth (cells
# from the edge of the grid on the side that stayed). Negative angles lean away from the block with
# depth, so that the block is the rock below the fault.
KINDS = (
    # share, moves up, angle from .. to, crossing from .. to
    (0.37, True, -64.0, -20.0, 6.0, 72.0),
    (0.07, True, -20.0, 5.0, 20.0, 68.0),
    (0.25, False, -72.0, 0.0, 6.0, 69.0),
    (0.27, False, 0.0, 48.0, 4.0, 56.0),
    (0.04, True, 8.0, 28.0, 30.0, 60.0),
)


def fault_depths(draws: Draws, layers: Tensor, most: int) -> Tensor:
    """(n, most - 1) interface depths in cells: each layer at least 60 / layers thick, the rest
    split very unevenly. Interfaces that a model lacks lie below the grid.
    """
    count = layers[:, None].to(torch.float32)
    thinnest = 60.0 / count
    index = torch.arange(most, device=draws.device)
    share = torch.exp(2.0 * draws.normal(most)) * (index < layers[:, None])
    slack = (60.0 / count - 5.0) * share / share.sum(dim=1, keepdim=True)
    # Measured: whole cells, resampled to a slightly coarser grid when the faults were cut.
    depths = ((index + 1) * thinnest + slack.cumsum(dim=1)).round() * 0.9945
    return torch.where(index < layers[:, None] - 1, depths, 2.0 * CELLS)[:, :-1]


def fault_velocities(draws: Draws, layers: Tensor, most: int) -> Tensor:
    """(n, most) ascending velocities in m/s: the upper half of the layers U[1500, 3000], the lower
    half U[3000, 4500]; layers that a model lacks repeat its last one.
    """
    middle = (LOW + HIGH) / 2.0
    index = torch.arange(most, device=draws.device)
    deep = index >= (layers // 2)[:, None]
    value = draws.uniform(most, low=LOW, high=middle) + deep * (middle - LOW)
    value = torch.where(index < layers[:, None], value.round(), HIGH + 1.0).sort(dim=1).values
    return value.gather(1, torch.minimum(index, layers[:, None] - 1))


def draw_blocks(draws: Draws, count: int, veiled: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normals, offsets, slips and veils of `count` fault blocks per model, as in `Blocks`.

    A share `veiled` of the blocks that moved down has a veil. Blocks are drawn on the right, then
    half of them are mirrored.
    """
    table = torch.tensor(KINDS, dtype=torch.float32, device=draws.device)
    kind = table[draws.choice(tuple(row[0] for row in KINDS), count)]
    angle = torch.deg2rad(kind[..., 2] + (kind[..., 3] - kind[..., 2]) * draws.uniform(count))
    crossing = kind[..., 4] + (kind[..., 5] - kind[..., 4]) * draws.uniform(count)
    up = kind[..., 1] > 0.5
    throw = draws.uniform(count, low=5.0, high=10.0) * torch.where(up, -1.0, 1.0)
    heave = throw * torch.tan(angle)
    # The side walls follow the slip: the wall behind is dragged along, the wall ahead stays, a few
    # cells inside the grid.
    left = draws.uniform(count, low=3.0, high=6.5) + heave.clamp(min=0.0)
    right = CELLS + draws.uniform(count, low=2.0, high=6.0) + heave.clamp(max=0.0)
    lean_left = draws.uniform(count, low=0.03, high=0.08)
    lean_right = draws.uniform(count, low=-0.03, high=0.08)
    fault = _half_plane(crossing, angle, 1.0)
    left_wall = _half_plane(left, torch.atan(lean_left), 1.0)
    right_wall = _half_plane(right, torch.atan(lean_right), -1.0)
    normals = torch.stack([fault[0], left_wall[0], right_wall[0]], dim=2)
    offsets = torch.stack([fault[1], left_wall[1], right_wall[1]], dim=2)
    slips = torch.stack([heave, throw], dim=-1)
    veils = draws.uniform(count, low=10.0, high=14.0) * torch.cos(angle) * ~up
    veils = veils * draws.happens(veiled, count)
    mirrored = draws.happens(0.5, count)
    return *_mirror(normals, offsets, slips, mirrored), veils


def _half_plane(x: Tensor, angle: Tensor, side: float) -> tuple[Tensor, Tensor]:
    """Right (side 1) or left (-1) of the line through (x, 35), `angle` radians from the vertical,
    positive leaning to the right with depth: unit normal (..., 2) and offset.
    """
    normal = torch.stack([torch.cos(angle), -torch.sin(angle)], dim=-1) * side
    return normal, normal[..., 0] * x + normal[..., 1] * (CELLS / 2.0)


def _mirror(
    normals: Tensor, offsets: Tensor, slips: Tensor, mirrored: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Blocks with x -> 70 - x where `mirrored`."""
    sign = torch.where(mirrored, -1.0, 1.0)
    flip = torch.stack([sign, torch.ones_like(sign)], dim=-1)
    flipped = normals * flip[:, :, None]
    shifted = offsets - torch.where(mirrored[:, :, None], CELLS * normals[..., 0], 0.0)
    return flipped, shifted, slips * flip
