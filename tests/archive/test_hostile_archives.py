"""Archives that claim too much are refused in little memory."""

from __future__ import annotations

import io
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard
from builders import archive, exact_coding, header, opening, stamp_of, tables

import velcodec
from velcodec.formats.container.framing import END_SIGNATURE, START, pack_tail
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.journal import read_journal
from velcodec.formats.container.page import Page, Run
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record import unpack_record
from velcodec.formats.container.salvage import salvage
from velcodec.formats.container.scan import FoundRecord, scan
from velcodec.formats.container.sections import DECODER, DIRECTORY, PAGE, Place, pack_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    OptionError,
    RepairError,
    ResolutionError,
    VelcodecError,
)
from velcodec.formats.latent_coding.stream import decode_tiles
from velcodec.formats.sample_coding.coders import DCT, MIXED
from velcodec.formats.sample_coding.domain import RAW, Domain
from velcodec.formats.storage.varint import encode_varint

HUGE, LARGE = Layout(1 << 16, 1 << 16), Layout(10_001, 10_000)
LITTLE = 8 << 20


def peak_of(ask: Callable[[], Any], error: type[VelcodecError], match: str | None = None) -> int:
    """Peak memory until the refusal, with all modules already imported."""
    with pytest.raises(error):
        ask()
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match) as caught:
            ask()
        assert "\n" not in str(caught.value)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def exact(layout: Layout, payload: bytes, domain: Domain | None = None) -> bytes:
    """An archive of one record with an exact stream of this layout."""
    coding = exact_coding(domain or Domain(0, 1500.0, 1.0, 3001))
    return archive([payload], header(layouts=(layout,), exact=coding))


@pytest.mark.parametrize("layout", [HUGE, LARGE], ids=["huge", "large"])
@pytest.mark.parametrize("coder", range(3))
def test_a_very_large_model_is_decoded_only_with_allow_large(layout: Layout, coder: int) -> None:
    data = exact(layout, encode_varint(1 + 2 * coder) + b"ab")
    asked: list[Callable[[], Any]] = [
        lambda: velcodec.open(data)[0],
        lambda: velcodec.decompress(data),
    ]
    for ask in asked:
        assert peak_of(ask, ResolutionError, "allow-large") < LITTLE


def test_raw_samples_that_inflate_beyond_their_layout_are_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 27))
    data = exact(Layout(70, 70), encode_varint(1) + bomb, Domain(RAW, 0, 1.0, 1))
    assert peak_of(lambda: velcodec.open(data)[0], CorruptError, "expected 19600 bytes") < LITTLE


@pytest.mark.parametrize("coder", [DCT, MIXED])
def test_streams_of_excessive_work_are_refused(coder: int) -> None:
    data = exact(Layout(4000, 4000), encode_varint(1 + 2 * coder) + b"\1" * (1 << 16))
    assert peak_of(lambda: velcodec.open(data)[0], CorruptError, "too great") < LITTLE


def test_many_empty_tiles_take_bounded_memory() -> None:
    side = 512  # 2^18 tiles of no bytes
    head = header(layouts=(Layout(4096, 4096),), tiled=True)
    payload = encode_varint(side) * 2 + encode_varint(9) * 2 + bytes(side * side - 1)
    record = unpack_record(payload, head)
    assert len(record.streams) == side * side
    ask = lambda: decode_tiles(record.streams, tables(256), head.coding)  # noqa: E731
    assert peak_of(ask, CorruptError) < 64 << 20


def test_the_search_for_tails_is_bounded() -> None:
    data = START + END_SIGNATURE * (1 << 18)
    assert peak_of(lambda: VlatReader(data), VelcodecError) < LITTLE


PAGES: dict[str, dict[str, Any]] = {
    "lengths that inflate": {
        "x": b"\x01" + zstandard.ZstdCompressor().compress(bytes(1 << 27)),
    },
    "runs without end": {"x": b"\x00\x01", "r": [0, 1, 0] * 20_000},
    "a count beyond": {"x": b"\x00\x01", "r": [0, 1 << 62, 0]},
}


@pytest.mark.parametrize("case", PAGES)
def test_a_page_of_excessive_size_is_refused(case: str) -> None:
    part = archive([b"a"])[: -len(END_SIGNATURE)]
    at = part.index(b"\x00L")
    hostile = part[:at] + pack_section(PAGE, msgpack.packb(PAGES[case]), stamp_of(part))
    tracemalloc.start()
    try:  # a journal ends before it, and a repair does without it
        assert read_journal(io.BytesIO(hostile), "a.part").end == 0
        assert len(salvage(hostile, "a.vlat").records) == 1
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


