"""Every archive of format version 1 decodes for ever: the corpus, read by velcodec itself."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from corpus import (
    GOLDEN,
    LATENTS,
    METADATA,
    SHARDS,
    WITH_SAMPLES,
    check_rendering,
    digest,
    hashes,
    jsonable,
    renderings,
    sha_of,
    told,
)

import velcodec
from velcodec.decode.stored import read_record
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.sample_coding.coders import CODERS, LABEL_MAP
from velcodec.formats.sample_coding.domain import EVEN, ORDERED, PALETTE, RAW
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK, MEAN_ERROR_NETWORK

HASHES, RENDERINGS = hashes(), renderings()
MOST_BYTES = 1_500_000


def test_no_file_of_the_corpus_was_changed_or_taken_away() -> None:
    listed = {}
    for line in (GOLDEN / "SHA256SUMS").read_text().splitlines():
        sha, name = line.split("  ")
        listed[name] = sha
    kept = {".vlat", ".npz", ".json"}
    found = {str(p.relative_to(GOLDEN)): p for p in GOLDEN.rglob("*") if p.suffix in kept}
    assert set(found) == set(listed)
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name]
    assert sum(path.stat().st_size for path in found.values()) < MOST_BYTES


@pytest.mark.parametrize("name", [name for name in HASHES if name.startswith("samples/")])
def test_samples_have_their_hashes(name: str) -> None:
    with velcodec.open(GOLDEN / name) as archive:
        assert len(archive) == len(HASHES[name])
        for number, expected in enumerate(HASHES[name]):
            if expected is not None:
                assert sha_of(archive[number]) == expected


@pytest.mark.parametrize("key", RENDERINGS)
def test_latents_render_within_the_tolerance(key: str) -> None:
    name, number, *other = key.split("/")
    with velcodec.open(LATENTS / f"{name}.vlat") as archive:
        found = archive.decode(int(number), (17, 13) if other else None)
    check_rendering(found, RENDERINGS[key])


@pytest.mark.parametrize("name", told())
def test_all_that_an_archive_says_is_read(name: str) -> None:
    with VlatReader(METADATA / f"{name}.vlat") as reader:
        numbers = range(len(reader))
        found: Any = jsonable(
            {
                "models": len(reader),
                "headers": [head.to_dict() for head in reader.headers()],
                "header_of": [reader.header_number(i) for i in numbers],
                "keys": reader.keys,
                "quality": reader.quality and [tuple(row) for row in reader.quality],
                "fields": reader.fields_of(numbers),
                "ancillary": [[kind.decode(), body] for kind, body in reader.ancillary()],
            }
        )
    expected = told()[name]
    assert expected == (digest(found) if isinstance(expected, str) else found)


def test_shards_are_read_as_one() -> None:
    with velcodec.open(SHARDS) as archive:
        assert [float(model.min()) for model in archive] == [1500.0 + i for i in range(5)]


def test_the_corpus_has_every_representation() -> None:
    found, kinds, tiles, networks, volumes = set(), set(), set(), set(), set()
    for folder in [*WITH_SAMPLES, LATENTS]:
        for path in folder.glob("*.vlat"):
            with VlatReader(path) as reader:
                for number in range(len(reader)):
                    header, record = read_record(reader, number)
                    if record.bricks is not None:
                        volumes.add(header.exact is not None)
                        continue
                    tiles.add((record.exact is not None, min(len(record.streams), 2)))
                    if record.exact is not None and header.exact is not None:
                        kinds.add(header.exact.domains[record.exact.domain].kind)
                        found.add(record.exact.coder)
                        if record.exact.coder == LABEL_MAP:
                            networks.add(header.exact.network)
    assert found == set(range(CODERS))
    assert kinds == {EVEN, ORDERED, PALETTE, RAW}
    assert networks == {EXACT_NETWORK, MEAN_ERROR_NETWORK}
    assert volumes == {True}
    assert tiles == {(True, 0), (True, 1), (True, 2), (False, 1), (False, 2)}


def test_the_corpus_has_every_column_and_layout() -> None:
    with velcodec.open(METADATA / "fields.vlat") as archive:
        dtypes = {column.dtype.str for column in archive.fields.values()}
        assert dtypes >= {"<f8", "<f4", "<i8", "<i4", "<i2", "<u8", "<u4", "<u2", "|i1", "|u1"}
        assert dtypes >= {"|b1", "|O"}
    with velcodec.open(LATENTS / "layouts.vlat") as archive:
        assert {layout.axes for layout in archive.layouts} == {
            "zx", "nzx", "n1zx", "xz", "nxz", "n1xz"
        }  # fmt: skip
        assert {layout.units for layout in archive.layouts} == {"m/s", "km/s"}
        assert np.isin(
            ["<f4", ">f4", "<f8", ">f8", "<i2"], [lay.dtype for lay in archive.layouts]
        ).all()
