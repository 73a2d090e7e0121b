"""The recipes by name, and the trainer of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from velcodec.decoder import load_decoder, load_encoder
from velcodec.decoder.siren_mixture.network import SirenMixture
from velcodec.formats.errors import OptionError
from velcodec.train.autodecoder import AutodecoderRecipe, AutodecoderTrainer
from velcodec.train.checkpoint import is_checkpoint, load_checkpoint, load_modules, read_recipe
from velcodec.train.joint import JointRecipe, JointTrainer
from velcodec.train.mixture import MixtureRecipe, MixtureTrainer
from velcodec.train.own import OwnData, OwnModels
from velcodec.train.paper import PaperRecipe, PaperTrainer
from velcodec.train.trainer import Trainer

AnyRecipe = JointRecipe | PaperRecipe

RECIPES: dict[str, tuple[type[AnyRecipe], Callable[..., Trainer]]] = {
    "mixture": (MixtureRecipe, MixtureTrainer),
    "autodecoder": (AutodecoderRecipe, AutodecoderTrainer),
    "paper": (PaperRecipe, PaperTrainer),
}
DEFAULT_RECIPE = "mixture"


def recipe_of(checkpoint: Path) -> tuple[str, AnyRecipe]:
    """Name and settings of a checkpoint's recipe. Raises `OptionError` where it is none."""
    name, stored = read_recipe(checkpoint)
    if name not in RECIPES:
        raise OptionError(f"{checkpoint}: recipe: found {name!r}, expected one of {tuple(RECIPES)}")
    return name, RECIPES[name][0].from_dict(stored)


def start(recipe: AnyRecipe, device: str = "cpu", own: OwnModels | None = None) -> Trainer:
    """The trainer of a recipe at its first step."""
    trainer = next(t for kind, t in RECIPES.values() if type(recipe) is kind)
    return trainer(recipe, device, own)


def resume(checkpoint: Path, device: str = "cpu", own: OwnModels | None = None) -> Trainer:
    """The trainer of a checkpoint, at the step where it stopped. Raises `OptionError`."""
    trainer = start(recipe_of(checkpoint)[1], device, own)
    load_checkpoint(trainer, checkpoint)
    return trainer


def begin(
    name: str, init: str | None, own: OwnModels | None, generated: float,
    changes: dict[str, Any], device: str = "cpu",
) -> Trainer:  # fmt: skip
    """A new run of recipe `name` with `changes` to its settings.

    `init` names a decoder or another run's checkpoint whose weights to begin with; the networks
    then have its sizes. Raises `OptionError` for a decoder of another architecture.
    """
    recipe = settings_of(name, changes)
    if own is not None:
        recipe = replace(recipe, own=OwnData(own.names, own.sha256, generated))
    if init is None:
        return start(recipe, device, own)
    if not isinstance(recipe, JointRecipe):
        raise OptionError(f"recipe {name}: found --init {init}, expected a run from nothing")
    if is_checkpoint(Path(init)):
        weights = recipe_of(Path(init))[1]
        if not isinstance(weights, JointRecipe):
            raise OptionError(f"{init}: found a run of recipe 'paper', expected another one's")
        recipe = replace(recipe, decoder=weights.decoder, encoder_channels=weights.encoder_channels)
        trainer = start(recipe, device, own)
        load_modules(trainer, Path(init))
        return trainer
    decoder = load_decoder(init)
    if not isinstance(decoder, SirenMixture):
        raise OptionError(
            f"decoder {decoder.name}: found architecture {decoder.architecture!r}, expected "
            f"{SirenMixture.architecture!r}"
        )
    encoder = load_encoder(decoder)
    recipe = replace(recipe, decoder=decoder.settings)
    if encoder is not None:
        recipe = replace(recipe, encoder_channels=encoder.channels)
    trainer = start(recipe, device, own)
    assert isinstance(trainer, JointTrainer)
    trainer.start_from(decoder, encoder)
    return trainer


def settings_of(name: str, changes: dict[str, Any]) -> AnyRecipe:
    """The recipe's settings with changes. Raises `OptionError` for one that it does not have."""
    kind = RECIPES[name][0]
    known = {f.name for f in fields(kind)} - {"own"}
    for key in changes:
        if key not in known:
            raise OptionError(
                f"recipe {name}: found setting {key!r}, expected one of {sorted(known)}"
            )
    return kind(**changes)


def check_unchanged(checkpoint: Path, name: str | None, changes: dict[str, Any]) -> None:
    """Raises `OptionError` where a run is to go on with settings that it did not begin with."""
    found_name, recipe = recipe_of(checkpoint)
    if name not in (None, found_name):
        raise OptionError(f"{checkpoint}: recipe: found {found_name!r}, expected {name!r}")
    settings_of(found_name, changes)
    for key, wanted in changes.items():
        if (found := getattr(recipe, key)) != wanted:
            raise OptionError(f"{checkpoint}: {key}: found a run with {found}, expected {wanted}")
