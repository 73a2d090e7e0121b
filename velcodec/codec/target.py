"""A PSNR for every model in the fewest bytes: a latent alone, or samples beside a coarse one."""

from __future__ import annotations

import numpy as np

from velcodec.codec.coded import CodedModel, code_members
from velcodec.codec.cut import ModelSet, cut_models
from velcodec.codec.fitting import Fitted, Fitter
from velcodec.codec.mean_error import MeanErrorCoder
from velcodec.codec.rungs import TILE_SIZES, encode_to_psnr
from velcodec.metrics import mse_of_psnr

LEAST_LATENT_BITS = 70.0
"""About what the coarsest latent takes, and the record to tell samples from it."""


def encode_to_target(
    fitter: Fitter,
    source: ModelSet,
    range_step: float,
    target_db: float,
    coder: MeanErrorCoder | None,
) -> list[CodedModel]:
    """Every model, in order, at `target_db` or better; its best latent where only latents may
    serve (no `coder`) and none reaches that.
    """
    if coder is None:
        return encode_to_psnr(fitter, source, range_step, target_db)
    allowed = mse_of_psnr(target_db)
    samples = np.zeros(len(source))
    for i in range(len(source)):
        samples[i] = 8.0 * len(coder.reaching(i, allowed).stream.data)
        fitter.on_progress(i + 1, len(source), "samples")
    coded = encode_to_psnr(fitter, source, range_step, target_db, samples + LEAST_LATENT_BITS)
    worth = np.flatnonzero(
        [
            model.mse > allowed or float(bits) < model.bits - LEAST_LATENT_BITS
            for model, bits in zip(coded, samples, strict=True)
        ]
    )
    if not len(worth):
        return coded
    fitted = Fitted.empty(fitter, cut_models(source, worth, TILE_SIZES[0], range_step))
    coarsest = np.zeros(len(worth), dtype=np.int64)
    latents = code_members(fitter, fitted, np.arange(len(worth)), coarsest, passes=0)
    for done, (i, latent) in enumerate(zip(worth.tolist(), latents, strict=True), start=1):
        option = coder.beside_reaching(i, latent, allowed)
        if coded[i].mse > allowed or option.bits < coded[i].bits:
            coded[i] = option
        fitter.on_progress(done, len(worth), "samples")
    return coded
