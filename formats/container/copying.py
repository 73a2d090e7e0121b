"""Copy records between archives unchanged, with their headers, keys, quality and fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.columns import take_fields
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.writer import VlatWriter

RECORDS_AT_ONCE, BYTES_AT_ONCE = 4096, 1 << 25

Rename = Callable[[Sequence[int], Sequence[str] | None], Sequence[str] | None]
"""Gives the new keys of records, from their numbers and their present keys."""


def copy_records(
    reader: RecordReader,
    writer: VlatWriter,
    numbers: Sequence[int] | None = None,
    *,
    rename: Rename | None = None,
    on_copied: Callable[[int], None] | None = None,
) -> int:
    """Copy records (all by default) in the given order. Returns how many.

    Embedded decoders and ancillary sections, known or not, are copied too. `on_copied` receives the
    number of records copied, block by block. Every record's checksum is verified. Raises
    CorruptError, KeyNotFoundError for a number out of range, OptionError for a key that exists
    already.
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
        ends = _ends_of_parts(columns.lengths)
        for start, end in zip([0, *ends], ends, strict=False):
            some = slice(start, end)
            writer.add_many(
                [reader.payload(number) for number in block[some]],
                None if keys is None else keys[some],
                None if columns.quality is None else columns.quality[:, some],
                take_fields(columns.fields, some),
            )
        if on_copied is not None:
            on_copied(len(block))
    return len(wanted)


def _ends_of_parts(lengths: NDArray[np.int64]) -> list[int]:
    """Ends of the records that are copied together: parts of about BYTES_AT_ONCE."""
    ends, size = [], 0
    for number, length in enumerate(lengths.tolist(), start=1):
        size += length
        if size >= BYTES_AT_ONCE or number == len(lengths):
            ends.append(number)
            size = 0
    return ends


def runs_of_headers(reader: RecordReader, numbers: Sequence[int]) -> Iterator[list[int]]:
    """The numbers in order, in blocks of records under one header."""
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
