"""A model's native grid rendered exactly from its latents: what exact streams are coded against.

Whatever the machine, the number of threads, the batch or the device, the samples are the same:
integers from `velcodec.decoder.integer`, blended with integer weights.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from velcodec.coordinates import Float64
from velcodec.decoder import Decoder, SirenMixture
from velcodec.decoder.integer import OUTPUT, POINT, IntegerMixture
from velcodec.formats.tile_stream import Tiles
from velcodec.tiling import Int64, Tiling

POINTS_AT_ONCE = 1 << 14
"""Points of all tiles rendered together: bounds memory, never changes a sample."""

WEIGHT = 2.0**14
"""What a tile's weight of 1 is in the blend."""

PER_M_S = 16.0
"""Velocities are whole sixteenths of m/s."""


def can_render_exactly(decoder: Decoder) -> bool:
    """Whether the decoder's architecture has an exact form."""
    return isinstance(decoder, SirenMixture)


class ExactRenderer:
    """Renders native grids by a decoder that has an exact form, on the decoder's device."""

    def __init__(self, decoder: Decoder, points_at_once: int = POINTS_AT_ONCE) -> None:
        if not isinstance(decoder, SirenMixture):
            raise TypeError(f"exact rendering: found {type(decoder).__name__}")
        self.device = decoder.device
        self.points_at_once = points_at_once
        self.mixture = IntegerMixture(decoder)

    @torch.no_grad()
    def render(self, tiles: Tiles, tiling: Tiling) -> Float64:
        """One model at its native grid, (nz, nx) in m/s, float64, multiples of 1/16."""
        nz, nx = tiling.z.samples, tiling.x.samples
        window_z, window_x = tiling.z.window(nz), tiling.x.window(nx)
        total, weight = np.zeros((nz, nx)), np.zeros((nz, nx))
        height, width = window_z.local.shape[1], window_x.local.shape[1]
        batch = max(1, self.points_at_once // (height * width))
        for first in range(0, tiling.tiles, batch):
            numbers = np.arange(first, min(first + batch, tiling.tiles))
            kz, kx = np.divmod(numbers, tiling.x.tiles)
            values = self._tiles(tiles, numbers, window_z.local[kz], window_x.local[kx])
            weight_z, weight_x = window_z.weight[kz], window_x.weight[kx]
            shares = np.rint(weight_z[:, :, None] * weight_x[:, None] * WEIGHT)
            for b, (z, x) in enumerate(zip(window_z.start[kz], window_x.start[kx], strict=True)):
                total[z : z + height, x : x + width] += shares[b] * values[b]
                weight[z : z + height, x : x + width] += shares[b]
        blended: Float64 = np.rint(total / weight) / PER_M_S
        return blended

    def _tiles(self, tiles: Tiles, numbers: Int64, z: Float64, x: Float64) -> Float64:
        """Tiles (B, height, width) at coordinates z (B, height) and x (B, width) of their domains,
        in sixteenths of m/s.
        """
        shape = len(numbers), z.shape[1], x.shape[1]
        grid = np.stack(
            [np.broadcast_to(x[:, None], shape), np.broadcast_to(z[:, :, None], shape)], axis=-1
        )
        points = torch.as_tensor(np.rint(grid * POINT), device=self.device).flatten(1, 2)
        weights = self.mixture.weights(
            self._on_device(tiles.coefficients[numbers]), self._on_device(tiles.step[numbers])
        )
        at_once = max(1, self.points_at_once // len(numbers))
        values = [self.mixture.render(some, weights) for some in points.split(at_once, dim=1)]
        share = (torch.cat(values, dim=1).cpu().numpy().reshape(shape) + OUTPUT) / (2 * OUTPUT)
        low, high = (np.asarray(end)[numbers, None, None] for end in (tiles.low, tiles.high))
        found: Float64 = np.rint((share * (high - low) + low) * PER_M_S)
        return found

    def _on_device(self, integers: object) -> Tensor:
        return torch.as_tensor(np.asarray(integers, dtype=np.int64), device=self.device)
