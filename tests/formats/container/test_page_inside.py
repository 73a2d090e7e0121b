"""The index of a short archive stands in its directory, and stays there when records are added."""

from __future__ import annotations

import io
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import HASH, archive, decoder_bytes, header, opening, stamp_of

from velcodec.formats.container.append import append_to
from velcodec.formats.container.block import BlockId, pack_block
from velcodec.formats.container.directory import MAX_INSIDE_BYTES, Directory, PageEntry
from velcodec.formats.container.framing import pack_tail
from velcodec.formats.container.header import Layout, Source
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.container.page import Page, Run
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.salvage import salvage
from velcodec.formats.container.salvage.sections import DIRECTORIES_TRIED
from velcodec.formats.container.scan import FoundRecord, scan
from velcodec.formats.container.sections import DIRECTORY, PAGE, Place, pack_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, UnknownFeatureError
from velcodec.formats.released import DECODERS

OTHER = header(layouts=(Layout(5, 6),))
LETTERS = string.ascii_letters + string.digits
PAYLOADS = [b"one", b"", b"three" * 50, b"four"]


def kinds(data: bytes) -> list[bytes]:
    """The types of sections but headers, in order."""
    return [found.kind for found in scan(io.BytesIO(data)) if not isinstance(found, FoundRecord)]


def random_key(length: int, seed: int) -> str:
    """A key that zstd cannot shorten much."""
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), length))


def in_order(data: bytes) -> list[bytes]:
    return [one.payload for one in scan(io.BytesIO(data)) if isinstance(one, FoundRecord)]


