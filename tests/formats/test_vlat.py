"""The container: cheap, checked byte by byte, and the same from a file, from bytes, down a pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import HASH, archive, header, tile_archive

from velcodec.formats.errors import (
    CorruptError,
    InputFileError,
    KeyNotFoundError,
    NotVlatError,
    OptionError,
    TruncatedError,
    VelcodecError,
    VersionError,
)
from velcodec.formats.header import Header, Layout, Source
from velcodec.formats.tables import TOTAL
from velcodec.formats.tile_coding import TileCoding
from velcodec.formats.tile_stream import decode_tiles
from velcodec.formats.varint import encode_varint
from velcodec.formats.vlat import SIGNATURE, Quality, VlatReader, VlatWriter, record_checksum

PAYLOADS = [b"one", b"", bytes(range(256)) * 70, b"four"]


def contents(data: bytes) -> tuple[Header, list[bytes], object, object]:
    with VlatReader(data) as reader:
        return reader.header, list(reader.payloads()), reader.keys, reader.quality


def test_payloads_come_back_in_any_order() -> None:
    reader = VlatReader(archive(PAYLOADS))
    assert len(reader) == 4
    assert [reader.payload(i) for i in (3, 1, 2, 0)] == [PAYLOADS[i] for i in (3, 1, 2, 0)]
    assert reader.lengths == (3, 0, 17920, 4)


def test_an_archive_of_nothing_is_an_archive() -> None:
    assert contents(archive([]))[1:] == ([], None, None)


def test_tiles_come_back_through_the_container() -> None:
    data, batch, own = tile_archive(5)
    reader = VlatReader(data)
    found = decode_tiles(list(reader.payloads()), own, reader.header.coding)
    assert np.array_equal(found.coefficients, batch.coefficients)


def test_keys_and_quality_come_back() -> None:
    keys = ["a", "β", "", "x" * 1024]
    quality = [Quality(30.0 + i, 1.0, 256.0, 1.5) for i in range(4)]
    reader = VlatReader(archive(PAYLOADS, keys=keys, quality=quality))
    assert reader.keys == tuple(keys)
    assert reader.quality == tuple(quality)
    assert [reader.key_index(key) for key in keys] == [0, 1, 2, 3]
    with pytest.raises(KeyNotFoundError, match="'0'"):
        reader.key_index("0")


def test_numbers_are_the_keys_where_there_are_no_others() -> None:
    reader = VlatReader(archive(PAYLOADS))
    assert reader.keys is None
    assert reader.key_index("3") == 3
    for key in ("4", "-1", "03", "3.0", "", "٣", "9" * 5000):
        with pytest.raises(KeyNotFoundError):
            reader.key_index(key)


@pytest.mark.parametrize("number", [-1, 4, 2**70])
def test_a_record_that_is_not_there_is_refused(number: int) -> None:
    with pytest.raises(KeyNotFoundError, match="expected 0 to 3"):
        VlatReader(archive(PAYLOADS)).payload(number)


# --- overhead -------------------------------------------------------------------------------------


def test_a_record_costs_at_most_six_bytes_beside_its_stream() -> None:
    rng = np.random.default_rng(0)
    payloads = [rng.bytes(int(n)) for n in rng.normal(150, 20, 10_000).clip(20, 400)]
    beside = len(archive(payloads)) - len(archive([])) - sum(len(p) for p in payloads)
    assert beside / len(payloads) <= 6


def test_all_that_is_fixed_takes_at_most_250_bytes() -> None:
    own = header(
        TileCoding(1497.5, 0.25, 14, {11: 1, 12: TOTAL - 2, 13: 1}),
        decoder_name="siren-mixture-2026-11",
        layouts=(Layout(70, 70, "n1zx", "<f8", "km/s", 12.5, 7.5, 1000.0, 2000.0),),
        source=Source(HASH),
    )
    stream = bytes(160)
    assert len(archive([stream], own)) - len(stream) <= 250


# --- damage ---------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed_or_changes_nothing() -> None:
    data, *_ = tile_archive()
    whole = contents(data)
    for bit in range(8 * len(data)):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            found = contents(bytes(altered))
        except VelcodecError:
            continue
        assert found == whole


def test_every_cut_is_noticed() -> None:
    data = archive([b"one", b"two"], keys=["a", "b"])
    for cut in range(len(data)):
        with pytest.raises((NotVlatError, TruncatedError)):
            contents(data[:cut])


def test_bytes_at_the_end_are_noticed() -> None:
    with pytest.raises(VelcodecError):
        contents(archive(PAYLOADS) + b"\x00")


def test_swapped_records_are_noticed() -> None:
    data = archive([b"first", b"other"])
    a, b = data.index(b"first"), data.index(b"other")
    swapped = bytearray(data)
    swapped[a : a + 7], swapped[b : b + 7] = data[b : b + 7], data[a : a + 7]
    with pytest.raises(CorruptError, match="record 0: checksum"):
        VlatReader(bytes(swapped)).payload(0)


def test_one_altered_record_leaves_the_others_readable() -> None:
    data = bytearray(archive([b"first", b"other"]))
    data[data.index(b"first")] ^= 1
    reader = VlatReader(bytes(data))
    with pytest.raises(CorruptError, match="record 0: checksum does not match"):
        reader.payload(0)
    assert reader.payload(1) == b"other"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x93NUMPY", SIGNATURE[1:], b"\x00" * 99])
def test_what_is_not_an_archive_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(NotVlatError, match="archive: signature"):
        VlatReader(data)


def test_an_archive_through_a_text_mode_transfer_is_refused() -> None:
    with pytest.raises(NotVlatError):
        VlatReader(archive(PAYLOADS).replace(b"\r\n", b"\n"))


def test_an_unknown_version_is_refused_with_its_number() -> None:
    data = bytearray(archive(PAYLOADS))
    data[8] = 9
    with pytest.raises(VersionError, match="format version: found 9, expected 0"):
        VlatReader(bytes(data))


def with_header(body: bytes, length: int | None = None) -> bytes:
    start = SIGNATURE + b"\x00" + encode_varint(len(body) if length is None else length) + body
    return start + zlib.crc32(start).to_bytes(4, "little")


def with_trailer(length: int, body: bytes = b"") -> bytes:
    crc = zlib.crc32(body)
    end = length.to_bytes(4, "little") + crc.to_bytes(4, "little") + b"vlt\n"
    return with_header(header().to_bytes()) + b"\x00" + body + end


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (with_header(b"", 2**62), CorruptError, "header: found 4611686018427387904 bytes"),
        (with_header(b"", 2**22), TruncatedError, "header: found the end"),
        (SIGNATURE + b"\x00" + b"\xff" * 20, CorruptError, "header length: found an integer"),
        (with_header(b"\xc0"), CorruptError, "header: found NoneType"),
        (with_header(header().to_bytes()), TruncatedError, "end signature"),
        (with_trailer(2**32 - 1), CorruptError, "index: found a length of 4294967295"),
        (with_trailer(0), CorruptError, "index"),
        (with_trailer(1, b"\x80"), CorruptError, "index: 'n'"),
    ],
)
def test_lengths_that_cannot_be_are_refused(
    data: bytes, kind: type[VelcodecError], said: str
) -> None:
    with pytest.raises(kind, match=f"archive: {said}"):
        VlatReader(data)


def test_an_index_that_does_not_fit_the_records_is_refused() -> None:
    start = with_header(header().to_bytes())
    entry = encode_varint(4) + b"abc" + record_checksum(0, b"abc")
    other = archive([b"abcd"])
    index = other[len(start) + 1 + 4 + 2 :]
    with pytest.raises(CorruptError, match="index: found records of 7 bytes, expected 6"):
        VlatReader(start + entry + index)


# --- where from, where to -------------------------------------------------------------------------


def test_a_path_a_stream_and_bytes_read_the_same(tmp_path: Path) -> None:
    data = archive(PAYLOADS)
    path = tmp_path / "a.vlat"
    path.write_bytes(data)
    with path.open("rb") as stream:
        for source in (data, bytearray(data), path, str(path), stream, io.BytesIO(data)):
            reader = VlatReader(source)  # type: ignore[arg-type]
            assert list(reader.payloads()) == PAYLOADS
            assert reader.size == len(data)
        assert not stream.closed


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(archive(PAYLOADS)[:-1])
    with pytest.raises(TruncatedError, match=f"^{path}: end signature"):
        VlatReader(path)
    with pytest.raises(InputFileError, match=f"^{tmp_path / 'none'}: No such file"):
        VlatReader(tmp_path / "none")
    with pytest.raises(InputFileError, match="Is a directory"):
        VlatReader(tmp_path)


def test_a_pipe_cannot_be_read_as_an_archive() -> None:
    out, into = os.pipe()
    os.close(into)
    with os.fdopen(out, "rb") as stream, pytest.raises(InputFileError, match="read at any place"):
        VlatReader(stream)


def test_an_archive_is_written_into_a_pipe() -> None:
    code = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert not child.stdin.seekable()
        writer = VlatWriter(child.stdin, header())  # type: ignore[arg-type]
        for payload in PAYLOADS:
            writer.add(payload)
        writer.close()
        found, _ = child.communicate()
    assert found == archive(PAYLOADS)


def test_threads_share_a_reader(tmp_path: Path) -> None:
    payloads = [bytes([i]) * (i + 1) for i in range(200)]
    path = tmp_path / "a.vlat"
    path.write_bytes(archive(payloads))
    wrong: list[int] = []
    with VlatReader(path) as reader:

        def read(seed: int) -> None:
            for i in np.random.default_rng(seed).integers(0, 200, 300).tolist():
                if reader.payload(i) != payloads[i]:
                    wrong.append(i)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


# --- what a writer refuses ------------------------------------------------------------------------

Q = Quality(30.0, 1.0, 9.0, 1.0)
REFUSED: dict[str, Callable[[VlatWriter], None]] = {
    "a key for the second only": lambda w: w.add(b"b", key="b"),
    "a quality for the second only": lambda w: w.add(b"b", quality=Q),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns_are_for_all_records_or_for_none(case: str) -> None:
    writer = VlatWriter(io.BytesIO(), header())
    writer.add(b"a")
    with pytest.raises(OptionError, match=r"record 1: .*found one, expected none"):
        REFUSED[case](writer)
    writer = VlatWriter(io.BytesIO(), header())
    writer.add(b"a", key="a", quality=Q)
    with pytest.raises(OptionError, match=r"record 1: .*found none, expected one"):
        writer.add(b"b", key="b" if "quality" in case else None)


@pytest.mark.parametrize("key", ["a", "x" * 1025, "é" * 513, "\ud800"])
def test_keys_that_no_reader_would_take_are_not_written(key: str) -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    writer.add(b"first", key="a")
    with pytest.raises(OptionError, match="key"):
        writer.add(b"other", key=key)
    writer.add(b"other", key="b")
    writer.close()
    assert contents(stream.getvalue())[1:3] == ([b"first", b"other"], ("a", "b"))
