"""velcodec itself, through its public API; how it is asked for what stands in OPTIONS alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .base import CannotKeepError, Known, Models, Peer, Setting, Stored, archive_of

OPTIONS: dict[str, Callable[[float], dict[str, Any]]] = {
    "lossy": lambda budget: {"bytes_per_model": budget},
    "bound": lambda bound: {"max_error": bound},
    "lossless": lambda _: {"lossless": True},
}
"""Arguments of `velcodec.compress` for a setting of each kind."""

NAME = "velcodec"


class Velcodec(Peer):
    """One archive of all models, with its header, index and checksums.

    `budgets`: bytes per model, the whole archive over the models.
    """

    name = NAME
    needs = ("velcodec", "torch")
    bounded = lossless = True

    def __init__(self, budgets: Sequence[float]) -> None:
        self.lossy = tuple(sorted(budgets))

    def encode(self, models: Models, known: Known, setting: Setting) -> bytes:
        import velcodec
        from velcodec.formats.errors import VelcodecError

        try:
            return velcodec.compress(models, **OPTIONS[setting.kind](setting.value))
        except VelcodecError as error:
            raise CannotKeepError(str(error)) from error

    def decode(self, stored: Stored, known: Known) -> Models:
        import velcodec

        return np.asarray(velcodec.decompress(archive_of(stored)), np.float32)

    def between(self, few: float, many: float) -> float | None:
        # A budget is asked for as it is.
        return None
