"""Archives from the past decode to the very samples they were made to hold, on every machine."""

from __future__ import annotations

import json

import pytest
from make_exact import FOLDER, sha256

import velcodec

HASHES = json.loads((FOLDER / "hashes.json").read_text())


@pytest.mark.parametrize("name", sorted(HASHES))
def test_a_golden_archive_decodes_to_its_hash(name: str) -> None:
    assert sha256(FOLDER / name) == HASHES[name]


def test_golden_archives_show_every_coder_with_and_without_a_latent() -> None:
    from velcodec.decode.stored import read_record
    from velcodec.formats.sample_coding.coders import DCT, LABEL_MAP, MIXED

    found = set()
    for name in HASHES:
        with velcodec.open(FOLDER / name) as archive:
            for number in range(len(archive)):
                record = read_record(archive._reader, number)[1]
                assert record.exact is not None
                found.add((record.exact.coder, len(record.streams) > 0))
    assert found >= {
        (LABEL_MAP, False), (MIXED, False), (DCT, False), (MIXED, True),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(HASHES))
def test_what_was_measured_of_a_golden_archive_can_be_read(name: str) -> None:
    with velcodec.open(FOLDER / name) as archive:
        if "lossless" in name:
            assert archive.quality is None or min(q.psnr_db for q in archive.quality) == 100.0
        else:
            assert archive.quality is not None
            assert len(archive.quality) == len(archive)
