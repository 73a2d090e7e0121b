"""A model's native grid rendered exactly from its latents: what exact streams are coded against.

Whatever the machine, the number of threads and the batch, the samples are the same: integers from
`velcodec.decoder.integer`, blended with integer weights. They are made on the CPU, where the
streams are decoded, wherever the decoder is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from velcodec.coordinates import Float64
from velcodec.decoder.frozen import FrozenMixture, freeze
from velcodec.decoder.integer import OUTPUT, POINT
from velcodec.formats.tile_stream import Tiles
from velcodec.tiling import Int64, Tiling

if TYPE_CHECKING:
    from velcodec.decoder import Decoder

POINTS_AT_ONCE = 1 << 16
"""Points of all tiles rendered together: bounds memory, never changes a sample."""

WEIGHT = 2.0**14
"""What a tile's weight of 1 is in the blend."""

PER_M_S = 16.0
"""Velocities are whole sixteenths of m/s."""


def can_render_exactly(decoder: Decoder | FrozenMixture) -> bool:
    """Whether the decoder's architecture has an exact form."""
    if isinstance(decoder, FrozenMixture):
        return True
    from velcodec.decoder import SirenMixture

    return isinstance(decoder, SirenMixture)


class ExactRenderer:
    """Renders native grids by a decoder that has an exact form."""

    def __init__(
        self, decoder: Decoder | FrozenMixture, points_at_once: int = POINTS_AT_ONCE
    ) -> None:
        frozen = decoder if isinstance(decoder, FrozenMixture) else freeze(decoder)
        self.points_at_once = points_at_once
        self.mixture = frozen.integer

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
        grid = np.empty((len(numbers), 2, *shape[1:]), np.int32)
        grid[:, 0] = np.rint(x * POINT)[:, None]
        grid[:, 1] = np.rint(z * POINT)[:, :, None]
        points = grid.reshape(len(numbers), 2, -1)
        weights = self.mixture.weights(tiles.coefficients[numbers], tiles.step[numbers])
        at_once = max(1, self.points_at_once // len(numbers))
        values = [
            self.mixture.render(points[..., first : first + at_once].copy(), weights)
            for first in range(0, points.shape[-1], at_once)
        ]
        share = (np.concatenate(values, axis=1).reshape(shape) + OUTPUT) / (2 * OUTPUT)
        low, high = (np.asarray(end)[numbers, None, None] for end in (tiles.low, tiles.high))
        found: Float64 = np.rint((share * (high - low) + low) * PER_M_S)
        return found
