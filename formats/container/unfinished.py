"""What follows the last valid tail: an interrupted addition, or a finished one whose own index is
damaged.

An interrupted writer leaves the beginning of an addition and nothing else. Anything else was
damaged later, and may hold models that no index leads to.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap

from velcodec.formats.container.block import LONGEST_HEAD, read_head
from velcodec.formats.container.framing import END_SIGNATURE, TAIL_BYTES, pack_tail
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.salvage.by_walk import walk_blocks
from velcodec.formats.container.salvage.found import Bytes, FoundBlock, Work
from velcodec.formats.container.salvage.sections import find_sections, header_number, section_at
from velcodec.formats.container.sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    KNOWN,
    MARKER,
    PAGE,
    Section,
    section_size,
)
from velcodec.formats.errors import CorruptError, DamagedEndError, TruncatedError
from velcodec.formats.storage.safe_read import PIECE_BYTES

IN_MEMORY = 1 << 26


def check_rest(reader: RecordReader) -> None:
    """Raise DamagedEndError if intact models or index pages follow an archive's last valid tail and
    are not an interrupted addition.
    """
    if not isinstance(reader, VlatReader) or not reader.unfinished:
        return
    with _bytes_of_rest(reader) as data:
        sections, blocks = _intact(reader, data)
        pages = sum(section.kind in (PAGE, DIRECTORY) for section in sections)
        if not (blocks or pages) or _is_cut_off(data, sections, blocks, reader.stamp):
            return
        models = sum(len(block.head.lengths) for block in blocks)
    raise DamagedEndError(
        f"{reader.name}: end: found {models} intact models and {pages} intact parts of the "
        f"index behind byte {reader.end}, where the last index that holds ends: the one behind "
        "them is damaged; `velcodec repair` saves them, --ignore-rest (ignore_rest) drops them"
    )


@contextmanager
def _bytes_of_rest(reader: VlatReader) -> Iterator[Bytes]:
    if reader.unfinished <= IN_MEMORY:
        yield reader.bytes_at(reader.end, reader.unfinished)
        return
    with tempfile.TemporaryFile(prefix="velcodec-") as copy:
        for at in range(reader.end, reader.size, PIECE_BYTES):
            copy.write(reader.bytes_at(at, min(PIECE_BYTES, reader.size - at)))
        copy.flush()
        with mmap(copy.fileno(), 0, access=ACCESS_READ) as data:
            yield data


def _intact(reader: VlatReader, data: Bytes) -> tuple[list[Section], list[FoundBlock]]:
    """Sections and blocks after the tail whose checksums are valid."""
    first = Section(HEADER, b"", 0, 0, reader.stamp)
    work = Work(len(data))
    sections = [section for section in find_sections(data, first, work) if section is not first]
    headers = set(range(1 + len(reader.directory.headers)))
    headers |= {header_number(one, reader.stamp) for one in sections if one.kind == HEADER}
    blocks = walk_blocks(data, sections, {}, headers, reader.stamp, work, at=0, number=len(reader))
    return sections, list(blocks)


def _is_cut_off(
    data: Bytes, sections: list[Section], blocks: list[FoundBlock], stamp: bytes
) -> bool:
    """Whether these bytes are an incomplete addition, cut off at any byte."""
    spans: list[tuple[int, int, Section | None]] = [(one.at, one.end, one) for one in sections]
    spans += [(one.begin, one.end, None) for one in blocks]
    end = 0
    last: Section | None = None
    for begin, behind, section in sorted(spans, key=lambda span: span[:2]):
        end = _end_of_notes(data, end, stamp)
        if begin != end:
            return False
        end, last = behind, section
    end = _end_of_notes(data, end, stamp)
    rest = bytes(data[end : end + LONGEST_HEAD])
    if last is not None and last.kind == DIRECTORY:
        tail = pack_tail(last.end - last.at)
        return len(data) - end < TAIL_BYTES and tail.startswith(rest)
    if not rest:
        return True
    if bytes(data[-len(END_SIGNATURE) :]) == END_SIGNATURE:
        return False
    try:
        if rest.startswith(MARKER):
            if len(rest) == 1:
                return True
            size = section_size(rest[1:2], rest, "section")[1] + CHECKSUM_BYTES
        else:
            size = read_head(rest, "block").block_bytes
    except TruncatedError:
        return True
    except CorruptError:
        return False
    return size > len(data) - end


def _end_of_notes(data: Bytes, at: int, stamp: bytes) -> int:
    """Where the intact sections of other types that begin at byte `at` end."""
    while bytes(data[at : at + 1]) == MARKER:
        kind = bytes(data[at + 1 : at + 2])
        section = section_at(data, at, kind, stamp, Work(len(data)))
        if kind in KNOWN or isinstance(section, int):
            break
        at = section.end
    return at
