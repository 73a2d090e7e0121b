"""Every byte of an archive is checked, and what cannot be checked is reported."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from builders import archive, decoder_bytes, header

from velcodec.archive.archive import Archive
from velcodec.archive.listing import rows_of
from velcodec.formats.container.append import append_to
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.shards import Shard, ShardedReader, write_manifest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, DecoderFileError, VelcodecError


def written(
    decoder: bytes | None = None, section: bytes = b"of a later version", key: str = "key"
) -> bytes:
    """Records under two headers, an embedded decoder, a section of unknown type, and an unused
    header.
    """
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), decoder=decoder or decoder_bytes(), journal=True)
    writer.attach(b"z", section)
    for number in range(6):
        if number == 3:
            writer.use(replace(header(), provenance="elsewhere"))
        writer.add(bytes([number]) * 9, f"{key}{number}", fields={"depth": number})
    writer.use(replace(header(), provenance="of nothing"))
    writer.close()
    return stream.getvalue()


def test_an_intact_archive_is_checked_except_for_sections_of_later_versions() -> None:
    (line,) = check_every_byte(VlatReader(written()))
    assert line == (
        "archive: what a section 'z' may mean, which this version does not know; the checksum holds"
    )


def test_no_byte_can_be_altered_unnoticed() -> None:
    data = written()
    start = data.index(b"of a later version") - 40
    places = {
        *range(0, len(data), 97),
        *range(len(data) - 500, len(data)),
        *range(start, start + 80),
    }
    for place in places:
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        with pytest.raises(VelcodecError):
            check_every_byte(VlatReader(bytes(altered)))


@pytest.mark.parametrize(
    "within",
    [
        pytest.param(b"of a later version", id="ancillary section"),
        pytest.param(b"of nothing", id="unused header"),
        pytest.param(decoder_bytes()[-64:], id="embedded decoder"),
    ],
)
def test_parts_that_no_model_needs_are_checked_too(within: bytes) -> None:
    data = bytearray(written())
    data[data.index(within) + 5] ^= 1
    reader = VlatReader(bytes(data))
    assert len(list(reader.payloads())) == 6
    with pytest.raises(CorruptError, match="checksum does not match"):
        check_every_byte(reader)


def test_an_invalid_embedded_decoder_is_noticed() -> None:
    with pytest.raises(DecoderFileError, match="embedded decoder at byte"):
        check_every_byte(VlatReader(written(decoder=b"no decoder")))


def test_an_unfinished_addition_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(written() + b"half of something")
    with VlatReader(path) as reader:
        lines = check_every_byte(reader)
    assert lines[-1] == f"{path}: the last 17 bytes, an addition that was never finished"


def test_an_archive_with_additions_is_intact(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(written())
    with append_to(path) as writer:
        writer.add(b"more", "more")
    with VlatReader(path) as reader:
        assert len(check_every_byte(reader)) == 1


def test_every_byte_of_every_shard_is_checked(tmp_path: Path) -> None:
    for number in range(3):
        data = written(key=f"{number}:")
        (tmp_path / f"s{number}.vlat").write_bytes(data)
    shards = [Shard(f"s{number}.vlat", 6, len(data)) for number in range(2)]
    write_manifest(tmp_path, shards)
    lines = check_every_byte(ShardedReader(tmp_path))
    assert len(lines) == 3
    assert lines[-1] == f"{tmp_path}: what the manifest does not list: s2.vlat"
    altered = bytearray(data)
    altered[data.index(b"of a later")] ^= 1
    (tmp_path / "s1.vlat").write_bytes(altered)
    with pytest.raises(CorruptError, match=r"s1\.vlat: section b'z'"):
        check_every_byte(ShardedReader(tmp_path))
    write_manifest(tmp_path, [replace(shards[0], bytes=len(data) + 1)], force=True)
    with pytest.raises(CorruptError, match=rf"s0\.vlat: found {len(data)} bytes, expected"):
        check_every_byte(ShardedReader(tmp_path))


def test_a_repeated_key_is_noticed(tmp_path: Path) -> None:
    one = archive([b"a", b"b"], keys=["k0", "same"])
    (tmp_path / "s0.vlat").write_bytes(one)
    other = archive([b"c", b"d"], keys=["same", "k3"])
    (tmp_path / "s1.vlat").write_bytes(other)
    write_manifest(tmp_path, [Shard("s0.vlat", 2, len(one)), Shard("s1.vlat", 2, len(other))])
    with pytest.raises(CorruptError, match="keys: found 'same' twice"):
        check_every_byte(ShardedReader(tmp_path))
    with pytest.raises(CorruptError, match="keys: found 'k0' twice"):
        check_every_byte(VlatReader(of_two_pages("k0", "k0")))


def of_two_pages(*keys: str | None) -> bytes:
    """An archive with one record in each of two pages, and keys that no writer would store."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), journal=True)
    for key in keys:
        writer._keys = None if key is None else set()
        writer.add(b"a", key)
        writer.end_page()
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize("keys", [("k0", None), (None, "k1")])
def test_keys_in_some_pages_only_are_refused(keys: tuple[str | None, ...]) -> None:
    reader = VlatReader(of_two_pages(*keys))
    for ask in (
        lambda: reader.columns_of(range(2)),
        lambda: reader.fields,
        lambda: check_every_byte(reader),
        lambda: list(rows_of(Archive(of_two_pages(*keys)), range(2))),
    ):
        with pytest.raises(CorruptError, match="index: found keys for some records only"):
            ask()