def mixed() -> bytes:
    """Records under two headers, behind an embedded decoder."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), decoder=decoder_bytes())
    for number, payload in enumerate(PAYLOADS):
        writer.use(OTHER if number == 2 else header())
        writer.add(payload, key=f"k{number}")
    writer.close()
    return stream.getvalue()


def test_one_model_takes_at_most_90_bytes_beside_its_stream() -> None:
    name, identity = DECODERS[2]
    own = header(decoder_name=name, decoder_hash=identity, source=Source.of(HASH))
    data = archive([bytes(50)], own, quality=[StoredQuality(35.0, 12.0, 250.0, 1.5)])
    assert len(data) - 50 <= 90


def test_a_short_index_is_inside_the_directory_and_a_long_one_is_not() -> None:
    short = archive(PAYLOADS)
    assert kinds(short) == [DIRECTORY]
    keys = [random_key(1000, seed) for seed in range(8)]
    assert kinds(archive(PAYLOADS * 2, keys=keys)) == [PAGE, DIRECTORY]
    assert VlatReader(short).directory.inside is not None


def test_headers_and_decoders_between_the_records_change_nothing() -> None:
    data = mixed()
    reader = VlatReader(data)
    assert kinds(data)[-1] == DIRECTORY
    assert PAGE not in kinds(data)
    assert list(reader.payloads()) == in_order(data) == PAYLOADS
    assert reader.keys == ("k0", "k1", "k2", "k3")
    assert [reader.header_of(i) for i in range(4)] == [header(), header(), OTHER, header()]
    assert check_every_byte(reader) == []


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_addition_leaves_the_earlier_index_where_it_is(tmp_path: Path, times: int) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(mixed())
    before = path.read_bytes()
    for added in range(times):
        with append_to(path) as writer:
            writer.add(b"more", key=f"more {added}")
    data = path.read_bytes()
    assert data.startswith(before)
    reader = VlatReader(data)
    assert list(reader.payloads()) == in_order(data) == [*PAYLOADS, *[b"more"] * times]
    assert reader.directory.pages[0].place.at < len(before)
    assert reader.keys is not None
    assert reader.keys[:4] == ("k0", "k1", "k2", "k3")
    assert check_every_byte(reader) == []


def test_keys_are_salvaged_from_an_index_inside_the_directory(tmp_path: Path) -> None:
    data = bytearray(
        archive([bytes([i]) * 80 for i in range(60)], keys=[f"k{i}" for i in range(60)])
    )
    data[len(opening()) + 200] ^= 1  # in the first of two blocks
    found = salvage(bytes(data), "a.vlat")
    assert found.expected == 60
    assert found.has_keys
    assert 0 < len(found.records) < 60
    for record in found.records:
        assert record.page is not None
        assert record.page.keys is not None
        assert record.page.keys[record.number] == f"k{record.number}"


def made(sizes: Sequence[int] | None = None, told: dict[str, Any] | None = None) -> bytes:
    """An archive of a block of two records, with other facts in the page inside."""
    start = opening()
    block = pack_block(BlockId(stamp_of(start), 0, 0), [b"one", b"two"])
    fields: dict[str, Any] = {"counts": np.array([2]), "runs": (Run(0, 1, 0),), "first": 0}
    fields["sizes"] = np.array(sizes or [len(block)])
    body = Directory(inside=Page(**(fields | (told or {})))).to_bytes()
    directory = pack_section(DIRECTORY, body, stamp_of(start))
    return start + block + directory + pack_tail(len(directory))


def test_two_numbers_tell_the_only_block() -> None:
    data = made()
    assert list(VlatReader(data).payloads()) == in_order(data) == [b"one", b"two"]
    assert len(data) == len(archive([b"one", b"two"]))


@pytest.mark.parametrize(
    "told",
    [
        {"sizes": np.array([17])},
        {"counts": np.array([3])},
        {"runs": (Run(1, 1, 0),)},
        {"runs": (Run(0, 1, 1),)},
        {"first": 1},
        {"sizes": np.array([9, 9]), "counts": np.array([1, 1]), "runs": (Run(0, 2, 0),)},
    ],
    ids=["size", "count", "place", "header", "first", "two blocks"],
)
def test_a_page_inside_that_differs_from_the_file_is_refused(told: dict[str, Any]) -> None:
    data = made(told=told)
    with pytest.raises(CorruptError):
        in_order(data)
    with pytest.raises(CorruptError):
        list(VlatReader(data).payloads())


def test_a_directory_that_only_claims_to_hold_a_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(archive([]))
    with append_to(path) as writer:
        writer.add(b"one")
    data = path.read_bytes()
    first, second = VlatReader(archive([])), VlatReader(data)
    (entry,) = second.directory.pages
    assert first.directory.inside is None
    (found,) = [one for one in scan(io.BytesIO(archive([]))) if not isinstance(one, FoundRecord)]
    empty = Place(found.at, found.end - found.at)
    body = Directory(pages=(PageEntry(empty, entry.records_at, 1),)).to_bytes()
    cut = data[: entry.place.at + entry.place.size]
    directory = pack_section(DIRECTORY, body, second.stamp)
    with pytest.raises(CorruptError, match="found a directory without a page inside"):
        VlatReader(cut + directory + pack_tail(len(directory))).payload(0)


def test_an_unknown_key_of_a_page_inside_is_refused() -> None:
    body = Directory(inside=_WithKey(np.array([17]), np.array([1]), (Run(0, 1, 0),))).to_bytes()
    start = opening()
    directory = pack_section(DIRECTORY, body, stamp_of(start))
    block = pack_block(BlockId(stamp_of(start), 0, 0), [bytes(11)])
    with pytest.raises(UnknownFeatureError, match="index: found the unknown key 'Z'"):
        VlatReader(start + block + directory + pack_tail(len(directory)))


class _WithKey(Page):
    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"Z": 1}


def test_a_page_inside_is_of_bounded_length() -> None:
    seen = set()
    for size in range(100, 1000, 50):
        keys = [random_key(1000, 1000 + number) for number in range(5)] + [random_key(size, size)]
        data = archive([b"one"] * 6, keys=keys)
        inside = VlatReader(data).directory.inside
        assert inside is None or len(data) < MAX_INSIDE_BYTES + 200
        assert (inside is None) == (PAGE in kinds(data))
        assert VlatReader(data).keys == tuple(keys)
        seen.add(inside is None)
    assert seen == {True, False}


def test_only_the_first_page_may_be_inside_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(mixed())
    with append_to(path) as writer:
        writer.add(b"more", key="more")
    data = path.read_bytes()
    reader = VlatReader(data)
    first, second = reader.directory.pages
    swapped = PageEntry(first.place, second.records_at, second.count)
    other = PageEntry(second.place, first.records_at, first.count)
    body = Directory(reader.directory.headers, (other, swapped)).to_bytes()
    directory = pack_section(DIRECTORY, body, reader.stamp)
    altered = VlatReader(data + directory + pack_tail(len(directory)))
    with pytest.raises(CorruptError, match="expected a section P"):
        altered.payload(4)


def test_a_repair_reads_few_of_many_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claims as many blocks as a page may have, which takes a millisecond."""
    start = opening()
    block = pack_block(BlockId(stamp_of(start), 0, 0), [b"one", b"two"])
    page = Page(np.full(1 << 16, 8), np.ones(1 << 16, np.int64), (Run(0, 1 << 16, 0),))
    section = pack_section(DIRECTORY, Directory(inside=page).to_bytes(), stamp_of(start))
    tried, read = [], Directory.from_bytes

    def counted(body: bytes, *about: Any) -> Directory:
        tried.append(body)
        return read(body, *about)

    monkeypatch.setattr(Directory, "from_bytes", counted)
    found = salvage(start + block + section * 2000, "a.vlat")
    assert [record.number for record in found.records] == [0, 1]
    assert len(tried) <= 2 * DIRECTORIES_TRIED
