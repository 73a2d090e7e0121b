"""Records are copied between archives unchanged, with everything that the index says of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import archive, decoder_bytes, header
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container import copying
from velcodec.formats.container.copying import copy_records, runs_of_headers
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.shards import Shard, ShardedReader, write_manifest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, KeyNotFoundError, OptionError

HEADERS = [
    header(),
    header(decoder_name="other", layouts=(Layout(5, 6),)),
    header(provenance="drawn", user={"crew": 7}),
]
MODELS = 12


def source(decoder: bytes | None = None) -> bytes:
    """12 records under three headers; half have quality, a third has fields."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, HEADERS[0], decoder=decoder)
    for i in range(MODELS):
        writer.use(HEADERS[i // 2 % 3])
        quality = StoredQuality(30.0 + i, 1.0, 256.0, 1.0) if i % 2 else None
        fields = {"depth": float(i), "site": f"site {i % 4}"} if i % 3 == 0 else None
        writer.add(bytes([i]) * i, f"key {i}", quality, fields)
        if i == 7:
            writer.end_page()
    writer.close()
    return stream.getvalue()


def copied(reader: RecordReader, numbers: Sequence[int] | None, first: Header) -> VlatReader:
    stream = io.BytesIO()
    writer = VlatWriter(stream, first)
    count = copy_records(reader, writer, numbers)
    writer.close()
    assert count == (len(reader) if numbers is None else len(numbers))
    return VlatReader(stream.getvalue())


def told(reader: RecordReader, number: int) -> tuple[Any, ...]:
    """All that an archive says of a record, without unknown values."""
    columns = reader.columns_of([number])
    known = {
        name: value
        for name, (value,) in columns.fields.items()
        if value != "" and not (isinstance(value, float) and np.isnan(value))
    }
    quality = None if columns.quality is None else columns.quality.tolist()
    if quality == [[0], [255], [255], [255]]:
        quality = None
    return reader.payload(number), reader.header_of(number), columns.keys, quality, known


def check_same(reader: RecordReader, numbers: Sequence[int], copy: VlatReader) -> None:
    assert len(copy) == len(numbers)
    for row, number in enumerate(numbers):
        assert told(copy, row) == told(reader, number)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, MODELS - 1), unique=True),
    st.sampled_from(HEADERS),
    st.integers(1, 5),
)
def test_any_sequence_of_records_is_copied_whole(
    numbers: list[int], first: Header, at_once: int
) -> None:
    reader = VlatReader(source())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "RECORDS_AT_ONCE", at_once)
        check_same(reader, numbers, copied(reader, numbers, first))


def test_all_records_are_copied_by_default() -> None:
    reader = VlatReader(source())
    check_same(reader, range(MODELS), copied(reader, None, HEADERS[0]))


def test_a_copy_of_all_is_no_longer_than_the_original() -> None:
    data = archive([bytes([i]) * 9 for i in range(50)], keys=[f"k{i}" for i in range(50)])
    reader = VlatReader(data)
    assert copied(reader, None, reader.header).size == len(data)


def test_embedded_decoders_are_copied_too() -> None:
    decoder = decoder_bytes()
    reader = VlatReader(source(decoder))
    assert copied(reader, [3], HEADERS[0]).embedded_decoders() == [decoder]


def test_archives_are_joined_in_sequence() -> None:
    first, other = VlatReader(archive([b"a", b"b"])), VlatReader(archive([b"c"], HEADERS[1]))
    stream = io.BytesIO()
    writer = VlatWriter(stream, first.header)
    for reader in (first, other, first):
        copy_records(reader, writer)
    writer.close()
    joined = VlatReader(stream.getvalue())
    assert list(joined.payloads()) == [b"a", b"b", b"c", b"a", b"b"]
    assert [joined.header_number(i) for i in range(5)] == [0, 0, 1, 0, 0]


def test_records_of_many_shards_are_copied(tmp_path: Path) -> None:
    shards = []
    for i in range(3):
        path = tmp_path / f"s{i}.vlat"
        path.write_bytes(archive([b"%d" % i, b"x"], HEADERS[i], keys=[f"a{i}", f"b{i}"]))
        shards.append(Shard(path.name, 2, path.stat().st_size))
    write_manifest(tmp_path, shards)
    reader = ShardedReader(tmp_path)
    numbers = [5, 0, 2, 3, 1]
    check_same(reader, numbers, copied(reader, numbers, HEADERS[0]))


def test_blocks_come_under_one_header() -> None:
    reader = VlatReader(source())
    assert list(runs_of_headers(reader, range(8))) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert list(runs_of_headers(reader, [0, 6, 2, 1])) == [[0, 6], [2], [1]]
    assert list(runs_of_headers(reader, [])) == []


def test_a_record_copied_twice_is_refused_if_there_are_keys() -> None:
    reader = VlatReader(source())
    with pytest.raises(OptionError, match="key 'key 3': found it twice"):
        copied(reader, [3, 3], HEADERS[0])


def test_a_missing_or_altered_record_is_refused() -> None:
    data = bytearray(source())
    with pytest.raises(KeyNotFoundError):
        copied(VlatReader(bytes(data)), [0, MODELS], HEADERS[0])
    data[bytes(data).index(b"\x05" * 5)] ^= 1
    with pytest.raises(CorruptError, match=r"records? \d.*: checksum"):
        copied(VlatReader(bytes(data)), None, HEADERS[0])
