"""Stored tiles made ready for a decoder, without torch if the decoder allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from velcodec.decode.cpu_tiles import cpu_tiles
from velcodec.decode.render import TilesToRender
from velcodec.decoder.siren_mixture.frozen import FrozenMixture
from velcodec.formats.latent_coding.stream import Tiles

if TYPE_CHECKING:
    from velcodec.decoder import Decoder


def ready_tiles(decoder: Decoder | FrozenMixture, tiles: Tiles) -> TilesToRender:
    """Stored tiles, ready for the decoder."""
    if isinstance(decoder, FrozenMixture):
        return cpu_tiles(decoder, tiles)
    from velcodec.decode.torch_tiles import ready_tiles as torch_tiles

    return torch_tiles(decoder, tiles)
