"""What a later version may add is refused if it must be understood, else skipped and kept."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from builders import archive, header, opening, stamp_of

from velcodec.formats.container.append import append_to
from velcodec.formats.container.columns import unpack_column
from velcodec.formats.container.copying import copy_records
from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import SIGNATURE, VERSION, pack_tail
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.scan import scan
from velcodec.formats.container.sections import Place, pack_section
from velcodec.formats.container.shards import MANIFEST, Shard, ShardedReader, write_manifest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import OptionError, UnknownFeatureError, VersionError
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.stream import ExactStream, decode_exact

LATER = [(b"x", b"a picture"), (b"z", b""), (b"x", b"another")]


def written(sections: list[tuple[bytes, bytes]], count: int = 4, **about: Any) -> bytes:
    """An archive with an ancillary section before each of its first records."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(**about))
    for number in range(count):
        for section in sections[number : number + 1]:
            writer.attach(*section)
        writer.add(bytes([number]) * 9)
    writer.close()
    return stream.getvalue()


def with_critical_section(kind: bytes) -> bytes:
    """An archive whose directory lists a section of a later version's type."""
    data = archive([b"one", b"two"])
    at = len(data)
    stamp = stamp_of(data)
    section = pack_section(kind, b"what comes", stamp)
    directory = VlatReader(data).directory
    further = Directory(
        directory.headers, directory.pages, directory.decoders, ((kind, Place(at, len(section))),)
    )
    body = pack_section(b"L", further.to_bytes(), stamp)
    return data + section + body + pack_tail(len(body))


def copied(reader: VlatReader | ShardedReader, numbers: list[int] | None = None) -> VlatReader:
    stream = io.BytesIO()
    writer = VlatWriter(stream, reader.header)
    copy_records(reader, writer, numbers)
    writer.close()
    return VlatReader(stream.getvalue())


# The version


def test_the_version_is_1_and_version_0_is_refused_by_name() -> None:
    data = bytearray(archive([b"one"]))
    assert VERSION == data[len(SIGNATURE)] == 1
    data[len(SIGNATURE)] = 0
    with pytest.raises(VersionError, match="found 0, expected 1: written before the format was"):
        VlatReader(bytes(data))


@pytest.mark.parametrize("version", [2, 255])
def test_a_later_version_is_refused(version: int) -> None:
    data = bytearray(archive([b"one"]))
    data[len(SIGNATURE)] = version
    with pytest.raises(VersionError, match=f"format version: found {version}, expected 1"):
        VlatReader(bytes(data))


@pytest.mark.parametrize("version", [0, 2])
def test_a_manifest_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    manifest = {"format": f"velcodec-shards-{version}", "models": 0, "shards": []}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(VersionError, match=f"found 'velcodec-shards-{version}'"):
        ShardedReader(tmp_path)


# Sections


def test_unknown_ancillary_sections_are_skipped() -> None:
    data = written(LATER)
    reader = VlatReader(data)
    assert list(reader.payloads()) == [bytes([i]) * 9 for i in range(4)]
    assert [kind for kind, _ in LATER] == [
        found.kind for found in scan(io.BytesIO(data)) if getattr(found, "kind", b"").islower()
    ]


@pytest.mark.parametrize("numbers", [None, [3, 0], []])
def test_unknown_ancillary_sections_are_kept_on_copy(numbers: list[int] | None) -> None:
    copy = copied(VlatReader(written(LATER)), numbers)
    assert copy.ancillary() == LATER
    assert copied(copy).ancillary() == LATER


def test_unknown_ancillary_sections_of_all_shards_are_kept_on_copy(tmp_path: Path) -> None:
    shards = []
    for number, sections in enumerate((LATER[:2], LATER[1:])):
        path = tmp_path / f"s{number}.vlat"
        path.write_bytes(written(sections))
        shards.append(Shard(path.name, 4, path.stat().st_size))
    write_manifest(tmp_path, shards)
    copy = copied(ShardedReader(tmp_path))
    assert copy.ancillary() == LATER


