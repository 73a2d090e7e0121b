"""A finished training run to the files that are used: decoder and encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from velcodec.decoder.file import save_decoder
from velcodec.fit.encoder import save_encoder
from velcodec.train.finish import (
    Fits,
    absorb_training_steps_,
    change_basis_,
    fit_chunk,
    learn_tables_,
    round_weights_,
)
from velcodec.train.joint import JointTrainer
from velcodec.train.own import OwnModels
from velcodec.train.paper import PaperTrainer
from velcodec.train.recipes import resume
from velcodec.train.trainer import Trainer

FIT_COARSENESS = 0.35
"""Of the step that the models are fitted for: about 64 bytes per model."""

TABLE_COARSENESS = (1.0, 0.5, 0.25, 0.7, 0.35)

Report = Callable[[int, int, str], None]


def build(
    checkpoint: Path, target: Path, models: int, info: dict[str, Any],
    own: OwnModels | None = None, report: Report = lambda done, total, stage: None,
) -> bytes:  # fmt: skip
    """Freeze the run of `checkpoint` into decoder `target` and its encoder; returns the identity.

    `models` fresh models, generated or crops of the user's `own` as in the run, are fitted to learn
    basis, prior and tables.
    """
    trainer = resume(checkpoint, own=own)
    if isinstance(trainer, PaperTrainer):
        return build_paper(trainer, target, info, report)
    assert isinstance(trainer, JointTrainer)
    recipe, decoder, encoder = trainer.recipe, trainer.decoder, trainer.encoder.eval()
    chunk = trainer.fresh(models)
    total = len(chunk)
    absorb_training_steps_(decoder, encoder, trainer.rate)
    weight = recipe.rate_weight * FIT_COARSENESS**2
    fits = fit_chunk(decoder, encoder, chunk, weight, lambda done: report(done, total, "fit"))
    fits = change_basis_(decoder, encoder, fits)
    round_weights_(decoder)
    learn_tables_(
        decoder,
        fits,
        recipe.rate_weight,
        TABLE_COARSENESS,
        lambda done: report(done, total, "learn tables"),
    )
    identity = save_decoder(decoder, target, {**info, "training": _about(trainer, total)})
    sibling = target.with_name(target.name.removesuffix(".safetensors") + ".encoder.safetensors")
    save_encoder(encoder, sibling)
    return identity


def build_paper(trainer: PaperTrainer, target: Path, info: dict[str, Any], report: Report) -> bytes:
    """The same for a run of the paper's recipe: its own latents teach basis, prior and tables."""
    decoder, examples = trainer.decoder, trainer.training
    total = len(examples.values)
    fits = Fits(trainer.latents.weight.detach(), examples.values, examples.contrast)
    fits = change_basis_(decoder, None, fits)
    learn_tables_(
        decoder,
        fits,
        trainer.recipe.rate_weight,
        TABLE_COARSENESS,
        lambda done: report(done, total, "learn tables"),
    )
    return save_decoder(decoder, target, {**info, "training": _about(trainer, total)})


def _about(trainer: Trainer, models: int) -> dict[str, Any]:
    return {
        "recipe": trainer.recipe_name,
        "steps": trainer.step_number,
        "settings": trainer.recipe.to_dict(),
        "table_models": models,
    }
