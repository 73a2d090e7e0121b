"""Read front to back, an archive says the same as by its index, and any damage
is reported in time.
"""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from builders import archive, decoder_bytes, entry_of, header, opening, stamp_of

from velcodec.formats.container.append import append_to
from velcodec.formats.container.block import MAX_RECORD_BYTES, BlockId, pack_block
from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.framing import START, TAIL_BYTES, pack_tail
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.page import Page, Run
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.scan import FoundRecord, scan
from velcodec.formats.container.sections import (
    DECODER,
    DIRECTORY,
    HEADER,
    PAGE,
    USE,
    Place,
    Section,
    pack_section,
)
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    NotVlatError,
    TruncatedError,
    UnknownFeatureError,
    VelcodecError,
    VersionError,
)
from velcodec.formats.storage.varint import encode_varint

OTHER = header(decoder_name="other", layouts=(Layout(5, 6),))
PAYLOADS = [b"one", b"", b"three" * 50, b"four"]
Found = list[tuple[int, Header, bytes]]


def records(data: bytes) -> Found:
    return [
        (found.number, found.header, found.payload)
        for found in scan(io.BytesIO(data))
        if isinstance(found, FoundRecord)
    ]


def indexed(data: bytes) -> Found:
    reader = VlatReader(data)
    return [(i, reader.header_of(i), reader.payload(i)) for i in range(len(reader))]


