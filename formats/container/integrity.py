"""Is every byte of an archive what was written? Read from front to back, index and all.

A reader that is asked for models looks at what leads to them; here everything else is looked at
too: headers that no record uses, embedded decoders, sections of later versions.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.scan import FoundRecord, walk
from velcodec.formats.container.sections import DECODER, KNOWN, PLAN, SUMMARY
from velcodec.formats.container.shards import MANIFEST, ShardedReader
from velcodec.formats.decoder_file import read_decoder_file
from velcodec.formats.errors import CorruptError, DecoderFileError
from velcodec.formats.storage.source import is_url

READ_AT_ONCE = 1 << 20
LISTED = 4


def check_every_byte(reader: RecordReader) -> list[str]:
    """Read an archive from its first byte to its last; what was not looked at, a line each.

    Every record, section and tail is where the one before it ends, and its checksum holds; every
    page is unpacked, and every embedded decoder has the hash that it says. Raises CorruptError,
    TruncatedError, UnknownFeatureError, DecoderFileError.
    """
    if isinstance(reader, ShardedReader):
        return list(_shards(reader))
    if isinstance(reader, VlatReader):
        return list(_file(reader))
    return [f"{reader.name}: all but what its models are made of"]


def _shards(reader: ShardedReader) -> Iterator[str]:
    for which, shard in enumerate(reader.shards):
        with closing(reader.open_shard(which)) as one:
            if one.end != shard.bytes:
                raise CorruptError(
                    f"{reader.name}: shard {shard.name}: found {one.end} bytes, expected "
                    f"{shard.bytes}"
                )
            yield from _file(one)
    if not is_url(reader.name):
        known = {MANIFEST, *(shard.name for shard in reader.shards)}
        others = sorted(p.name for p in Path(reader.name).iterdir() if p.name not in known)
        if others:
            more = ", ..." if len(others) > LISTED else ""
            named = ", ".join(others[:LISTED]) + more
            yield f"{reader.name}: what the manifest does not list: {named}"


def _file(reader: VlatReader) -> Iterator[str]:
    records, passed = 0, Counter[bytes]()
    stream = io.BufferedReader(cast(io.RawIOBase, _Bytes(reader)), READ_AT_ONCE)
    for found in walk(cast(BinaryIO, stream), reader.name):
        if isinstance(found, FoundRecord):
            records += 1
        elif found.kind == DECODER:
            _check_decoder(found.body, f"{reader.name}: embedded decoder at byte {found.at}")
        elif found.kind not in (*KNOWN, PLAN, SUMMARY):
            passed[found.kind] += 1
    if records != len(reader):
        raise CorruptError(
            f"{reader.name}: found {records} records, expected the {len(reader)} of the index"
        )
    _ = reader.keys, reader.quality_codes, reader.lengths, reader.fields, reader.headers()
    for kind, count in sorted(passed.items()):
        what = f"a section {kind.decode()!r}"
        what = what if count == 1 else f"{count} sections {kind.decode()!r}"
        yield (
            f"{reader.name}: what {what} may mean, which this version does not know; the checksum "
            "holds"
        )
    if reader.unfinished:
        yield (
            f"{reader.name}: the last {reader.unfinished:,} bytes, an addition that was never "
            "finished"
        )


def _check_decoder(data: bytes, place: str) -> None:
    try:
        read_decoder_file(data)
    except DecoderFileError as error:
        raise DecoderFileError(f"{place}: {error}") from error


class _Bytes(io.RawIOBase):
    """An archive up to its last tail, as a stream."""

    def __init__(self, reader: VlatReader) -> None:
        self._reader, self._at = reader, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        size = min(len(buffer), self._reader.end - self._at)
        buffer[:size] = self._reader.bytes_at(self._at, size)
        self._at += size
        return size


__all__ = ["check_every_byte"]
