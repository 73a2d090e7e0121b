"""A file from the past: its bytes are pinned, and reading it gives the integers stored in it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from velcodec.formats.reader import VlatReader
from velcodec.formats.tile_stream import decode_tiles

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))

from make_golden import HEADER, PATH, TABLES, TILES, golden_bytes  # noqa: E402

SHA256 = "6d278b7ae423b23e69f9aeeb7e80cd173de1f9f548cae3a3ff318d07cd512bfc"


def test_the_golden_file_is_the_one_that_was_pinned() -> None:
    assert hashlib.sha256(PATH.read_bytes()).hexdigest() == SHA256


def test_the_golden_file_gives_the_stored_integers() -> None:
    with VlatReader(PATH) as reader:
        assert reader.header == HEADER
        found = decode_tiles(list(reader.payloads()), TABLES, reader.header.coding)
    assert found.coefficients.tolist() == [[1, 0, -7, 0], [0, 0, 0, 0]]
    for name in ("coefficients", "step", "low", "high"):
        assert np.array_equal(getattr(found, name), getattr(TILES, name))


def test_the_writer_still_makes_the_golden_file() -> None:
    assert golden_bytes() == PATH.read_bytes()
