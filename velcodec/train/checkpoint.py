"""Checkpoints of a run: a small JSON index with shards of tensors (safetensors) beside it.

Shards stay under 15 MB for places that refuse large files. The index is replaced atomically once
its shards are complete; an interrupted save leaves the old checkpoint.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from velcodec.formats.errors import OptionError
from velcodec.train.trainer import Trainer

SHARD_BYTES = 14 * 10**6


def _flat(trainer: Trainer) -> dict[str, Tensor]:
    flat = {f"{p}.{k}": v for p, m in trainer.parts().items() for k, v in m.state_dict().items()}
    for number, state in trainer.optimiser.state_dict()["state"].items():
        flat |= {f"optimiser.{number}.{k}": v for k, v in state.items()}
    flat |= {f"memory.{k}": v for k, v in trainer.extra_state().items()}
    return {k: v.detach().cpu().contiguous().clone() for k, v in flat.items()}


def _shards(flat: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors in order, in groups of at most SHARD_BYTES (a larger tensor stands alone)."""
    shards: list[dict[str, Tensor]] = [{}]
    room = SHARD_BYTES
    for name, tensor in flat.items():
        if tensor.nbytes > room and shards[-1]:
            shards.append({})
            room = SHARD_BYTES
        shards[-1][name] = tensor
        room -= tensor.nbytes
    return shards


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    """Write the state of a run; the old checkpoint stays valid until the new one is complete."""
    old = set(_read_index(path)["shards"]) if path.exists() else set()
    names = []
    for number, shard in enumerate(_shards(_flat(trainer))):
        name = f"{path.name}.{trainer.step_number:08d}.{number:02d}"
        temporary = path.with_name(name + ".partial")
        save_file(shard, temporary)
        os.replace(temporary, path.with_name(name))
        names.append(name)
    index = {
        "recipe": trainer.recipe_name,
        "settings": trainer.recipe.to_dict(),
        "step": trainer.step_number,
        "shards": names,
    }
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    for name in old.difference(names):
        path.with_name(name).unlink(missing_ok=True)


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise OptionError(f"{path}: not a checkpoint: {error}") from error
    if not isinstance(index, dict) or not {"recipe", "settings", "step", "shards"} <= index.keys():
        raise OptionError(f"{path}: not a checkpoint: expected an index of shards")
    return index


def read_recipe(path: Path) -> tuple[str, dict[str, Any]]:
    """A checkpoint's recipe: name and settings. Raises OptionError if it is not a checkpoint."""
    index = _read_index(path)
    return index["recipe"], index["settings"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint. Raises OptionError for an absent or damaged shard."""
    flat: dict[str, Tensor] = {}
    for name in _read_index(path)["shards"]:
        try:
            flat |= load_file(path.with_name(name))
        except (SafetensorError, OSError) as error:
            raise OptionError(f"{path}: shard {name}: {error}") from error
    return flat


def is_checkpoint(path: Path) -> bool:
    """Whether the file is the index of a checkpoint."""
    try:
        _read_index(path)
    except OptionError:
        return False
    return True


def load_modules(trainer: Trainer, path: Path) -> None:
    """Load only the weights, from a run of any recipe."""
    _load_modules(trainer, read_tensors(path))


def _load_modules(trainer: Trainer, flat: dict[str, Tensor]) -> None:
    for name, module in trainer.parts().items():
        prefix = f"{name}."
        state = {k[len(prefix) :]: v for k, v in flat.items() if k.startswith(prefix)}
        module.load_state_dict(state)


def load_checkpoint(trainer: Trainer, path: Path) -> None:
    """Continue from a checkpoint. Raises OptionError if it has another recipe."""
    index = _read_index(path)
    if index["settings"] != json.loads(json.dumps(trainer.recipe.to_dict())):
        raise OptionError(f"{path}: found a checkpoint of another recipe, expected this run's")
    flat = read_tensors(path)

    def part(prefix: str) -> dict[str, Tensor]:
        return {k[len(prefix) :]: v for k, v in flat.items() if k.startswith(prefix)}

    _load_modules(trainer, flat)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part("optimiser.").items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    whole = trainer.optimiser.state_dict()
    trainer.optimiser.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
    trainer.step_number = int(index["step"])
    trainer.load_extra_state(part("memory."))
