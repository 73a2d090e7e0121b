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
    from velcodec.decode.stored import read_record
    from velcodec.formats.sample_coding.stream import LABELS, NUMBERS, WAVES

    found = set()
    for name in HASHES:
        with velcodec.open(FOLDER / name) as archive:
            for number in range(len(archive)):
                record = read_record(archive._reader, number)[1]
                assert record.exact is not None
                found.add((record.exact.coder, len(record.streams) > 0))
    assert found >= {
        (LABELS, False), (NUMBERS, False), (WAVES, False), (LABELS, True), (WAVES, True),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(HASHES))
def test_what_was_measured_of_a_golden_archive_can_be_read(name: str) -> None:
    with velcodec.open(FOLDER / name) as archive:
        if "lossless" in name:
            assert archive.quality is None or min(q.psnr_db for q in archive.quality) == 100.0
        else:
            assert archive.quality is not None
            assert len(archive.quality) == len(archive)
