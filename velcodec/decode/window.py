"""Rendering a part of a model at any zoom: rows and columns anywhere in its extent."""

from __future__ import annotations

from typing import Any

import numpy as np

from velcodec.decode.render import TilesToRender
from velcodec.decode.tiling import Axis, Tiling
from velcodec.formats.arrays import Float64


def render_window(
    decoder: Any, tiles: TilesToRender, tiling: Tiling, z: Float64, x: Float64
) -> Float64:
    """Values (len(z), len(x)) in m/s of one model at rows `z` and columns `x`, ascending positions
    in its cells. Only tiles with a weight there are evaluated.
    """
    out = np.zeros((len(z), len(x)))
    for kz, rows, local_z, weight_z in _parts(tiling.z, z):
        for kx, columns, local_x, weight_x in _parts(tiling.x, x):
            number = kz * tiling.x.tiles + kx
            points = tiles.grids(tiles.array(local_z[None]), tiles.array(local_x[None]))[0]
            found = tiles[number : number + 1].values(decoder, points)
            values = found if isinstance(found, np.ndarray) else found.cpu().numpy()
            shaped = values.reshape(len(local_z), len(local_x))
            out[rows, columns] += shaped * weight_z[:, None] * weight_x
    low, high = tiles.ends
    return out.clip(float(low.min()), float(high.max()))


def _parts(axis: Axis, cells: Float64) -> list[tuple[int, slice, Float64, Float64]]:
    """Each tile with a weight at some of the ascending positions `cells`: its number, the run of
    positions, their coordinates in the tile's domain, and its weights.
    """
    cover, parts = axis.cover(cells), []
    for tile in np.unique(cover.tile[cover.weight != 0]):
        which, side = np.nonzero((cover.tile == tile) & (cover.weight != 0))
        run = slice(int(which[0]), int(which[-1]) + 1)
        parts.append((int(tile), run, cover.local[which, side], cover.weight[which, side]))
    return parts
