"""A model as it will be stored: its tiling, the integers of its tiles, and what they deliver."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from velcodec.decode.render import render_grid
from velcodec.decode.stored import NO_TILES
from velcodec.decode.tiling import Axis, Int64, Tiling
from velcodec.decode.torch_render import ready_tiles
from velcodec.decoder import Decoder
from velcodec.encode.fitting import Fitted, Fitter, Quantised
from velcodec.encode.tiles import ModelSet
from velcodec.formats.latent_coding.stream import Tiles
from velcodec.formats.sample_coding.stream import ExactStream
from velcodec.geometry import Float64
from velcodec.metrics import psnr_of_mse

TILE_OVERHEAD_BITS = 28.5
"""About what a tile costs beside its coefficients: value range, step index, rounding to bytes."""

BESIDE_BITS = 16.0
"""About what a record takes to tell a stream from the tiles beside it."""


@dataclass(frozen=True)
class CodedModel:
    """One model's tiles. `tile` is the nominal tile size and `base` the base step index they were
    made with; `mse` in (m/s)^2 is measured on the native grid; `bits` is an ideal length. An
    `exact` stream may stand beside the tiles, or alone. `distance` says how far the model lies from
    those that the decoder was trained on; not a number where no latent was fitted.
    """

    tiling: Tiling
    tiles: Tiles
    tile: int
    base: int
    mse: float
    bits: float
    exact: ExactStream | None = None
    distance: float = np.nan

    @classmethod
    def of_samples(cls, shape: tuple[int, int], stream: ExactStream, mse: float) -> CodedModel:
        """A model (nz, nx) of samples alone."""
        nz, nx = shape
        tiling = Tiling(Axis(nz, nz, 1), Axis(nx, nx, 1))
        return cls(tiling, NO_TILES, 0, 0, mse, 8.0 * len(stream.data), stream)

    @property
    def psnr(self) -> float:
        """DB over 3000 m/s at the native grid."""
        return psnr_of_mse(self.mse)

    @property
    def has_latent(self) -> bool:
        """Whether it has tiles."""
        return len(self.tiles.step) > 0

    def with_samples(self, samples: CodedModel) -> CodedModel:
        """The latent of this model with the samples of another coding beside it."""
        bits = self.bits + samples.bits + BESIDE_BITS
        return replace(self, exact=samples.exact, mse=samples.mse, bits=bits)


def render_native(decoder: Decoder, tiles: Tiles, tiling: Tiling) -> Float64:
    """One model at its native grid, m/s float64 [z, x]."""
    shape = tiling.z.samples, tiling.x.samples
    rendered: Float64 = (
        render_grid(decoder, ready_tiles(decoder, tiles), tiling, *shape)[0].cpu().numpy()
    )
    return rendered


def assemble(
    fitter: Fitter, fitted: Fitted, quantised: Quantised, positions: Int64, bases: Int64
) -> list[CodedModel]:
    """The cut's members at `positions`, of which `quantised` has every tile, in order."""
    cut = fitted.cut
    coded, row = [], 0
    for position, base in zip(positions, bases, strict=True):
        numbers = cut.tiles_of(int(position))
        rows = slice(row, row + numbers.stop - numbers.start)
        row = rows.stop
        tiles = Tiles(
            coefficients=quantised.coefficients[rows],
            step=quantised.step[rows],
            low=cut.low[numbers],
            high=cut.high[numbers],
        )
        tiling = cut.tilings[int(position)]
        if tiling.tiles == 1:
            mse = float(quantised.error[rows][0])
            if tiles.low[0] == tiles.high[0]:
                mse = _blended_error(fitter, cut.source, int(cut.members[position]), tiles, tiling)
        else:
            mse = _blended_error(fitter, cut.source, int(cut.members[position]), tiles, tiling)
        bits = float(quantised.bits[rows].sum()) + TILE_OVERHEAD_BITS * tiling.tiles
        distance = float(np.sqrt(fitted.strangeness[numbers].mean()))
        coded.append(CodedModel(tiling, tiles, cut.tile, int(base), mse, bits, distance=distance))
    return coded


def _blended_error(
    fitter: Fitter, source: ModelSet, model: int, tiles: Tiles, tiling: Tiling
) -> float:
    rendered = render_native(fitter.decoder, tiles, tiling)
    error = source.present(model, rendered - source.m_s(model))
    return float(np.square(error).mean())
