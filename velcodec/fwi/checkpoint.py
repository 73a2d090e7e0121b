"""The file that an inversion leaves after every band, to go on from after an interruption.

A safetensors file: states by method and band, and the problem and the history as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.storage.atomic import atomic_write


class Checkpoint:
    """What was found after each band of each method, in a file or, without a path, nowhere.

    `problem`, JSON-able, describes the inversion. Raises OptionError for a file of another one,
    InputFileError for a file that is no checkpoint.
    """

    def __init__(self, path: str | Path | None, problem: dict[str, Any]) -> None:
        self.path, self.problem = None if path is None else Path(path), problem
        self.history: list[list[Any]] = []
        self._tensors: dict[str, Tensor] = {}
        if self.path is None or not self.path.is_file():
            return
        try:
            with safe_open(self.path, framework="pt") as file:
                theirs = json.loads(file.metadata()["problem"])
                self.history = json.loads(file.metadata()["history"])
                self._tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{self.path}: not a checkpoint of an inversion") from error
        if theirs != problem:
            other = [name for name in problem if theirs.get(name) != problem[name]]
            raise OptionError(
                f"{self.path}: checkpoint of another inversion: {', '.join(other)} differ"
            )

    def get(self, method: str, band: int) -> dict[str, Tensor] | None:
        """The state kept after a band; None if it was not reached."""
        start = f"{method}.{band}."
        found = {
            name.removeprefix(start): tensor
            for name, tensor in self._tensors.items()
            if name.startswith(start)
        }
        return found or None

    def put(
        self, method: str, band: int, state: dict[str, Tensor], history: list[list[Any]]
    ) -> None:
        """Keep a state, and write the file."""
        if self.path is None:
            return
        for name, tensor in state.items():
            self._tensors[f"{method}.{band}.{name}"] = tensor.detach().cpu().clone()
        told = {"problem": json.dumps(self.problem), "history": json.dumps(history)}
        with atomic_write(self.path, force=True) as stream:
            stream.write(save(self._tensors, told))