def test_unknown_ancillary_sections_stay_when_records_are_added(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(written(LATER))
    with append_to(path) as writer:
        writer.add(b"more")
        writer.attach(*LATER[0])  # a duplicate
    with append_to(path) as writer:
        writer.attach(b"y", b"alone")
    with VlatReader(path) as reader:
        assert reader.ancillary() == [*LATER, (b"y", b"alone")]
        assert len(reader) == 5


def test_notes_of_a_writer_are_not_copied() -> None:
    stream = io.BytesIO()
    writer = VlatWriter(stream, header())
    writer.note(b"p", b"plan")
    writer.add(b"one")
    writer.close()
    reader = VlatReader(stream.getvalue())
    assert reader.ancillary() == []
    assert b"plan" in stream.getvalue()


@pytest.mark.parametrize("kind", [b"X", b"0", b"\xe9", b"~"])
def test_an_unknown_critical_section_is_refused_when_the_archive_is_opened(kind: bytes) -> None:
    data = with_critical_section(kind)
    with pytest.raises(
        UnknownFeatureError, match=r"section b'.*' at byte \d+: found an unknown type"
    ):
        VlatReader(data)
    with pytest.raises(UnknownFeatureError, match="found an unknown type that must be understood"):
        list(scan(io.BytesIO(data)))


def test_a_directory_with_more_arrays_is_refused() -> None:
    body = b"\x00" + msgpack.packb([[], [], [], [], []])
    with pytest.raises(UnknownFeatureError, match="directory: found 5 arrays, expected at most 4"):
        Directory.from_bytes(body, Place(1000, 9), 40, "a.vlat")


@pytest.mark.parametrize("kind", [b"X", b"H", b"", b"xy"])
def test_only_lower_case_types_can_be_attached(kind: bytes) -> None:
    writer = VlatWriter(io.BytesIO(), header())
    for write in (writer.attach, writer.note):
        with pytest.raises(OptionError, match="expected a lower-case letter"):
            write(kind, b"")


# Keys of mappings


EXACT = {"n": 3, "d": [[0, 1500, 1, 10, 0]], "s": 1}
MAPPINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "header": lambda more: Header.from_bytes(msgpack.packb(header().to_dict() | more)),
    "layout": lambda more: Header.from_dict(header().to_dict() | {"l": [{"s": [3, 4]} | more]}),
    "exact coding": lambda more: ExactCoding.from_dict(EXACT | more),
    "page": lambda more: StoredPage(msgpack.packb({"x": b"\x00\x08"} | more), 9, "page"),
}


@pytest.mark.parametrize("place", MAPPINGS)
def test_an_unknown_lower_case_key_is_skipped(place: str) -> None:
    assert MAPPINGS[place]({"zoom": 7}) is not None


@pytest.mark.parametrize("key", ["Zoom", "", "_z", "9", "é"])
@pytest.mark.parametrize("place", MAPPINGS)
def test_any_other_unknown_key_is_refused(place: str, key: str) -> None:
    with pytest.raises(UnknownFeatureError, match=f"^{place}: found the unknown key '{key}'"):
        MAPPINGS[place]({key: 7})


@pytest.mark.parametrize(
    ("place", "key", "said"),
    [
        ("layout", "Q", r"layout: found quantities other than velocity \(key 'Q'\), which this"),
        ("header", "R", r"header: found references of records to others \(key 'R'\), which this"),
    ],
)
def test_what_is_reserved_for_later_versions_is_refused_by_name(
    place: str, key: str, said: str
) -> None:
    with pytest.raises(UnknownFeatureError, match=f"^{said} version does not know"):
        MAPPINGS[place]({key: [["vs", "m/s"]]})


@pytest.mark.parametrize("sizes", [[70], [2, 3, 4, 5]])
def test_models_of_other_numbers_of_axes_are_refused_by_name(sizes: list[int]) -> None:
    with pytest.raises(
        UnknownFeatureError, match=f"layout: found {len(sizes)} axes, expected 2 or 3"
    ):
        MAPPINGS["layout"]({"s": sizes})


