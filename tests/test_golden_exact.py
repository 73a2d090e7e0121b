"""Archives from the past decode to the very samples they were made to hold, on every machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import velcodec

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))

from make_exact import FOLDER, sha256  # noqa: E402

HASHES = json.loads((FOLDER / "hashes.json").read_text())


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_golden_archive_decodes_to_its_hash(name: str) -> None:
    assert sha256(FOLDER / name) == HASHES[name]


def test_golden_archives_show_every_coder_with_and_without_a_latent() -> None:
    from velcodec.formats.exact.stream import LABELS, NUMBERS, WAVES
    from velcodec.stored import read_record

    found = set()
    for name in HASHES:
        with velcodec.open(FOLDER / name) as archive:
            for number in range(len(archive)):
                exact = read_record(archive._reader, number)[1].exact
                assert exact is not None
                found.add((exact.coder, exact.guided))
    assert found >= {
        (LABELS, False), (NUMBERS, False), (WAVES, False), (LABELS, True), (WAVES, True),
    }  # fmt: skip
