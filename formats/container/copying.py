"""Records from archive to archive, as they are: headers, keys, quality and fields go with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.writer import VlatWriter

RECORDS_AT_ONCE = 4096

Rename = Callable[[Sequence[int], Sequence[str] | None], Sequence[str] | None]
"""The keys that records will have, by their numbers and the keys that they have."""


def copy_records(
    reader: RecordReader,
    writer: VlatWriter,
    numbers: Sequence[int] | None = None,
    *,
    rename: Rename | None = None,
    on_copied: Callable[[int], None] | None = None,
) -> int:
    """Copy some records (all by default) in the order given; how many.

    Decoders that are embedded are too, and ancillary sections, known here or not. `on_copied` is
    told how many were copied, block by block. Every record's checksum is verified. Raises
    CorruptError, KeyNotFoundError for a number that is not there, OptionError for a key that is
    there already.
    """
    wanted = range(len(reader)) if numbers is None else numbers
    for decoder in reader.embedded_decoders():
        writer.embed(decoder)
    for kind, body in reader.ancillary():
        writer.attach(kind, body)
    for block in runs_of_headers(reader, wanted):
        writer.use(reader.header_of(block[0]))
        columns = reader.columns_of(block)
        keys = columns.keys if rename is None else rename(block, columns.keys)
        payloads = [reader.payload(number) for number in block]
        writer.add_many(payloads, keys, columns.quality, columns.fields)
        if on_copied is not None:
            on_copied(len(block))
    return len(wanted)


def runs_of_headers(reader: RecordReader, numbers: Sequence[int]) -> Iterator[list[int]]:
    """Numbers in order, in blocks of records that come under one header."""
    block: list[int] = []
    last = -1
    for number in numbers:
        header = reader.header_number(number)
        if block and (header != last or len(block) == RECORDS_AT_ONCE):
            yield block
            block = []
        block.append(number)
        last = header
    if block:
        yield block
