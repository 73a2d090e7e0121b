"""Records that a page leads to, wherever they lie by now."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import START, TAIL_BYTES
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.salvage.found import SURE_BITS, Bytes, Found, header_of, is_tail
from velcodec.formats.container.salvage.parts import WORK
from velcodec.formats.container.sections import Section
from velcodec.formats.storage.varint import encode_varint

SAMPLED, PLACES_TRIED, LOOKED_AT, MOVES = 16, 64, 1 << 24, 3
"""Records of a page that tell where it lies; places where most of their lengths fit; bytes among
which these are sought; and how often that is done for one page.
"""


def find_by_pages(
    data: Bytes,
    sections: list[Section],
    pages: list[tuple[StoredPage, Section]],
    directory: Directory | None,
    stamp: bytes,
) -> dict[int, Found]:
    """The records of every page by their numbers; where they lie the directory says, or they
    themselves do.
    """
    found: dict[int, Found] = {}
    told = {}
    if directory is not None:
        told = {entry.place.at: entry.records_at for entry in directory.pages}
    ends = {section.at: section.end for section in sections}
    behind = before = len(START)
    bases: dict[int, int] = {}
    work = WORK * len(data)

    def take(page: StoredPage, rows: list[int], base: int) -> int:
        """Take in what is intact of a page, should it begin at `base`; where that ends."""
        tried = (_record_of(data, page, base, row, stamp) for row in rows)
        records = [record for record in tried if record is not None]
        found.update((record.number, record) for record in records)
        if records:
            bases[page.first] = base
        return max((record.stop for record in records), default=0)

    def missing(page: StoredPage) -> list[int]:
        """Rows of a page that are not found yet."""
        return [row for row in range(len(page)) if page.first + row not in found]

    for page, section in pages:
        # Where the directory says, behind what was found last, where the page before should end,
        # or, in a journal, before the page itself.
        near = [_past_sections(data, ends, at) for at in (behind, before)]
        likely = dict.fromkeys([told.get(section.at, near[0]), *near, section.at - page.span])
        for base in (*likely, *[None] * MOVES):
            rows = missing(page)
            if base is None and rows and work > 0:
                # Bytes were put in or taken out before, or within, the page's records.
                work -= min(LOOKED_AT, len(data))
                base = _sought(data, page, rows, behind, stamp)
            if base is None or not rows:
                break
            behind = max(behind, take(page, rows, base))
        before = bases.get(page.first, before) + page.span
    # What is left may tell its place by the page behind it.
    begins = {section.end: section.at for section in sections}
    for (page, _), (after, _) in reversed(list(pairwise(pages))):
        rows = missing(page)
        if rows and after.first in bases:
            take(page, rows, _before_sections(begins, bases[after.first]) - page.span)
    return found


def _record_of(data: Bytes, page: StoredPage, base: int, row: int, stamp: bytes) -> Found | None:
    """The record of a page's row, if it is intact."""
    length, number = int(page.lengths[row]), page.first + row
    at = base + int(page.places[row])
    prefix = encode_varint(length + 1)
    start, stop = at + len(prefix), at + len(prefix) + length
    header = int(page.headers[row])
    if bytes(data[at:start]) != prefix or header_of(data, start, stop, number, stamp) != header:
        return None
    return Found(number, start, stop, header, page, row)


def _sought(
    data: Bytes, page: StoredPage, rows: list[int], lowest: int, stamp: bytes
) -> int | None:
    """Where a page's records would begin so that some of `rows` stand where they should, from byte
    `lowest` on, by their lengths and checksums.
    """
    some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, SAMPLED).astype(np.int64))]
    places = page.places[some]
    first = lowest - int(places[0])
    window = np.frombuffer(data, dtype=np.uint8)
    score = np.zeros(min(LOOKED_AT, max(0, len(data) - lowest)), dtype=np.uint8)
    for place, length in zip(places.tolist(), page.lengths[some].tolist(), strict=True):
        begin = first + place
        here = window[begin : begin + len(score)] == encode_varint(length + 1)[0]
        score[: len(here)] += here
    del window  # a mapped file cannot be closed while it is looked at
    likely = np.flatnonzero(score >= (len(some) + 1) // 2)
    order = likely[np.argsort(score[likely], kind="stable")[::-1][:PLACES_TRIED]]
    for at in order.tolist():
        base = first + at
        good = (record for row in some if (record := _record_of(data, page, base, row, stamp)))
        if sum(8 * record.checksum_bytes for record in good) >= SURE_BITS:
            return base
    return None


def _past_sections(data: Bytes, ends: Mapping[int, int], at: int) -> int:
    """Where the sections that stand at `at`, one behind the other, and tails, end; `ends` tells it
    of each section by its beginning.
    """
    while True:
        if at in ends:
            at = ends[at]
        elif is_tail(data, at):
            at += TAIL_BYTES
        else:
            return at


def _before_sections(begins: Mapping[int, int], at: int) -> int:
    """Where the sections that end at `at`, one behind the other, begin; `begins` tells it of each
    section by its end.
    """
    while at in begins:
        at = begins[at]
    return at
