"""Every byte of an archive is looked at, and what was not is told."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from builders import decoder_bytes, header

from velcodec.formats.container.append import append_to
from velcodec.formats.container.integrity import check_every_byte
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.shards import Shard, ShardedReader, write_manifest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, DecoderFileError, VelcodecError


def written(decoder: bytes | None = None, section: bytes = b"of a later version") -> bytes:
    """Records under two headers, an embedded decoder, a section that is not known here, and a
    header that no record comes under.
    """
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), decoder=decoder or decoder_bytes(), journal=True)
    writer.attach(b"z", section)
    for number in range(6):
        if number == 3:
            writer.use(replace(header(), provenance="elsewhere"))
        writer.add(bytes([number]) * 9, f"key{number}", fields={"depth": number})
    writer.use(replace(header(), provenance="of nothing"))
    writer.close()
    return stream.getvalue()


def test_a_whole_archive_is_whole_but_for_what_a_later_version_may_mean() -> None:
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
def test_what_no_model_needs_is_checked_too(within: bytes) -> None:
    data = bytearray(written())
    data[data.index(within) + 5] ^= 1
    reader = VlatReader(bytes(data))
    assert len(list(reader.payloads())) == 6
    with pytest.raises(CorruptError, match="checksum does not match"):
        check_every_byte(reader)


def test_a_decoder_that_is_none_is_noticed() -> None:
    with pytest.raises(DecoderFileError, match="embedded decoder at byte"):
        check_every_byte(VlatReader(written(decoder=b"no decoder")))


def test_an_addition_that_was_never_finished_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(written() + b"half of something")
    with VlatReader(path) as reader:
        lines = check_every_byte(reader)
    assert lines[-1] == f"{path}: the last 17 bytes, an addition that was never finished"


def test_an_archive_that_was_added_to_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(written())
    with append_to(path) as writer:
        writer.add(b"more", "more")
    with VlatReader(path) as reader:
        assert len(check_every_byte(reader)) == 1


def test_every_byte_of_every_shard_is_looked_at(tmp_path: Path) -> None:
    data = written()
    for number in range(3):
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