MANIFESTS: dict[str, bytes] = {
    "deep": b"[" * 100_000,
    "a number of many digits": b'{"format": "velcodec-shards-1", "models": ' + b"9" * 100_000,
    "many models": json.dumps(
        {
            "format": "velcodec-shards-1",
            "models": 1 << 70,
            "shards": [{"name": "a.vlat", "models": 1 << 70, "bytes": 1}],
        }
    ).encode(),
    "zeros": bytes((1 << 24) + 1),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_of_excessive_size_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(MANIFESTS[case])
    assert peak_of(lambda: velcodec.open(tmp_path), CorruptError) < LITTLE


def test_only_the_archive_and_its_shards_are_opened(tmp_path: Path) -> None:
    """The files that the process opens while it reads a folder whose manifest names other files."""
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            opened.append(str(arguments[0]))

    secret = tmp_path / "secret.vlat"
    secret.write_bytes(archive([b"a"]))
    folder = tmp_path / "models"
    folder.mkdir()
    sys.addaudithook(watch)
    for name in ("../secret.vlat", str(secret), "x/../../secret.vlat", ".", "..", "\0.vlat"):
        shards = [{"name": name, "models": 1, "bytes": 1}]
        manifest = {"format": "velcodec-shards-1", "models": 1, "shards": shards}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(VelcodecError):
            velcodec.open(folder)
        # A repair looks for shards in the folder itself then, and there are none.
        with pytest.raises(RepairError):
            velcodec.repair(folder, tmp_path / "saved.vlat")
    watching = False
    assert any(name.endswith("manifest.json") for name in opened)
    assert not any("secret" in name for name in opened)


def test_repairing_fake_sections_terminates() -> None:
    """A long section starts every few bytes, and none is complete."""
    one = b"\x00P" + encode_varint(20_000)
    data = opening() + one * 10_000
    assert peak_of(lambda: salvage(data, "a.vlat"), RepairError, "no intact record") < LITTLE


def test_a_page_of_missing_records_costs_no_work() -> None:
    import numpy as np

    blocks = 1 << 10
    page = Page(np.full(blocks, 255), np.full(blocks, 64), (Run(0, blocks, 0),))
    data = opening() + pack_section(PAGE, page.to_bytes(), stamp_of(opening()))
    assert peak_of(lambda: salvage(data * 3, "a.vlat"), RepairError) < 64 << 20


def quickly(ask: Callable[[], Any], match: str) -> None:
    """Refused in little memory and in 2 seconds."""
    begun = time.process_time()
    assert peak_of(ask, VelcodecError, match) < 64 << 20
    assert time.process_time() - begun < 4  # it is asked twice, once under watch


def test_a_directory_that_lists_a_section_twice_is_refused() -> None:
    data = archive([b"a"])
    decoder = pack_section(DECODER, bytes(50_000), stamp_of(data))
    place = Place(len(data), len(decoder))
    directory = replace(VlatReader(data).directory, decoders=(place,) * 20_000)
    body = pack_section(DIRECTORY, directory.to_bytes(), stamp_of(data))
    hostile = data + decoder + body + pack_tail(len(body))
    quickly(lambda: VlatReader(hostile), "expected each section once")


def test_a_header_of_many_unknown_keys_is_refused() -> None:
    body = header(extra={f"x{i}": i for i in range(65)})
    with pytest.raises(OptionError, match="found 65 unknown keys"):
        body.to_bytes()
    most = header(extra={f"x{i}": i for i in range(64)})
    assert Header.from_bytes(most.to_bytes()) == most


def test_later_headers_of_many_layouts_take_little_time() -> None:
    first = header(layouts=tuple(Layout(n, 7) for n in range(1, 20_001)))
    stream = io.BytesIO()
    writer = VlatWriter(stream, first)
    begun = time.process_time()
    for number in range(300):
        writer.use(replace(first, provenance=f"{number}"))
        writer.add(b"\x00" * 9)
    writer.close()
    reader = VlatReader(stream.getvalue())
    assert reader.headers()[-1].layouts is reader.header.layouts
    assert sum(isinstance(one, FoundRecord) for one in scan(io.BytesIO(stream.getvalue()))) == 300
    assert time.process_time() - begun < 8


def test_only_some_of_many_tails_are_followed() -> None:
    """Each points to a directory of nearly the whole file, with a wrong checksum."""
    data = opening() + bytes(1 << 20)
    while len(data) < 5 << 20:
        for _ in range(200):
            where = len(START) + 99
            data += pack_tail(len(data) - where)
        data += bytes(1 << 20)
    quickly(lambda: VlatReader(data), "end signature")


def test_a_tail_to_an_impossible_directory_is_an_error() -> None:
    data = archive([b"a"])
    end = pack_section(DIRECTORY, b"\x00\x93\x01\x02\x03", stamp_of(data))
    with pytest.raises(CorruptError, match="directory"):
        VlatReader(data + end + pack_tail(len(end)))
