"""The file that an inversion leaves after every band, to go on from after an interruption."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.storage.atomic import atomic_write


class Checkpoint:
    """What was found after each band of each method, in a file or, without a path, nowhere.

    `problem` describes the inversion. Raises OptionError for a file of another one, InputFileError
    for a file that is no checkpoint.
    """

    def __init__(self, path: str | Path | None, problem: dict[str, Any]) -> None:
        self.path, self.problem = None if path is None else Path(path), problem
        self.history: list[tuple[Any, ...]] = []
        self._states: dict[str, dict[str, Any]] = {}
        if self.path is None or not self.path.is_file():
            return
        try:
            held = torch.load(self.path, weights_only=True)
            theirs, self.history, self._states = (
                held[name] for name in ("problem", "history", "states")
            )
        except (
            pickle.UnpicklingError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
            EOFError,
        ) as error:
            raise InputFileError(f"{self.path}: not a checkpoint of an inversion") from error
        if theirs != problem:
            other = [name for name in problem if theirs.get(name) != problem[name]]
            raise OptionError(
                f"{self.path}: checkpoint of another inversion: {', '.join(other)} differ"
            )

    def get(self, method: str, band: int) -> dict[str, Any] | None:
        """The state kept after a band; None if it was not reached."""
        return self._states.get(f"{method} {band}")

    def put(
        self, method: str, band: int, state: dict[str, Any], history: list[tuple[Any, ...]]
    ) -> None:
        """Keep a state, and write the file."""
        if self.path is None:
            return
        self.history = history
        copied = {name: tensor.detach().clone() for name, tensor in state.items()}
        self._states[f"{method} {band}"] = copied
        held = {"problem": self.problem, "history": self.history, "states": self._states}
        with atomic_write(self.path, force=True) as stream:
            torch.save(held, stream)
