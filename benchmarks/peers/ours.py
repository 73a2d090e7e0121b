"""velcodec through its public API, with the options in BY_BYTES and BY_PSNR."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .base import CannotKeepError, Known, Models, Peer, Setting, Stored, archive_of

NAME = "velcodec"

Options = Mapping[str, Callable[[float], dict[str, Any]]]
"""Arguments of `velcodec.compress` for a setting's value, by kind of setting."""

BY_BYTES: Options = {
    "lossy": lambda budget: {"bytes_per_model": budget},
    "bound": lambda bound: {"max_error": bound},
    "lossless": lambda _: {"lossless": True},
}

BY_PSNR: Options = {"lossy": lambda decibels: {"psnr": decibels}}

DECIBELS = (20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0)


class Velcodec(Peer):
    """One archive of all models, with its header, index and checksums."""

    needs = ("velcodec", "torch")

    def __init__(self, name: str, options: Options, lossy: Sequence[float]) -> None:
        self.name, self.options, self.lossy = name, options, tuple(sorted(lossy))
        self.bounded, self.lossless = "bound" in options, "lossless" in options

    def encode(self, models: Models, known: Known, setting: Setting) -> bytes:
        import velcodec
        from velcodec.formats.errors import VelcodecError

        try:
            return velcodec.compress(models, **self.options[setting.kind](setting.value))
        except VelcodecError as error:
            raise CannotKeepError(str(error)) from error

    def decode(self, stored: Stored, known: Known) -> Models:
        import velcodec

        return np.asarray(velcodec.decompress(archive_of(stored)), np.float32)

    def between(self, few: float, many: float) -> float | None:
        # Fits are slow, and budgets are requested directly.
        return None


def velcodec_peers(budgets: Sequence[float]) -> list[Peer]:
    """velcodec at budgets (bytes per model) and, if `compress` supports it, at one PSNR for all."""
    import velcodec

    found: list[Peer] = [Velcodec(NAME, BY_BYTES, budgets)]
    if "psnr" in inspect.signature(velcodec.compress).parameters:
        found.append(Velcodec(f"{NAME}, equal PSNR", BY_PSNR, DECIBELS))
    return found
