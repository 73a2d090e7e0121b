"""A PSNR for every model in the fewest bytes: by its latent, or by its samples."""

from __future__ import annotations

import numpy as np

from velcodec.encode.coded import CodedModel
from velcodec.encode.fitting import Fitter
from velcodec.encode.mean_error import MeanErrorCoder
from velcodec.encode.rungs import encode_to_psnr
from velcodec.encode.tiles import ModelSet
from velcodec.metrics import mse_of_psnr

LATENT_WORTH = 1.05
"""A latent is kept rather than samples where it takes up to so many times their bits: latents are
what interpolation, priors and inversion work in.
"""


def encode_to_target(
    fitter: Fitter,
    source: ModelSet,
    range_step: float,
    target_db: float,
    coder: MeanErrorCoder | None,
    keep_latent: bool = False,
) -> list[CodedModel]:
    """Every model, in order, at `target_db` or better; its best latent where only latents may
    serve (no `coder`) and none reaches that. With `keep_latent` samples stand beside the latent.
    """
    if coder is None:
        return encode_to_psnr(fitter, source, range_step, target_db)
    allowed = mse_of_psnr(target_db)
    samples = []
    for i in range(len(source)):
        samples.append(coder.reaching(i, allowed))
        fitter.on_progress(i + 1, len(source), "samples")
    enough = None
    if not keep_latent:
        enough = LATENT_WORTH * np.array([each.bits for each in samples])
    coded = []
    for latent, other in zip(
        encode_to_psnr(fitter, source, range_step, target_db, enough), samples, strict=True
    ):
        if latent.mse <= allowed and latent.bits <= LATENT_WORTH * other.bits:
            coded.append(latent)
        elif keep_latent:
            coded.append(latent.with_samples(other))
        else:
            coded.append(other)
    return coded
