"""Checkpoints of a run: a small JSON index, and beside it shards of tensors by safetensors.

Shards stay under 15 MB, so that a checkpoint passes where large files do not. The index is
replaced atomically once its shards are whole; an interrupted save leaves the old checkpoint.
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
    flat |= {f"memory.{k}": v for k, v in trainer.memory().items()}
    return {k: v.detach().cpu().contiguous().clone() for k, v in flat.items()}


def _shards(flat: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors in order, in groups of at most SHARD_BYTES each where a tensor allows it."""
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
    """Write the whole state of a run; the old checkpoint stays whole until the new one is."""
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
    """A checkpoint's recipe: name and settings. Raises `OptionError` where it is no checkpoint."""
    index = _read_index(path)
    return index["recipe"], index["settings"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint. Raises `OptionError` for a shard that is absent or damaged."""
    flat: dict[str, Tensor] = {}
    for name in _read_index(path)["shards"]:
        try:
            flat |= load_file(path.with_name(name))
        except (SafetensorError, OSError) as error:
            raise OptionError(f"{path}: shard {name}: {error}") from error
    return flat


def is_checkpoint(path: Path) -> bool:
    """Whether there is a file that is the index of a checkpoint."""
    try:
        _read_index(path)
    except OptionError:
        return False
    return True


def load_modules(trainer: Trainer, path: Path) -> None:
    """Take the weights of another run, whatever its recipe, and nothing else."""
    _load_modules(trainer, read_tensors(path))


def _load_modules(trainer: Trainer, flat: dict[str, Tensor]) -> None:
    for name, module in trainer.parts().items():
        prefix = f"{name}."
        state = {k[len(prefix) :]: v for k, v in flat.items() if k.startswith(prefix)}
        module.load_state_dict(state)


def load_checkpoint(trainer: Trainer, path: Path) -> None:
    """Continue from a checkpoint of the same recipe. Raises `OptionError` if it is another's."""
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
    trainer.recall(part("memory."))
