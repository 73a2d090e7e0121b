"""velcodec itself, through its public API; how it is asked for what stands in OPTIONS alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import CannotKeepError, Known, Models, Peer, Setting, Stored, archive_of

BUDGETS = (24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0)
"""Bytes per model, the whole archive over the models."""

OPTIONS: dict[str, Callable[[float], dict[str, Any]]] = {
    "lossy": lambda budget: {"bytes_per_model": budget},
    "bound": lambda bound: {"max_error": bound},
    "lossless": lambda _: {"lossless": True},
}
"""Arguments of `velcodec.compress` for a setting of each kind."""

NAME = "velcodec"


class Velcodec(Peer):
    """One archive of all models, with its header, index and checksums."""

    name = NAME
    needs = ("velcodec", "torch")
    lossy = BUDGETS
    bounded = lossless = True

    def encode(self, models: Models, known: Known, setting: Setting) -> bytes:
        import velcodec
        from velcodec.formats.errors import VelcodecError

        try:
            return velcodec.compress(models, **OPTIONS[setting.kind](setting.value))
        except VelcodecError as error:
            raise CannotKeepError(f"{self.name}: {error}") from error

    def decode(self, stored: Stored, known: Known) -> Models:
        import velcodec

        return np.asarray(velcodec.decompress(archive_of(stored)), np.float32)

    def between(self, few: float, many: float) -> float | None:
        # A budget is asked for as it is.
        return None