def written(*, journal: bool = False, decoder: bytes | None = None) -> bytes:
    """Four records under two alternating headers; with a journal each ends a page."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), journal=journal, decoder=decoder)
    for i, payload in enumerate(PAYLOADS):
        writer.use(OTHER if i in (1, 2) else header())
        writer.add(payload, f"key {i}")
        if journal:
            writer.end_page()
    writer.close()
    return stream.getvalue()


def appended(path: Path) -> bytes:
    path.write_bytes(written())
    with append_to(path) as writer:
        writer.use(OTHER)
        writer.add(b"five", "five")
    with append_to(path) as writer:
        writer.add(b"six", "six")
    return path.read_bytes()


@pytest.fixture(params=["plain", "journalled", "with a decoder", "appended", "empty"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    return {
        "plain": written,
        "journalled": lambda: written(journal=True),
        "with a decoder": lambda: written(decoder=decoder_bytes()),
        "appended": lambda: appended(tmp_path / "a.vlat"),
        "empty": lambda: archive([]),
    }[request.param]()


def test_a_scan_finds_what_the_index_lists(data: bytes) -> None:
    assert records(data) == indexed(data)


def test_a_scan_reads_from_a_pipe(data: bytes) -> None:
    out, into = os.pipe()

    def feed() -> None:
        with os.fdopen(into, "wb", buffering=0) as stream:
            for at in range(0, len(data), 7):  # pieces with which no record ends
                stream.write(data[at : at + 7])

    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(out, "rb", buffering=0) as stream:
        found = [
            (one.number, one.header, one.payload)
            for one in scan(stream)  # type: ignore[arg-type]
            if isinstance(one, FoundRecord)
        ]
    feeder.join()
    assert found == indexed(data)


def test_sections_are_found_in_their_places() -> None:
    decoder = decoder_bytes()
    data = written(journal=True, decoder=decoder)
    sections = [one for one in scan(io.BytesIO(data)) if isinstance(one, Section)]
    assert [one.kind for one in sections] == [DECODER, PAGE, PAGE, PAGE, PAGE, DIRECTORY]
    assert sections[0].body == decoder
    reader = VlatReader(data)
    assert [one.at for one in sections if one.kind == PAGE] == [
        page.place.at for page in reader.directory.pages
    ]
    for one in sections:
        assert data[one.at : one.end] == pack_section(one.kind, one.body, stamp_of(data))


def test_a_cut_gives_the_records_before_it_and_then_an_error(data: bytes) -> None:
    whole = indexed(data)
    closed = [len(data)]  # a grown archive is also complete where the old one ended
    for one in scan(io.BytesIO(data)):
        if isinstance(one, Section) and one.kind == DIRECTORY:
            closed.append(one.end + TAIL_BYTES)
    for cut in range(len(data)):
        found: Found = []
        with pytest.raises((TruncatedError, NotVlatError)) if cut not in closed else nullcontext():
            for one in scan(io.BytesIO(data[:cut])):
                if isinstance(one, FoundRecord):
                    found.append((one.number, one.header, one.payload))
        blocks = [VlatReader(data).locate(number) for number, _, _ in whole]
        ends = [block.at + block.size for block in blocks]
        assert found == [row for row, end in zip(whole, ends, strict=True) if end <= cut]


def test_every_flipped_bit_is_noticed_or_changes_nothing() -> None:
    data = written()
    whole = records(data)
    for bit in range(8 * len(data)):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            found = records(bytes(altered))
        except VelcodecError:
            continue
        assert found == whole


STAMP = stamp_of(opening())
START_OF_ONE = opening() + entry_of(opening(), 0, b"abc")


def stamped(kind: bytes, body: bytes) -> bytes:
    return pack_section(kind, body, STAMP)


def index_of(data: bytes, *lengths: int) -> bytes:
    """A page and a directory for the records after the first header, at the end of `data`."""
    sizes = np.array(lengths, np.int64) + 6
    runs = RUNS[len(lengths)]
    page = stamped(PAGE, Page(sizes, np.ones(len(sizes)), runs).to_bytes())
    entry = PageEntry(Place(len(data), len(page)), len(opening()), len(lengths))
    return closed(data + page, Directory(pages=(entry,)))


RUNS = {1: (Run(0, 1, 0),), 2: (Run(0, 1, 0), Run(15, 1, 0))}


def closed(data: bytes, directory: Directory) -> bytes:
    end = stamped(DIRECTORY, directory.to_bytes())
    return data + end + pack_tail(len(end))


def test_a_section_of_an_unknown_lower_case_type_is_skipped() -> None:
    note = stamped(b"z", b"whatever")
    assert len(note) == 15
    data = index_of(START_OF_ONE + note + entry_of(opening(), 1, b"def"), 3, 3)
    assert [payload for _, _, payload in records(data)] == [b"abc", b"def"]
    found = [one for one in scan(io.BytesIO(data)) if isinstance(one, Section)]
    assert (found[0].kind, found[0].body) == (b"z", b"whatever")


@pytest.mark.parametrize("kind", [b"Z", b"A"])
def test_a_section_of_an_unknown_capital_type_is_refused(kind: bytes) -> None:
    data = START_OF_ONE + stamped(kind, b"whatever")
    with pytest.raises(
        UnknownFeatureError, match=r"section b'[ZA]' at byte .* expected a known one"
    ):
        records(data)
    with pytest.raises(CorruptError, match="checksum does not match"):
        records(data[:-1] + bytes([data[-1] ^ 1]))


def long_section(kind: bytes, length: int) -> bytes:
    return b"\x00" + kind + encode_varint(length)


ODD: dict[str, tuple[bytes, str]] = {
    "a record before any header": (START + entry_of(opening(), 0, b"abc"), "before any header"),
    "a use before any header": (START + pack_section(USE, b"\x00"), "header number 0 of 0"),
    "a header that is not there": (START_OF_ONE + stamped(USE, b"\x01"), "number 1 of 1"),
    "a use of nothing": (START_OF_ONE + stamped(USE, b""), "header number"),
    "a use and more": (START_OF_ONE + stamped(USE, b"\x00\x00"), "header number"),
    "a record twice": (START_OF_ONE + entry_of(opening(), 0, b"abc"), "record 1: checksum"),
    "another tail": (index_of(START_OF_ONE, 3)[:-8] + pack_tail(9), "end signature"),
    "no tail": (index_of(START_OF_ONE, 3)[:-8], "end signature"),
    "a directory of nothing": (closed(START_OF_ONE, Directory()), "records without a page"),
    "a huge section": (START_OF_ONE + long_section(b"z", 1 << 40), "found 1099511627776 bytes"),
    "a large section": (START_OF_ONE + long_section(b"z", 1 << 28), "found the end"),
    "a large header": (START + long_section(HEADER, 1 << 28), "found the end"),
    "a huge record": (START_OF_ONE + b"\1" + encode_varint(MAX_RECORD_BYTES), "record 1: found"),
    "a block of nothing": (START_OF_ONE + b"\x80\x00" * 9, "record 1: found 0 records"),
    "a block of many": (START_OF_ONE + b"\x41" * 99, "record 1: found 65 records"),
    "a large record": (
        START_OF_ONE + b"\1" + encode_varint(MAX_RECORD_BYTES - 1),
        "found the end",
    ),
    "records that take more than a block": (
        START_OF_ONE + b"\x02" + encode_varint(2049) + b"\0" * 9,
        "record 1: lengths: found 2 of 2049 bytes",
    ),
    "bits behind the lengths": (START_OF_ONE + b"\x02\x03\0\x80" + bytes(20), "expected zeros"),
    "no end": (START_OF_ONE, "found the end .* behind 1 records, expected an index"),
    "a length that never ends": (START_OF_ONE + b"\xff" * 20, "record 1"),
}


@pytest.mark.parametrize("case", ODD)
def test_impossible_data_is_refused_with_little_memory(case: str) -> None:
    data, said = ODD[case]
    tracemalloc.start()
    with pytest.raises((CorruptError, TruncatedError), match=said):
        records(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", NotVlatError), (b"PK\x03\x04", NotVlatError), (START[:8] + b"\x09", VersionError)],
)
def test_what_is_not_an_archive_is_refused(data: bytes, error: type[VelcodecError]) -> None:
    with pytest.raises(error):
        records(data)


def test_one_block_is_held_at_a_time() -> None:
    payload = bytes(1 << 16)

    class Endless(io.RawIOBase):
        """400 records of 64 KiB, made as they are read."""

        parts: Iterator[bytes] = iter(())
        rest = START_OF_ONE
        number = 0

        def read(self, size: int = -1) -> bytes:
            while len(self.rest) < size and self.number < 400:
                self.number += 1
                self.rest += pack_block(BlockId(STAMP, self.number, 0), [payload])
            found, self.rest = self.rest[:size], self.rest[size:]
            return found

    tracemalloc.start()
    found = (1 for _ in scan(Endless()))  # type: ignore[arg-type]
    with pytest.raises(TruncatedError, match="behind 401 records"):
        sum(found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