@pytest.mark.parametrize(("key", "value"), [("a", "cnzx"), ("t", "<f2"), ("u", "ft/s")])
def test_unknown_axes_dtypes_and_units_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(UnknownFeatureError, match=f"found '{value}', expected one of"):
        MAPPINGS["layout"]({key: value})


def test_a_reader_names_the_file_of_an_unknown_key(tmp_path: Path) -> None:
    path = tmp_path / "later.vlat"
    body = msgpack.packb(header().to_dict() | {"Sphere": 1})
    start = opening(body)
    directory = pack_section(b"L", Directory().to_bytes(), stamp_of(start))
    path.write_bytes(start + directory + pack_tail(len(directory)))
    with pytest.raises(
        UnknownFeatureError, match=r"later\.vlat: header: found the unknown key 'Sphere'"
    ):
        VlatReader(path)


def test_unknown_keys_of_headers_are_kept_on_copy(tmp_path: Path) -> None:
    own = header(extra={"zoom": [1, {"a": b"b"}], "q": 2.5})
    later = header(extra={"zoom": 3})
    stream = io.BytesIO()
    writer = VlatWriter(stream, own)
    for each in (own, later, header()):
        writer.use(each)
        writer.add(b"one")
    writer.close()
    reader = VlatReader(stream.getvalue())
    assert reader.headers() == [own, later, header()]
    assert copied(reader, [2, 1, 0]).headers() == [own, header(), later]


def test_a_manifest_with_more_keys_follows_the_same_rule(tmp_path: Path) -> None:
    (tmp_path / "a.vlat").write_bytes(archive([b"one"]))
    size = (tmp_path / "a.vlat").stat().st_size
    shard: dict[str, Any] = {"name": "a.vlat", "models": 1, "bytes": size}
    manifest: dict[str, Any] = {"format": "velcodec-shards-1", "models": 1, "shards": [shard]}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"note": "later"}))
    assert len(ShardedReader(tmp_path)) == 1
    for wrong in (manifest | {"Tree": 1}, manifest | {"shards": [shard | {"Range": [0, 9]}]}):
        (tmp_path / MANIFEST).write_text(json.dumps(wrong))
        with pytest.raises(UnknownFeatureError, match="found the unknown key"):
            ShardedReader(tmp_path)


# Representations


def test_an_unknown_kind_of_domain_is_refused() -> None:
    with pytest.raises(UnknownFeatureError, match="domain: kind: found 4, expected 0 to 3"):
        ExactCoding.from_dict(EXACT | {"d": [[4, 0, 1, 10, 0]]})


def test_an_unknown_coder_is_refused() -> None:
    coding = ExactCoding.from_dict(EXACT)
    with pytest.raises(UnknownFeatureError, match="coder: found 4, expected 0 to 3"):
        decode_exact(ExactStream(0, 4, b""), coding, (3, 4), np.dtype("<f4"))


@pytest.mark.parametrize("packed", [["<f2", b"\x00abcd"], ["|O", b"\x00ab"], ["z", 2, b"\x00"]])
def test_an_unknown_form_of_a_column_is_refused_on_request(packed: list[Any]) -> None:
    body = msgpack.packb({"x": b"\x00\x08\x08", "f": {"a": packed, "b": ["|u1", b"\x00\x01\x02"]}})
    page = StoredPage(body, 9, "page")
    column = page.field("b")
    assert column is not None
    assert column.tolist() == [1, 2]
    with pytest.raises(UnknownFeatureError, match=r"page: field 'a': found dtype '.*', expected"):
        page.field("a")


def test_an_unknown_compression_is_refused() -> None:
    for read in (
        lambda: StoredPage(msgpack.packb({"x": b"\x02\x05\x05"}), 9, "page"),
        lambda: unpack_column(["|u1", b"\x07ab"], 2, "page"),
        lambda: Directory.from_bytes(b"\x05\x93\x90\x90\x90", Place(1000, 9), 40, "page"),
    ):
        with pytest.raises(UnknownFeatureError, match=r"page.*: column: found compression \d"):
            read()
