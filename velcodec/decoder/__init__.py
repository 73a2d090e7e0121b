"""Decoders: two architectures behind one interface, their files, and where to find them.

Names are imported when they are first used, so that `velcodec.decoder.registry` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from velcodec.decoder.base import Decoder
    from velcodec.decoder.file import read_decoder, save_decoder
    from velcodec.decoder.load import load_decoder, load_encoder
    from velcodec.decoder.siren_concat import ConcatConfig, SirenConcat
    from velcodec.decoder.siren_mixture.network import SirenMixture
    from velcodec.decoder.sizes import LATENT_SIZE, NATIVE_SAMPLES, MixtureConfig

_HOMES = {
    "LATENT_SIZE": "layout",
    "NATIVE_SAMPLES": "layout",
    "ConcatConfig": "siren_concat",
    "Decoder": "base",
    "MixtureConfig": "layout",
    "SirenConcat": "siren_concat",
    "SirenMixture": "siren_mixture",
    "load_decoder": "load",
    "load_encoder": "load",
    "read_decoder": "file",
    "save_decoder": "file",
}

__all__ = [
    "LATENT_SIZE",
    "NATIVE_SAMPLES",
    "ConcatConfig",
    "Decoder",
    "MixtureConfig",
    "SirenConcat",
    "SirenMixture",
    "load_decoder",
    "load_encoder",
    "read_decoder",
    "save_decoder",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
