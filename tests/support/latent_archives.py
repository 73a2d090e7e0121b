"""Archives of drawn latents, made without fitting anything."""

from __future__ import annotations

import io

import numpy as np

from velcodec.decode.stored import tables_of
from velcodec.decoder import Decoder
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.latent_coding.stream import TileCoding, Tiles, encode_tiles


def drawn_tiles(decoder: Decoder, n: int, seed: int = 0) -> Tiles:
    """n tiles whose coefficients are drawn as the decoder's tables expect them; the last one is
    constant.
    """
    random, tables = np.random.default_rng(seed), tables_of(decoder)
    rows = tables.frequencies[tables.classes[1, decoder.default_step]].astype(np.float64)
    rows[:, -1] = 0.0  # no escapes
    share = rows.cumsum(axis=1) / rows.sum(axis=1, keepdims=True)
    drawn = (random.random((n, len(rows), 1)) > share).sum(axis=2) - tables.limit
    low = np.full(n, 1500.0)
    high = np.where(np.arange(n) < n - 1, 4500.0, 1500.0)
    varied = high > low
    step = np.full(n, decoder.default_step) * varied
    return Tiles((drawn * varied[:, None]).astype(np.int32), step, low, high)


def latent_archive(
    decoder: Decoder, layout: Layout, models: int = 3, tiles: int = 1, seed: int = 0
) -> bytes:
    """An archive of models of `tiles` tiles one below the other, each of 2/3 of the depth where
    there are several.
    """
    found = drawn_tiles(decoder, models * tiles, seed)
    varied = found.high > found.low
    coding = TileCoding.for_tiles(found.low, found.high, found.step[varied], 4.0)
    header = Header(decoder.identity or b"", decoder.name, (layout,), coding, tiled=tiles > 1)
    streams = encode_tiles(found, tables_of(decoder), coding)
    size = layout.nz if tiles == 1 else layout.nz * 2 // 3
    stream = io.BytesIO()
    writer = VlatWriter(stream, header)
    for first in range(0, len(streams), tiles):
        own = streams[first : first + tiles]
        writer.add(pack_record(Record(0, tiles, 1, size, layout.nx, own), header))
    writer.close()
    return stream.getvalue()
