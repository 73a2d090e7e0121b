"""A fact stored twice in an archive is one fact: a contradiction is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
from builders import archive, decoder_bytes, entry_of, header, opening, stamp_of

from velcodec.formats.container.block import BlockId, header_from_checksum, pack_block
from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.framing import pack_tail
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.page import MAX_HEADERS, Page, Run
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.scan import FoundRecord, scan
from velcodec.formats.container.sections import (
    DECODER,
    DIRECTORY,
    HEADER,
    PAGE,
    USE,
    Place,
    pack_section,
)
from velcodec.formats.container.shards import FORMAT, MANIFEST, ShardedReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.decoder_file import read_decoder_file
from velcodec.formats.errors import CorruptError, DecoderFileError, VelcodecError
from velcodec.formats.storage.varint import encode_varint

OTHER = header(layouts=(Layout(5, 6),), decoder_name="other")
STAMP = stamp_of(opening())
PAYLOADS = (b"one", b"two", b"three", b"four")


def section(kind: bytes, body: bytes) -> bytes:
    return pack_section(kind, body, STAMP)


@dataclass
class Made:
    """A hand-made archive of four records, two under each of two headers; its
    index can be altered.
    """

    headers: list[int] = field(default_factory=lambda: [0, 0, 1, 1])
    told: list[int] = field(default_factory=lambda: [0, 0, 1, 1])
    sizes: list[int] = field(default_factory=lambda: [9, 9, 11, 10])
    counts: list[int] = field(default_factory=lambda: [1, 1, 1, 1])
    first: int = 0
    gap: int = 0
    between: bytes = b""
    directory: Callable[[Directory], Directory] = lambda found: found
    page_twice: bool = False

    def to_bytes(self) -> bytes:
        data = opening()
        place = Place(len(data), len(section(HEADER, OTHER.to_bytes(header(), 1))))
        data += section(HEADER, OTHER.to_bytes(header(), 1))
        data += section(USE, encode_varint(self.headers[0])) + self.between
        runs, begun = [], len(data)
        end = begun
        for number, payload in enumerate(PAYLOADS):
            if number and self.headers[number] != self.headers[number - 1]:
                data += section(USE, encode_varint(self.headers[number]))
            gap, end = len(data) - end, len(data)
            data += entry_of(opening(), number, payload, self.headers[number])
            runs.append(Run(gap + (self.gap if number == 2 else 0), 1, self.told[number]))
            end = len(data)
        sizes, counts = np.array(self.sizes), np.array(self.counts)
        page = Page(sizes, counts, tuple(runs), None, None, {}, self.first)
        body = section(PAGE, page.to_bytes())
        entry = PageEntry(Place(len(data), len(body)), begun, 4)
        data += body + (body if self.page_twice else b"")
        directory = section(
            DIRECTORY, self.directory(Directory(headers=(place,), pages=(entry,))).to_bytes()
        )
        return data + directory + pack_tail(len(directory))


Found = list[tuple[Header, bytes]]


def by_index(data: bytes) -> Found:
    reader = VlatReader(data)
    return [(reader.header_of(i), reader.payload(i)) for i in range(len(reader))]


def in_order(data: bytes) -> Found:
    found = [one for one in scan(io.BytesIO(data)) if isinstance(one, FoundRecord)]
    return [(one.header, one.payload) for one in found]


EXPECTED = [(OTHER if i > 1 else header(), payload) for i, payload in enumerate(PAYLOADS)]


def test_both_readers_find_the_same() -> None:
    assert by_index(Made().to_bytes()) == in_order(Made().to_bytes()) == EXPECTED


def without_pages(found: Directory) -> Directory:
    return replace(found, pages=())


def elsewhere(found: Directory) -> Directory:
    (page,) = found.pages
    return replace(found, pages=(replace(page, records_at=page.records_at - 1),))


def of_more(found: Directory) -> Directory:
    (page,) = found.pages
    return replace(found, pages=(replace(page, count=5),))


def at_another_header(found: Directory) -> Directory:
    (place,) = found.headers
    return replace(found, headers=(Place(place.at + 1, place.size - 1),))


def of_no_header(found: Directory) -> Directory:
    return replace(found, headers=())


def of_a_decoder_that_is_none(found: Directory) -> Directory:
    (page,) = found.pages
    return replace(found, decoders=(Place(page.records_at, 12),))


DIFFERENT: dict[str, Made] = {
    "header of the first record": Made(told=[1, 0, 1, 1]),
    "header of the last record": Made(told=[0, 0, 1, 0]),
    "headers of all records": Made(told=[1, 1, 0, 0]),
    "a header that is not there": Made(told=[0, 0, 2, 2]),
    "headers in the order of the file": Made(headers=[1, 1, 0, 0], told=[0, 0, 1, 1]),
    "size of a block": Made(sizes=[9, 8, 11, 10]),
    "sizes of two blocks": Made(sizes=[9, 9, 10, 11]),
    "records of a block": Made(sizes=[9, 9, 11, 10], counts=[1, 1, 2, 1]),
    "place of a record": Made(gap=1),
    "number of the first record": Made(first=1),
    "place of the page's records": Made(directory=elsewhere),
    "count of records": Made(directory=of_more),
    "no page": Made(directory=without_pages),
    "place of a header": Made(directory=at_another_header),
    "no later header": Made(directory=of_no_header),
    "a decoder where none stands": Made(directory=of_a_decoder_that_is_none),
    "a page twice": Made(page_twice=True),
}


@pytest.mark.parametrize("case", DIFFERENT)
@pytest.mark.parametrize("read", [by_index, in_order])
def test_where_index_and_order_differ_no_reader_gives_other_models(
    case: str, read: Callable[[bytes], Found]
) -> None:
    """A reader that goes by the index need not notice contradictions in what it
    does not ask for.
    """
    try:
        found = read(DIFFERENT[case].to_bytes())
    except VelcodecError:
        return
    assert read is by_index
    assert case in ("no page", "a decoder where none stands", "a page twice")
    assert found == ([] if case == "no page" else EXPECTED)


@pytest.mark.parametrize("number", [MAX_HEADERS, 2**31, 2**63, 2**64 - 1])
@pytest.mark.parametrize("read", [by_index, in_order])
def test_a_run_under_an_impossible_header_is_refused(
    number: int, read: Callable[[bytes], Found]
) -> None:
    data = Made(told=[0, 0, number, number]).to_bytes()
    with pytest.raises(CorruptError, match="index: found runs"):
        read(data)


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_front_to_back_reader_names_the_difference(case: str) -> None:
    with pytest.raises(CorruptError, match=r"index|directory|header"):
        in_order(DIFFERENT[case].to_bytes())


def test_a_record_inside_a_section_is_not_taken_for_the_one_outside() -> None:
    """Two records with one number; the index leads to the hidden one."""
    hidden = entry_of(opening(), 0, b"HID")
    note = section(b"z", hidden)
    made = Made(between=note)
    data = made.to_bytes()
    at = data.index(hidden)
    (page,) = VlatReader(data).directory.pages

    def hide(found: Directory) -> Directory:
        return replace(found, pages=(replace(page, records_at=at),))

    made.directory = hide
    with pytest.raises(CorruptError):
        in_order(made.to_bytes())


@pytest.mark.parametrize("payload", [b"", b"short", bytes(5000)])
def test_a_checksum_fits_exactly_one_header(payload: bytes) -> None:
    for number in (0, 1, 255, 256, MAX_HEADERS - 1):
        block = pack_block(BlockId(STAMP, 7, number), [payload])
        assert header_from_checksum(STAMP, 7, block) == number


def test_records_of_an_archive_that_differs_only_in_its_models_do_not_fit() -> None:
    one = archive([b"one", b"two", b"same"], apart=True)
    other = archive([b"uno", b"two", b"same"], apart=True)
    for number, payload in ((1, b"two"), (2, b"same")):
        mixed = one.replace(entry_of(one, number, payload), entry_of(other, number, payload))
        assert mixed != one
        for read in (by_index, in_order):
            with pytest.raises(CorruptError, match=f"record {number}: .* of another archive"):
                read(mixed)


@pytest.mark.parametrize("kind", [PAGE, DIRECTORY, HEADER])
def test_sections_of_another_archive_do_not_fit(kind: bytes) -> None:
    def made(first: bytes) -> bytes:
        out = io.BytesIO()
        writer = VlatWriter(out, header(), journal=True)
        writer.add(first)
        writer.use(OTHER)
        writer.add(b"two")
        if kind == PAGE:
            writer.end_page()
        writer.close()
        return out.getvalue()

    one, other = made(b"one"), made(b"uno")
    begins = {PAGE: b"\0P", DIRECTORY: b"\0L", HEADER: b"\0H"}[kind]
    at = one.rindex(begins)
    end = {PAGE: one.rindex(b"\0L"), DIRECTORY: len(one) - 8, HEADER: one.index(b"\1\3two")}[kind]
    assert one[at:end] != other[at:end]
    for read in (by_index, in_order):
        with pytest.raises(VelcodecError):
            read(one[:at] + other[at:end] + one[end:])


def repeated(body: bytes, key: str) -> bytes:
    """A msgpack mapping of under 15 keys with one key repeated with another value."""
    assert 0x80 <= body[0] < 0x8F
    return bytes([body[0] + 1]) + body[1:] + msgpack.packb(key) + msgpack.packb(7)


@pytest.mark.parametrize("key", ["n", "c", "l", "h"])
def test_a_repeated_key_is_refused_in_a_header(key: str) -> None:
    with pytest.raises(CorruptError, match=f"key '{key}' twice"):
        Header.from_bytes(repeated(header().to_bytes(), key))


def test_a_repeated_key_is_refused_in_a_page() -> None:
    from velcodec.formats.container.page import StoredPage

    body = Page(np.array([9]), np.ones(1), (Run(0, 1, 0),)).to_bytes()
    with pytest.raises(CorruptError, match="key 'x' twice"):
        StoredPage(repeated(body, "x"), 9, "index")


def shards(folder: Path, said: Callable[[list[int]], str]) -> ShardedReader:
    sizes = []
    for number in range(2):
        data = archive([b"one", b"two"][: number + 1])
        (folder / f"{number}.vlat").write_bytes(data)
        sizes.append(len(data))
    (folder / MANIFEST).write_text(said(sizes))
    return ShardedReader(folder)


def manifest(sizes: list[int]) -> str:
    names = [
        {"name": f"{number}.vlat", "models": number + 1, "bytes": size}
        for number, size in enumerate(sizes)
    ]
    return json.dumps({"format": FORMAT, "models": 3, "shards": names})


def test_a_manifest_with_a_wrong_size_of_a_shard_is_refused(tmp_path: Path) -> None:
    assert shards(tmp_path, manifest).payload(2) == b"two"
    reader = shards(tmp_path, lambda sizes: manifest([sizes[0], sizes[1] + 1]))
    with pytest.raises(CorruptError, match=r"shard 1\.vlat: found \d+ bytes, expected"):
        reader.payload(2)


@pytest.mark.parametrize("key", ["models", "shards", "bytes", "name"])
def test_a_repeated_key_is_refused_in_a_manifest(tmp_path: Path, key: str) -> None:
    def said(sizes: list[int]) -> str:
        text = manifest(sizes)
        return text.replace(f'"{key}"', f'"{key}": 1, "{key}"', 1)

    with pytest.raises(CorruptError, match=f"key '{key}' twice"):
        shards(tmp_path, said)


def test_a_repeated_tensor_is_refused_in_a_decoder_file() -> None:
    data = decoder_bytes()
    length = int.from_bytes(data[:8], "little")
    about = json.loads(data[8 : 8 + length])
    name = next(name for name in about if name != "__metadata__")
    again = json.dumps({name: about[name]})[1:-1]
    text = data[8 : 8 + length].rstrip()[:-1].decode() + f", {again}}}"
    padded = text.encode() + b" " * (-len(text) % 8)
    with pytest.raises(DecoderFileError, match=r"twice|duplicate|not a decoder file"):
        read_decoder_file(len(padded).to_bytes(8, "little") + padded + data[8 + length :])


def test_an_embedded_decoder_is_one_section(tmp_path: Path) -> None:
    stream = archive([b"one"])
    assert VlatReader(stream).embedded_decoders() == []
    place = Place(len(opening()), 9)
    with pytest.raises(CorruptError, match="each section once"):
        Directory.from_bytes(
            Directory(decoders=(place, place)).to_bytes(), Place(1000, 9), 40, "a.vlat"
        )
    assert DECODER == b"D"
