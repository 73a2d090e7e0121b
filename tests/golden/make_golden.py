"""Makes `two_models.vlat`, the archive that docs/format.md takes apart byte by byte.

It holds two models of 3 x 2 samples, coded with tables of four coefficients that are written out
below; the decoder that the header names does not exist. Run from the root of the checkout, only
when the format changes on purpose:

    python tests/golden/make_golden.py
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.latent_coding.coding import TileCoding
from velcodec.formats.latent_coding.stream import Tiles, encode_tiles
from velcodec.formats.latent_coding.tables import LatentTables

PATH = Path(__file__).parent / "two_models.vlat"

TABLES = LatentTables(
    frequencies=np.array(
        [[2048, 12288, 2044, 4], [4096, 8192, 4092, 4]], dtype=np.uint16
    ),  # coefficients -1, 0, 1 and the escape
    classes=np.array([[[1, 1, 0, 0]]], dtype=np.uint8),
    class_frequencies=np.array([16384], dtype=np.uint16),
)

TILES = Tiles(
    coefficients=np.array([[1, 0, -7, 0], [0, 0, 0, 0]], dtype=np.int32),
    step=np.array([0, 0]),
    low=np.array([1500.0, 2000.5]),
    high=np.array([1600.0, 2000.5]),
)

HEADER = Header(
    decoder_hash=bytes(range(32)),
    decoder_name="golden",
    layouts=(Layout(3, 2, "n1zx"),),
    coding=TileCoding(1500.0, 1.0, 9, {0: 16384}),
)


def golden_bytes() -> bytes:
    """The archive as the writer of this checkout makes it."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, HEADER)
    for payload in encode_tiles(TILES, TABLES, HEADER.coding):
        writer.add(payload)
    writer.close()
    return stream.getvalue()


if __name__ == "__main__":
    PATH.write_bytes(golden_bytes())
