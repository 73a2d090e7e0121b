"""Latents of archived models: the stored ones, or ones fitted to stored samples when asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from velcodec.decode.render import render_grid
from velcodec.decode.stored import StoredModel
from velcodec.decode.tiling import Tiling
from velcodec.decode.torch_render import ready_tiles, render_tiles
from velcodec.decoder import NATIVE_SAMPLES, Decoder
from velcodec.encode.fitting import Fitted, Fitter
from velcodec.encode.pack import RANGE_STEP_M_S
from velcodec.encode.tiles import ModelSet, cut_models
from velcodec.fit.parallel import repeatable
from velcodec.formats.errors import MixedShapesError
from velcodec.geometry import Float64
from velcodec.sampler.form import Float32


@dataclass(frozen=True)
class ModelLatent:
    """Latents `values` (tiles, D) of a model's tiles in order, float32, and the ends `low`, `high`
    (tiles,) of their value ranges in m/s; `stored` tells whether an archive holds them, or they
    were fitted to its samples.
    """

    values: Float32
    low: Float64
    high: Float64
    tiling: Tiling
    stored: bool

    def mixed(self, other: ModelLatent, share: float) -> ModelLatent:
        """(1 - share) of this latent and `share` of another, value ranges alike.

        Raises MixedShapesError where the two are of other tiles.
        """
        if self.tiling != other.tiling:
            raise MixedShapesError(
                f"latents: found tiles {_told(self.tiling)} and {_told(other.tiling)}, expected "
                "the same"
            )
        return ModelLatent(
            ((1.0 - share) * self.values + share * other.values).astype(np.float32),
            (1.0 - share) * self.low + share * other.low,
            (1.0 - share) * self.high + share * other.high,
            self.tiling,
            False,
        )

    def render(self, decoder: Decoder, res: tuple[int, int] | None = None) -> Float64:
        """The model (nz, nx) in m/s at `res` or its native grid."""
        import torch

        shape = res or (self.tiling.z.samples, self.tiling.x.samples)
        ready = render_tiles(torch.from_numpy(self.values), self.low, self.high, decoder)
        found: Float64 = render_grid(decoder, ready, self.tiling, *shape)[0].cpu().numpy()
        return found


def _told(tiling: Tiling) -> str:
    nz, nx = tiling.tile_shape
    return f"{tiling.z.tiles} x {tiling.x.tiles} of {nz} x {nx}"


def stored_latent(decoder: Decoder, model: StoredModel) -> ModelLatent:
    """The latent that a record holds."""
    ready = ready_tiles(decoder, model.tiles)
    return ModelLatent(ready.latent.float().cpu().numpy(), *ready.ends, model.tiling, True)


@repeatable()
def fitted_latent(fitter: Fitter, model: StoredModel) -> ModelLatent:
    """A latent fitted to a record's samples, not quantised, in tiles of about 70 x 70 samples."""
    assert model.samples is not None
    source = ModelSet([model.samples], model.layout.units)
    cut = cut_models(source, np.arange(1), NATIVE_SAMPLES, RANGE_STEP_M_S)
    fitted = Fitted.empty(fitter, cut)
    fitted.fit(fitter)
    return ModelLatent(fitted.latents.numpy(), cut.low, cut.high, cut.tilings[0], False)
