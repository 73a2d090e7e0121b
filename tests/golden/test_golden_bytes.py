"""A file from the past: its bytes are pinned, and reading it gives the integers stored in it."""

from __future__ import annotations

import hashlib
import re

import numpy as np
from make_golden import HEADER, PATH, TABLES, TILES, golden_bytes
from paths import GOLDEN

from velcodec.formats.container.reader import VlatReader
from velcodec.formats.latent_coding.stream import decode_tiles

LISTED = r"^    ([0-9a-f]{4})  +([0-9a-f]{2}(?: [0-9a-f]{2})*)(?: \.\. ([0-9a-f]{2}))?(?=  |$)"
SHA256 = "2fff61c2ef5e11e86dc67c75ccae1484e544211f8c8a47c92eb653a0ea72824c"


def test_the_golden_file_is_the_one_that_was_pinned() -> None:
    assert hashlib.sha256(PATH.read_bytes()).hexdigest() == SHA256


def test_the_documentation_takes_the_golden_file_apart() -> None:
    text = (GOLDEN.parent.parent / "docs" / "format.md").read_text()
    listed = text[text.index("## An example") :]
    at, data = 0, PATH.read_bytes()
    for place, first, left_out in re.findall(LISTED, listed, re.MULTILINE):
        assert int(place, 16) == at
        part = bytes.fromhex(first)
        assert data[at : at + len(part)] == part
        at += len(part)
        if left_out:  # ".. 1f": up to the next byte of this value
            at = data.index(bytes.fromhex(left_out), at) + 1
    assert at == len(data)


def test_the_golden_file_gives_the_stored_integers() -> None:
    with VlatReader(PATH) as reader:
        assert reader.header == HEADER
        found = decode_tiles(list(reader.payloads()), TABLES, reader.header.coding)
    assert found.coefficients.tolist() == [[1, 0, -7, 0], [0, 0, 0, 0]]
    for name in ("coefficients", "step", "low", "high"):
        assert np.array_equal(getattr(found, name), getattr(TILES, name))


def test_the_writer_still_makes_the_golden_file() -> None:
    assert golden_bytes() == PATH.read_bytes()
