"""The container: small overhead, every byte checked, the same from a file, bytes or a pipe."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from builders import HASH, archive, entry_of, header, opening, stamp_of, tile_archive

from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import SIGNATURE, pack_tail
from velcodec.formats.container.header import Header, Layout, Source
from velcodec.formats.container.page import Page, Run
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.sections import DIRECTORY, PAGE, pack_section
from velcodec.formats.container.writer import VlatWriter
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
from velcodec.formats.latent_coding.coding import TileCoding
from velcodec.formats.latent_coding.stream import decode_tiles
from velcodec.formats.latent_coding.tables import TOTAL

PAYLOADS = [b"one", b"", bytes(range(256)) * 70, b"four"]


def contents(data: bytes) -> tuple[Header, list[bytes], object, object]:
    with VlatReader(data) as reader:
        return reader.header, list(reader.payloads()), reader.keys, reader.quality


def test_payloads_come_back_in_any_order() -> None:
    reader = VlatReader(archive(PAYLOADS))
    assert len(reader) == 4
    assert [reader.payload(i) for i in (3, 1, 2, 0)] == [PAYLOADS[i] for i in (3, 1, 2, 0)]
    assert reader.lengths.tolist() == [3, 0, 17920, 4]


def test_an_empty_archive_is_an_archive() -> None:
    assert contents(archive([]))[1:] == ([], None, None)


def test_tiles_come_back_through_the_container() -> None:
    data, batch, own = tile_archive(5)
    reader = VlatReader(data)
    found = decode_tiles(list(reader.payloads()), own, reader.header.coding)
    assert np.array_equal(found.coefficients, batch.coefficients)


def test_keys_and_quality_come_back() -> None:
    keys = ["a", "β", "", "x" * 1024]
    quality = [StoredQuality(30.0 + i, 1.0, 256.0, 1.5) for i in range(4)]
    reader = VlatReader(archive(PAYLOADS, keys=keys, quality=quality))
    assert reader.keys == tuple(keys)
    assert reader.quality == tuple(quality)
    assert [reader.key_index(key) for key in keys] == [0, 1, 2, 3]
    with pytest.raises(KeyNotFoundError, match="'0'"):
        reader.key_index("0")


def test_numbers_are_the_keys_if_there_are_no_others() -> None:
    reader = VlatReader(archive(PAYLOADS))
    assert reader.keys is None
    assert reader.key_index("3") == 3
    for key in ("4", "-1", "03", "3.0", "", "٣", "9" * 5000):
        with pytest.raises(KeyNotFoundError):
            reader.key_index(key)


@pytest.mark.parametrize("number", [-1, 4, 2**70])
def test_a_missing_record_is_refused(number: int) -> None:
    with pytest.raises(KeyNotFoundError, match="expected 0 to 3"):
        VlatReader(archive(PAYLOADS)).payload(number)


# --- overhead -------------------------------------------------------------------------------------


def test_a_record_costs_little_over_a_byte_beside_its_stream() -> None:
    rng = np.random.default_rng(0)
    payloads = [rng.bytes(int(n)) for n in rng.normal(150, 20, 10_000).clip(20, 400)]
    beside = len(archive(payloads)) - len(archive([])) - sum(len(p) for p in payloads)
    assert beside / len(payloads) <= 1.3


def test_two_and_a_half_bytes_also_hold_measured_quality_and_shared_fields() -> None:
    """Models of one family at 35 dB: a fifth stored exactly, the others spread about it."""
    rng, n = np.random.default_rng(0), 5_000
    exactly = rng.random(n) < 0.2
    mae = rng.lognormal(3.0, 0.35, n)
    worst, far = mae * rng.lognormal(2.3, 0.35, n), rng.gamma(16, 1 / 16, n)
    figures = np.stack([35.0 + rng.exponential(0.8, n), mae, worst, far])
    figures[:3, exactly] = [[100.0], [0.0], [0.0]]
    payloads = [rng.bytes(int(size)) for size in rng.normal(90, 15, n).clip(20, 200)]
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    for first in range(0, n, 1000):
        some = slice(first, first + 1000)
        writer.add_many(
            payloads[some],
            quality=[StoredQuality(*row) for row in figures[:, some].T],
            fields={"family": ["curvefault_a"] * 1000, "crs": ["EPSG:32631"] * 1000},
        )
    writer.close()
    beside = len(stream.getvalue()) - sum(len(p) for p in payloads)
    assert beside / n <= 2.5


def test_everything_stored_once_takes_at_most_200_bytes() -> None:
    own = header(
        TileCoding(1497.5, 0.25, 14, {11: 1, 12: TOTAL - 2, 13: 1}),
        decoder_name="siren-mixture-2026-11",
        layouts=(Layout(70, 70, "n1zx", "<f8", "km/s", 12.5, 7.5, 1000.0, 2000.0),),
        source=Source.of(HASH),
    )
    stream = bytes(160)
    assert len(archive([stream], own)) - len(stream) <= 200


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


def test_bytes_at_the_end_are_an_unfinished_addition() -> None:
    data = archive(PAYLOADS)
    reader = VlatReader(data + b"\x00more")
    assert list(reader.payloads()) == PAYLOADS
    assert reader.unfinished == 5
    assert VlatReader(data).unfinished == 0


def test_a_tail_inside_a_record_does_not_count() -> None:
    inner = archive([b"inner"])
    data = archive([b"outer", inner])
    assert list(VlatReader(data).payloads()) == [b"outer", inner]
    reader = VlatReader(data + inner[20:-1] + b"more")
    assert (len(reader), reader.unfinished) == (2, len(inner) - 17)


def test_a_file_full_of_tails_is_refused() -> None:
    data = archive(PAYLOADS)
    with pytest.raises(TruncatedError, match="end signature"):
        VlatReader(data + pack_tail(9) * 300 + b"more")


def test_swapped_records_are_noticed() -> None:
    data = archive([b"first", b"other"], apart=True)
    a, b = data.index(b"first"), data.index(b"other")
    swapped = bytearray(data)
    swapped[a : a + 9], swapped[b : b + 9] = data[b : b + 9], data[a : a + 9]
    with pytest.raises(CorruptError, match="record 0: checksum"):
        VlatReader(bytes(swapped)).payload(0)


def test_an_altered_block_leaves_the_others_readable() -> None:
    payloads = [b"%03d" % i for i in range(100)]
    data = bytearray(archive(payloads))
    data[data.index(b"010")] ^= 1
    reader = VlatReader(bytes(data))
    for number, payload in enumerate(payloads):
        if number < 64:
            with pytest.raises(CorruptError, match="records 0 to 63: checksum does not match"):
                reader.payload(number)
        else:
            assert reader.payload(number) == payload


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x93NUMPY", SIGNATURE[1:], b"\x00" * 99])
def test_a_file_that_is_not_an_archive_is_refused_as_such(data: bytes) -> None:
    with pytest.raises(NotVlatError, match="archive: signature"):
        VlatReader(data)


def test_an_archive_through_a_text_mode_transfer_is_refused() -> None:
    with pytest.raises(NotVlatError):
        VlatReader(archive(PAYLOADS).replace(b"\r\n", b"\n"))


def test_an_unknown_version_is_refused_with_its_number() -> None:
    data = bytearray(archive(PAYLOADS))
    data[8] = 9
    with pytest.raises(VersionError, match="format version: found 9, expected 1"):
        VlatReader(bytes(data))


def with_directory(*parts: list[int], head: bytes | None = None) -> bytes:
    """An archive of one header and a directory with these parts."""
    data = opening(head)
    section = pack_section(DIRECTORY, b"\x00" + msgpack.packb(parts), stamp_of(data))
    return data + section + pack_tail(len(section))


FIRST, STAMP = len(opening()), stamp_of(opening())
ODD: dict[str, tuple[bytes, str]] = {
    "no directory": (opening() + pack_tail(0), "directory: found b"),
    "a directory before the start": (
        opening() + pack_tail(FIRST), "directory: found a size of",
    ),
    "a directory elsewhere": (
        opening() + pack_tail(FIRST - 9), "directory: found b",
    ),
    "a directory of no array": (
        opening() + pack_section(DIRECTORY, b"\x00\x80", STAMP) + pack_tail(13), "directory",
    ),
    "five parts": (with_directory([], [], [], [], []), "directory: found 5 arrays"),
    "half a place": (with_directory([], [9], []), "directory: found 1 numbers"),
    "a page and a half": (with_directory([9] * 6, [], []), "directory: found 6 numbers"),
    "a header beyond the end": (with_directory([], [9, 10**9], []), "directory: found Place"),
    "a page of nothing": (with_directory([9, 9, 9, 0], [], []), "directory: found PageEntry"),
    "records before the start": (
        with_directory([9, 9, -1, 1], [], []), "directory: found PageEntry",
    ),
    "places that are no numbers": (with_directory(["9", 9], [], []), "directory"),  # type: ignore[list-item]
    "a header that is none": (with_directory([], [], [], head=b"\xc0"), "header: found NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_impossible_places_are_refused(case: str) -> None:
    data, said = ODD[case]
    with pytest.raises(VelcodecError, match=f"archive: {said}"):
        VlatReader(data)


@pytest.mark.parametrize("place", [[10, 20], [9, 20]])
def test_a_misplaced_header_is_refused(place: list[int]) -> None:
    own = Page(np.array([9]), np.ones(1), (Run(0, 1, 1),))
    data = opening() + entry_of(opening(), 0, b"abc", 1)
    section = pack_section(PAGE, own.to_bytes(), STAMP)
    packed = [[len(data), len(section), FIRST, 1], place, []]
    end = pack_section(DIRECTORY, b"\x00" + msgpack.packb(packed), STAMP)
    reader = VlatReader(data + section + end + pack_tail(len(end)))
    assert reader.payload(0) == b"abc"
    with pytest.raises(CorruptError, match="header: found"):
        reader.header_of(0)


def test_a_page_that_does_not_fit_the_records_is_refused() -> None:
    own = Page(np.array([10**6]), np.ones(1), (Run(0, 1, 0),))
    data = opening() + entry_of(opening(), 0, b"abc")
    section = pack_section(PAGE, own.to_bytes(), STAMP)
    packed = [[len(data), len(section), FIRST, 1], [], []]
    end = pack_section(DIRECTORY, b"\x00" + msgpack.packb(packed), STAMP)
    whole = data + section + end + pack_tail(len(end))
    with pytest.raises(CorruptError, match="index: found records of 1000000 bytes in"):
        VlatReader(whole).payload(0)


def test_a_page_with_another_count_than_the_directory_is_refused() -> None:
    data = archive([b"a", b"b"])
    reader = VlatReader(data)
    entry = reader.directory.pages[0]
    wrong = Directory((), (replace(entry, count=3),))
    end = pack_section(DIRECTORY, wrong.to_bytes(), stamp_of(data))
    start = data[: entry.place.at + entry.place.size]
    with pytest.raises(CorruptError, match="index: found 2 records, expected 3"):
        VlatReader(start + end + pack_tail(len(end))).payload(0)


# --- sources and targets
# ---------------------------------------------------------------------------


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
    with (
        os.fdopen(out, "rb") as stream,
        pytest.raises(InputFileError, match="expected a seekable file"),
    ):
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


def test_all_records_have_keys_or_none_has() -> None:
    writer = VlatWriter(io.BytesIO(), header())
    writer.add(b"a")
    with pytest.raises(OptionError, match=r"record 1: keys: found some, expected none"):
        writer.add(b"b", key="b")
    writer = VlatWriter(io.BytesIO(), header())
    writer.add(b"a", key="a")
    with pytest.raises(OptionError, match=r"record 1: keys: found none, expected some"):
        writer.add(b"b")


def test_values_that_some_records_lack_are_unknown() -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    writer.add(
        b"a", quality=StoredQuality(30.0, 1.0, 9.0, 1.0), fields={"depth": 3, "site": "north"}
    )
    writer.add(b"b")
    writer.close()
    reader = VlatReader(stream.getvalue())
    assert reader.quality is not None
    assert reader.quality[1][:3] == (0.0, math.inf, math.inf)
    assert np.array_equal(reader.fields["depth"], [3.0, math.nan], equal_nan=True)
    assert reader.fields["site"].tolist() == ["north", ""]


@pytest.mark.parametrize(
    "fields",
    [{"": 1}, {"x" * 257: 1}, {"a": object()}, {"a": "\ud800"}, {"a": "x" * 4097}, {"a": 1j}],
)
def test_fields_that_a_reader_would_refuse_are_not_written(fields: dict[str, Any]) -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    with pytest.raises(OptionError, match="field"):
        writer.add(b"first", fields=fields)
    writer.add(b"first")
    writer.close()
    assert list(VlatReader(stream.getvalue()).payloads()) == [b"first"]


def test_columns_of_another_length_are_not_written() -> None:
    writer = VlatWriter(io.BytesIO(), header())
    with pytest.raises(OptionError, match="keys: found 1, expected 2"):
        writer.add_many([b"a", b"b"], keys=["a"])
    with pytest.raises(OptionError, match="field 'depth': found shape"):
        writer.add_many([b"a", b"b"], fields={"depth": [1]})


@pytest.mark.parametrize("key", ["a", "x" * 1025, "é" * 513, "\ud800"])
def test_keys_that_a_reader_would_refuse_are_not_written(key: str) -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    writer.add(b"first", key="a")
    with pytest.raises(OptionError, match="key"):
        writer.add(b"other", key=key)
    writer.add(b"other", key="b")
    writer.close()
    assert contents(stream.getvalue())[1:3] == ([b"first", b"other"], ("a", "b"))
