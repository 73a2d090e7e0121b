"""Flip any bit or cut anywhere: what is read is refused or unchanged.

Small files of every representation; a sample of the places each time, every place in the slow
tests.
"""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import archive, decoder_bytes, header
from paths import GOLDEN

import velcodec
from velcodec.formats.container.append import append_to
from velcodec.formats.container.header import Layout
from velcodec.formats.container.journal import read_journal
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.scan import FoundRecord, walk
from velcodec.formats.container.shards import MANIFEST, open_reader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.decoder_file import read_decoder_file
from velcodec.formats.errors import OptionError, VelcodecError
from velcodec.formats.sample_coding.absent_mask import encode_absent

LARGEST = 6000
SOME = 160
MOST_MEMORY = 16 << 20
LOST = object()


def embedded() -> bytes:
    stream = io.BytesIO()
    with VlatReader(GOLDEN / "two_models.vlat") as reader:
        writer = VlatWriter(stream, reader.header, decoder=decoder_bytes(), journal=True)
        for payload in reader.payloads():
            writer.add(payload)
    writer.close()
    return stream.getvalue()


def masked() -> bytes:
    absent = np.arange(70)[:, None] < 5 + np.arange(70) // 9
    head = header(layouts=(Layout(70, 70, no_data="nan"),))
    tile = Record(0, 1, 1, 70, 70, [b"tile"])
    records = [replace(tile, absent=encode_absent(absent)), tile]
    return archive([pack_record(record, head) for record in records], head)


