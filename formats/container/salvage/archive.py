"""Everything intact in an archive, and what that says of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from velcodec.formats.container.framing import SIGNATURE, START, TAIL_BYTES, check_start
from velcodec.formats.container.header import Header
from velcodec.formats.container.salvage.by_page import find_by_pages
from velcodec.formats.container.salvage.by_walk import walk_blocks
from velcodec.formats.container.salvage.found import (
    Bytes,
    Found,
    FoundBlock,
    Work,
    header_of,
    is_tail,
)
from velcodec.formats.container.salvage.sections import (
    find_first_header,
    find_sections,
    last_directory,
    read_headers,
    read_others,
    read_pages,
)
from velcodec.formats.container.sections import DECODER, UNSTAMPED, Section
from velcodec.formats.container.writer import MAX_DECODER_BYTES
from velcodec.formats.errors import RepairError


@dataclass
class Salvage:
    """What is intact in an archive: headers by number, records in the order of their numbers,
    decoders.

    `expected` is the number of records there were, as far as the intact parts say. Without a
    directory they are `uncounted`: more may have followed. `ancillary` are the sections that copies
    keep, if the directory that lists them is intact. `gaps` are the bytes (begin, end) that belong
    to nothing intact. `damaged` are the records of volumes, parts of which may be intact.
    """

    headers: dict[int, Header]
    records: list[Found]
    decoders: list[bytes]
    expected: int
    ancillary: list[tuple[bytes, bytes]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    uncounted: bool = False
    stamp: bytes = UNSTAMPED
    damaged: list[Found] = field(default_factory=list)

    @cached_property
    def lost(self) -> list[tuple[int, int]]:
        """Numbers of lost records as half-open ranges (begin, end)."""
        there = [record.number for record in self.records]
        ends = zip([-1, *there], [*there, self.expected], strict=True)
        return [(a + 1, b) for a, b in ends if b > a + 1]

    def holds(self, record: Found, data: Bytes) -> bool:
        """Whether these bytes hold the record as it was found."""
        block = record.block
        return header_of(data, block.begin, block.head, block.first, self.stamp) == block.header

    @property
    def has_keys(self) -> bool:
        """Whether records had keys other than their numbers."""
        return any(record.page is not None and record.page.has_keys for record in self.records)


def salvage(data: Bytes, name: str, *, any_version: bool = False) -> Salvage:
    """Everything intact in an archive's bytes.

    Raises RepairError if no model can be saved: no header or no record is intact, and no volume is
    damaged. Raises
    UnknownFeatureError for a critical section of unknown type. Raises VersionError for another
    version after an intact signature, unless `any_version` says that this byte is damaged.
    """
    if bytes(data[: len(SIGNATURE)]) == SIGNATURE and not any_version:
        check_start(bytes(data[: len(START)]).ljust(len(START), b"\1"), name)
    work = Work(len(data))
    first = find_first_header(data, work)
    sections = [] if first is None else list(find_sections(data, first, work))
    stamp = UNSTAMPED if first is None else first.checksum
    headers = read_headers(sections, stamp)
    if first is None and bytes(data[: len(SIGNATURE)]) != SIGNATURE:
        raise RepairError(
            f"{name}: found neither an archive's signature nor a header: it is no archive, or both "
            "are damaged, and no model can be decoded without a header"
        )
    if 0 not in headers:
        raise RepairError(
            f"{name}: the first header is damaged, and no model can be decoded without it"
        )
    directory = last_directory(sections, name)
    pages = read_pages(sections, len(data), name)
    found, damaged = find_by_pages(data, sections, pages, directory, stamp, work)
    for block in walk_blocks(data, sections, found, headers, stamp, work):
        found.setdefault(block.first, block)
    intact = [found[first] for first in sorted(found) if found[first].header in headers]
    records = list(_records(intact))
    volumes = [
        record
        for block in damaged
        if block.first not in found and block.header in headers
        for record in block.records()
        if headers[block.header].has_volumes
    ]
    if not (records or volumes) and (directory is None or directory.models):
        raise RepairError(f"{name}: found no intact record")
    told = [page.first + len(page) for page, _ in pages]
    last = [record.number + 1 for record in records[-1:]]
    expected = max([*last, *told, directory.models if directory else 0])
    others = read_others(data, directory, stamp, name, work)
    decoders = dict.fromkeys(
        section.body
        for section in sections
        if section.kind == DECODER and len(section.body) <= MAX_DECODER_BYTES
    )
    return Salvage(
        headers,
        records,
        list(decoders),
        expected,
        [(section.kind, section.body) for section in others],
        list(_gaps(data, [*sections, *others], found.values())),
        directory is None or directory.models < expected,
        stamp,
        volumes,
    )


def _records(blocks: list[FoundBlock]) -> Iterator[Found]:
    """The records of blocks, each number once: the first block that has it counts."""
    number = 0
    for block in blocks:
        if block.first >= number:
            yield from block.records()
            number = block.after


def _gaps(
    data: Bytes, sections: list[Section], blocks: Iterable[FoundBlock]
) -> Iterator[tuple[int, int]]:
    """Bytes that belong to no section, block or tail."""
    spans = [(0, len(START))] if data[: len(START)] == START else []
    spans += [(section.at, section.end) for section in sections]
    spans += [(block.begin, block.end) for block in blocks]
    at = 0
    for begin, end in [*sorted(spans), (len(data), len(data))]:
        if begin > at and not (begin - at == TAIL_BYTES and is_tail(data, at)):
            yield at, begin
        at = max(at, end)
