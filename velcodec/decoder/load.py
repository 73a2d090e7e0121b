"""Loaded decoders: from a name, a hash or a path to a frozen network on a device."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from velcodec.decoder import registry
from velcodec.decoder.base import Decoder
from velcodec.decoder.file import read_decoder

if TYPE_CHECKING:
    from velcodec.fit.encoder import Encoder


def load_decoder(wanted: str | bytes | Path | None = None, device: str = "cpu") -> Decoder:
    """The frozen decoder of a name, a hash or a path; the shipped default without any.

    Raises `MissingDecoderError` where none is found and `DecoderFileError` where its file is bad.
    """
    return _load(registry.find(wanted).path, device)


@lru_cache(maxsize=8)
def _load(path: Path, device: str) -> Decoder:
    decoder = read_decoder(path)
    decoder.encoder_path = registry.read_entry(path).encoder_path
    return decoder.to(device)


def load_encoder(decoder: Decoder) -> Encoder | None:
    """The amortised encoder kept beside a loaded decoder's file; None where there is none."""
    from velcodec.fit.encoder import read_encoder

    if decoder.encoder_path is None or not decoder.encoder_path.is_file():
        return None
    return read_encoder(decoder.encoder_path).to(decoder.device)
