"""Checkpoints of a run: tensors by safetensors, counters as its metadata, replaced atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from velcodec.formats.errors import OptionError

if TYPE_CHECKING:
    from .mixture import MixtureTrainer


def _flat(trainer: MixtureTrainer) -> dict[str, torch.Tensor]:
    parts = {"decoder": trainer.decoder, "encoder": trainer.encoder, "rate": trainer.rate}
    flat = {f"{p}.{k}": v for p, module in parts.items() for k, v in module.state_dict().items()}
    for number, state in trainer.optimiser.state_dict()["state"].items():
        flat |= {f"optimiser.{number}.{k}": v for k, v in state.items()}
    return flat


def save_checkpoint(trainer: MixtureTrainer, path: Path) -> None:
    """Write weights, optimiser and step number; the old file stays whole until the new one is."""
    flat = {k: v.detach().cpu().contiguous().clone() for k, v in _flat(trainer).items()}
    about = {"step": str(trainer.step_number), "recipe": json.dumps(trainer.recipe.to_dict())}
    temporary = path.with_suffix(".partial")
    save_file(flat, temporary, about)
    os.replace(temporary, path)


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise OptionError(f"{path}: not a checkpoint: {error}") from error
    if not {"step", "recipe"} <= about.keys():
        raise OptionError(f"{path}: not a checkpoint: found metadata {sorted(about)}")
    return about


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe in a checkpoint, as stored. Raises `OptionError` where it is no checkpoint."""
    recipe: dict[str, Any] = json.loads(_metadata(path)["recipe"])
    return recipe


def load_checkpoint(trainer: MixtureTrainer, path: Path) -> None:
    """Continue from a checkpoint of the same recipe. Raises `OptionError` if it is another's."""
    about = _metadata(path)
    if json.loads(about["recipe"]) != json.loads(json.dumps(trainer.recipe.to_dict())):
        raise OptionError(f"{path}: found a checkpoint of another recipe, expected this run's")
    flat = load_file(path)

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {k[len(prefix) :]: v for k, v in flat.items() if k.startswith(prefix)}

    trainer.decoder.load_state_dict(part("decoder."))
    trainer.encoder.load_state_dict(part("encoder."))
    trainer.rate.load_state_dict(part("rate."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part("optimiser.").items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    whole = trainer.optimiser.state_dict()
    trainer.optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
    trainer.step_number = int(about["step"])