def volume_with_absent_samples() -> bytes:
    """Bricks with none, some and only absent samples."""
    z, y, x = np.mgrid[:9, :10, :11]
    volume = (1500.0 + 200 * ((2 * z + y + x) // 8)).astype(np.float32)
    volume[:4, :5, :6] = volume[:6, :5, 6:] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("velcodec.encode.volume_coder.BRICK", (4, 5, 6))
        return velcodec.compress(volume, volume=True, mask="nan", lossless=True)


FILES: dict[str, Callable[[], bytes]] = {
    str(path.relative_to(GOLDEN)): path.read_bytes
    for path in sorted(GOLDEN.rglob("*.vlat"))
    if path.stat().st_size <= LARGEST
} | {
    "embedded decoder": embedded,
    "long record": lambda: archive([bytes(range(256)) * 5, b""]),
    "absent samples": masked,
    "volume": volume_with_absent_samples,
}

EVERY = pytest.param(True, marks=pytest.mark.slow, id="every")
some_or_every = pytest.mark.parametrize("every", [pytest.param(False, id="some"), EVERY])


def flips(data: bytes, every: bool) -> Iterator[bytes]:
    """The data with one flipped bit each: every bit, or some in every part and of every weight."""
    bits = 8 * len(data)
    stride = 1 if every else max(1, bits // SOME) | 1
    altered = bytearray(data)
    for bit in range(0, bits, stride):
        altered[bit // 8] ^= 1 << bit % 8
        yield bytes(altered)
        altered[bit // 8] ^= 1 << bit % 8


def cuts(data: bytes, every: bool) -> Iterator[bytes]:
    """The data cut at each byte, or at some."""
    yield from (data[:end] for end in range(0, len(data), 1 if every else len(data) // SOME + 1))


def told(ask: Callable[[], Any]) -> Any:
    """The answer, or LOST if it is refused on purpose."""
    try:
        return ask()
    except VelcodecError as error:
        check_error(error)
        return LOST


def check_error(error: VelcodecError) -> None:
    """The error is one line about the file, not about the request."""
    assert "\n" not in str(error)
    assert not isinstance(error, OptionError)


def everything(reader: RecordReader) -> list[Any]:
    """Everything that decoding depends on, each answer separate; last, one per record."""
    numbers = range(len(reader))
    asked: list[Callable[[], Any]] = [
        lambda: [header.to_dict() for header in reader.headers()],
        lambda: reader.keys,
        lambda: None if (codes := reader.quality_codes) is None else codes.tolist(),
        lambda: {name: column.tolist() for name, column in reader.fields.items()},
        lambda: reader.lengths.tolist(),
        reader.embedded_decoders,
        reader.ancillary,
    ]
    answers = [told(ask) for ask in asked]
    return answers + [
        told(lambda n=n: (reader.payload(n), reader.header_of(n).to_dict())) for n in numbers
    ]


def check(data: bytes | Path, whole: list[Any], *, earlier: bool = False) -> None:
    """Every answer is refused or unchanged. In a file with additions, a damaged last tail leaves
    what preceded it (`earlier`).
    """
    reader = told(lambda: open_reader(data))
    if reader is LOST:
        return
    with closing(reader):
        found = everything(reader)
        if earlier and len(found) < len(whole):
            records = zip(found[7:], whole[7:], strict=False)
        else:
            assert len(found) == len(whole)
            records = zip(found, whole, strict=True)
        # Compare by repr: fields hold NaN, which equals nothing.
        assert all(a is LOST or repr(a) == repr(b) for a, b in records)


@some_or_every
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_or_changes_nothing(name: str, every: bool) -> None:
    data = FILES[name]()
    with VlatReader(data) as reader:
        whole = everything(reader)
    assert LOST not in whole
    for altered in flips(data, every):
        check(altered, whole, earlier="appended" in name)


@some_or_every
@pytest.mark.parametrize("name", FILES)
def test_a_cut_archive_is_refused_or_reads_as_before_its_last_addition(
    name: str, every: bool
) -> None:
    data = FILES[name]()
    with VlatReader(data) as reader:
        whole = everything(reader)
    for cut in cuts(data, every):
        if "appended" in name:
            check(cut, whole, earlier=True)
        else:
            assert told(lambda d=cut: VlatReader(d)) is LOST


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_archive_takes_no_more_memory_than_a_whole_one_may(name: str) -> None:
    data = FILES[name]()
    tracemalloc.start()
    try:
        for altered in (*flips(data[:600], False), *cuts(data, False)):
            told(lambda d=altered: everything(VlatReader(d)))
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@some_or_every
@pytest.mark.parametrize("name", FILES)
def test_no_other_record_is_read_front_to_back(name: str, every: bool) -> None:
    data = FILES[name]()
    with VlatReader(data) as reader:
        records = [(i, reader.payload(i)) for i in range(len(reader))]
    for altered in (*flips(data, every), *cuts(data, every)):
        found = []
        try:
            for item in walk(io.BytesIO(altered), "archive"):
                if isinstance(item, FoundRecord):
                    found.append((item.number, item.payload))
        except VelcodecError as error:
            check_error(error)
        assert found == records[: len(found)]


@some_or_every
def test_a_damaged_journal_ends_before_the_damage(every: bool) -> None:
    data = (GOLDEN / "metadata" / "journal.vlat").read_bytes()
    whole = read_journal(io.BytesIO(data), "a.part")
    assert whole.end
    for altered in (*flips(data, every), *cuts(data, every)):
        found = told(lambda d=altered: read_journal(io.BytesIO(d), "a.part"))
        if found is not LOST:
            assert found.pages == whole.pages[: len(found.pages)]
            assert (found.keys or []) == (whole.keys or [])[: len(found.keys or [])]
            assert found.headers == whole.headers[: len(found.headers)]
            for entry in found.pages:  # the pages to continue from can be read
                section = altered[entry.place.at : entry.place.at + entry.place.size]
                assert section == data[entry.place.at : entry.place.at + entry.place.size]


@some_or_every
def test_a_damaged_manifest_is_refused_or_says_the_same(every: bool, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (GOLDEN / "shards").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    data = json.dumps(json.loads((folder / MANIFEST).read_text())).encode()
    with closing(open_reader(folder)) as reader:
        whole = everything(reader)
    for altered in (*flips(data, every), *cuts(data, every)):
        (folder / MANIFEST).write_bytes(altered)
        check(folder, whole)


@some_or_every
def test_a_damaged_decoder_file_is_refused_or_decodes_the_same(every: bool) -> None:
    data = decoder_bytes()
    whole = read_decoder_file(data)
    for altered in (*flips(data, every), *cuts(data, every)):
        found = told(lambda d=altered: read_decoder_file(d))
        if found is not LOST:  # name and licence are not part of its identity
            assert found.identity() == whole.identity()


@some_or_every
@pytest.mark.parametrize(
    "name",
    [
        "samples/f4.vlat", "exact/layered-bound.vlat", "exact/palette-lossless.vlat",
        "exact/smooth-psnr.vlat", "exact/wild-lossless.vlat", "latents/steps.vlat",
        "samples/volume-bound.vlat", "volume",
    ],
)  # fmt: skip
def test_no_flipped_bit_gives_another_array(name: str, every: bool) -> None:
    data = FILES[name]()
    with velcodec.open(data) as opened:
        whole = [np.asarray(opened[i]) for i in range(len(opened))]
    for number, altered in enumerate(flips(data, every)):
        if not every and number % 4:
            continue
        opened = told(lambda d=altered: velcodec.open(d))
        if opened is LOST:
            continue
        assert len(opened) == len(whole)
        for i, model in enumerate(whole):
            found = told(lambda n=i, a=opened: a[n])
            assert found is LOST or (
                found.dtype == model.dtype and found.tobytes() == model.tobytes()
            )


def test_an_addition_with_a_damaged_tail_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(archive([b"one"]))
    with append_to(path) as writer:
        writer.add(b"two")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with VlatReader(bytes(data)) as reader:
        assert len(reader) == 1
        assert reader.unfinished > 0
