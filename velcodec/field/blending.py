"""Tiles blended into one field in torch, differentiable in the tiles' values and in the points.

The tiling and its weights are those of `velcodec.decode.tiling`; here they become tensors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from velcodec.decode.tiling import Axis, Tiling
from velcodec.decoder.points import grid_points

TileValues = Callable[[Tensor, Tensor], Tensor]
"""Values (models, t, P) of tiles, given their numbers (t,) and points (t, P, 2) or, for all tiles
alike, (P, 2), in their domains."""


def blended_grid(values: TileValues, tiling: Tiling, nz: int, nx: int, like: Tensor) -> Tensor:
    """(models, nz, nx): the blend of tiles on an [nz, nx] grid of the model's extent."""
    if tiling.tiles == 1:
        points = grid_points(nz, nx, dtype=like.dtype, device=like.device)
        only = values(torch.zeros(1, dtype=torch.int64, device=like.device), points)
        return only.reshape(-1, nz, nx)
    down, across = tiling.z.window(nz), tiling.x.window(nx)
    kz, kx = np.divmod(np.arange(tiling.tiles), tiling.x.tiles)

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(like)

    z, x = tensor(down.local[kz]), tensor(across.local[kx])
    shape = (tiling.tiles, z.shape[1], x.shape[1])
    points = torch.stack([x[:, None].expand(shape), z[:, :, None].expand(shape)], -1)
    weight = tensor(down.weight[kz])[:, :, None] * tensor(across.weight[kx])[:, None, :]
    number = torch.arange(tiling.tiles, device=like.device)
    parts = values(number, points.flatten(1, 2)) * weight.flatten(1)
    rows = down.start[kz][:, None] + np.arange(shape[1])
    columns = across.start[kx][:, None] + np.arange(shape[2])
    at = torch.as_tensor(rows[:, :, None] * nx + columns[:, None, :]).to(like.device).flatten()
    out = parts.new_zeros(len(parts), nz * nx).index_add(1, at, parts.flatten(1))
    return out.view(-1, nz, nx)


def blended_points(values: TileValues, tiling: Tiling, cells: Tensor) -> Tensor:
    """(models, P): the blend of tiles at cell coordinates (x, z), (P, 2) in [0, n].

    First derivatives by the cells are exact; second ones ignore the curvature of the weights.
    """
    total: Tensor | None = None
    for kz, z, weight_z in _neighbours(tiling.z, cells[:, 1]):
        for kx, x, weight_x in _neighbours(tiling.x, cells[:, 0]):
            tile = kz * tiling.x.tiles + kx
            part = _scattered(values, tile, torch.stack([x, z], -1)) * (weight_z * weight_x)
            total = part if total is None else total + part
    assert total is not None
    return total


def _neighbours(axis: Axis, cells: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each of the one or two tiles that may cover a position: its number, the coordinate in its
    domain and its weight, (P,) each.
    """
    cover = axis.cover(cells.detach().double().cpu().numpy())
    offset = axis.offsets[cover.tile]
    found = []
    for side in range(1 if axis.tiles == 1 else 2):
        weight, slope, first = (
            torch.as_tensor(each[:, side]).to(cells) for each in (cover.weight, cover.slope, offset)
        )
        local = 2 * (cells - first) / axis.size - 1
        # The weight is a number; this gives it the derivative that it has as a function.
        weight = weight + slope * (cells - cells.detach())
        found.append((torch.as_tensor(cover.tile[:, side]).to(cells.device), local, weight))
    return found


def _scattered(values: TileValues, tile: Tensor, points: Tensor) -> Tensor:
    """(models, P) values at points (P, 2), each in the domain of its own tile (P,)."""
    parts, rows = [], []
    for number in tile.unique():
        row = (tile == number).nonzero()[:, 0]
        parts.append(values(number[None], points[row])[:, 0])
        rows.append(row)
    order = torch.cat(rows).argsort()
    return torch.cat(parts, 1)[:, order]
