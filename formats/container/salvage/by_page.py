"""Find the records that a page lists, even if they have moved."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import START, TAIL_BYTES
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.salvage.found import (
    SURE_BITS,
    Bytes,
    Found,
    Work,
    header_of,
    is_tail,
)
from velcodec.formats.container.salvage.sections import WORK
from velcodec.formats.container.sections import Section
from velcodec.formats.storage.varint import encode_varint

SAMPLED, PLACES_TRIED, BYTES_SEARCHED, MOVES = 16, 64, 1 << 24, 3
"""How a page's records are searched for: records sampled from the page; places tried, those where
most sampled lengths fit; bytes searched; and searches for one page.
"""


ROWS_OF_STEP = 16
"""Rows of a page that are looked up in one step of work."""


def find_by_pages(
    data: Bytes,
    sections: list[Section],
    pages: list[tuple[StoredPage, Section]],
    directory: Directory | None,
    stamp: bytes,
    work: Work,
) -> tuple[dict[int, Found], list[Found]]:
    """The records of every page, by number, and the damaged ones that lie between others or where
    the directory says. The places of pages come from the directory or from the records themselves.
    """
    found: dict[int, Found] = {}
    told = {}
    if directory is not None:
        told = {entry.place.at: entry.records_at for entry in directory.pages}
    chain = _Chain(data, {section.at: section.end for section in sections})
    behind = before = len(START)
    bases: dict[int, int] = {}
    search_left = WORK * len(data)

    def take(page: StoredPage, rows: list[int], base: int) -> int:
        """Add the intact records of a page if it begins at `base`. Returns where they end."""
        tried = (_record_of(data, page, base, row, stamp, work) for row in rows)
        records = [record for record in tried if record is not None]
        found.update((record.number, record) for record in records)
        if records:
            bases[page.first] = base
        return max((record.stop for record in records), default=0)

    def missing(page: StoredPage) -> list[int]:
        """Rows of a page not found yet; empty if the work is used up."""
        if not work.allows(0, len(page) // ROWS_OF_STEP):
            return []
        return [row for row in range(len(page)) if page.first + row not in found]

    for page, section in pages:
        # Candidates: where the directory says, after the last record found, where the previous page
        # should end, or, in a journal, before the page itself.
        near = [chain.end(at) for at in (behind, before)]
        likely = dict.fromkeys([told.get(section.at, near[0]), *near, section.at - page.span])
        for base in (*likely, *[None] * MOVES):
            rows = missing(page)
            if base is None and rows and search_left > 0:
                # Bytes were inserted or removed before or within the page's records.
                search_left -= min(BYTES_SEARCHED, len(data))
                base = _search(data, page, rows, behind, stamp, work)
            if base is None or not rows:
                break
            behind = max(behind, take(page, rows, base))
        before = bases.get(page.first, before) + page.span
    # The rest may be placed by the page after it.
    before_it = _BackwardChain({section.end: section.at for section in sections})
    for (page, _), (after, _) in reversed(list(pairwise(pages))):
        rows = missing(page)
        if rows and after.first in bases:
            take(page, rows, before_it.begin(bases[after.first]) - page.span)
    damaged = []
    for page, section in pages:
        base = bases.get(page.first, told.get(section.at))
        if base is None:
            continue
        for row in missing(page):
            there = _place_of(data, page, base, row) if work.allows(0) else None
            if there is not None and there[1] <= len(data) and work.allows(there[1] - there[0]):
                header = int(page.headers[row])
                damaged.append(Found(page.first + row, *there, header, page, row, intact=False))
    return found, damaged


def _record_of(
    data: Bytes, page: StoredPage, base: int, row: int, stamp: bytes, work: Work
) -> Found | None:
    """The record in this row of a page if it is intact, or None."""
    if not work.allows(0):
        return None
    there, number, header = (
        _place_of(data, page, base, row),
        page.first + row,
        int(page.headers[row]),
    )
    if there is None or header_of(data, *there, number, stamp, work) != header:
        return None
    return Found(number, *there, header, page, row)


def _place_of(data: Bytes, page: StoredPage, base: int, row: int) -> tuple[int, int] | None:
    """Where the payload in this row of a page begins and ends, if its length stands before it."""
    length, at = int(page.lengths[row]), base + int(page.places[row])
    prefix = encode_varint(length + 1)
    start = at + len(prefix)
    return (start, start + length) if bytes(data[at:start]) == prefix else None


def _search(
    data: Bytes, page: StoredPage, rows: list[int], lowest: int, stamp: bytes, work: Work
) -> int | None:
    """Where a page's records begin if some of `rows` are in their places, judged by lengths and
    checksums, searching from byte `lowest` on.
    """
    some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, SAMPLED).astype(np.int64))]
    places = page.places[some]
    first = lowest - int(places[0])
    window = np.frombuffer(data, dtype=np.uint8)
    score = np.zeros(min(BYTES_SEARCHED, max(0, len(data) - lowest)), dtype=np.uint8)
    for place, length in zip(places.tolist(), page.lengths[some].tolist(), strict=True):
        begin = first + place
        here = window[begin : begin + len(score)] == encode_varint(length + 1)[0]
        score[: len(here)] += here
    del window  # a mapped file cannot be closed while an array views it
    likely = np.flatnonzero(score >= (len(some) + 1) // 2)
    order = likely[np.argsort(score[likely], kind="stable")[::-1][:PLACES_TRIED]]
    for at in order.tolist():
        base = first + at
        tried = (_record_of(data, page, base, row, stamp, work) for row in some)
        good = (record for record in tried if record is not None)
        if sum(8 * record.checksum_bytes for record in good) >= SURE_BITS:
            return base
    return None


class _Chain:
    """Runs of adjacent sections and tails; `ends` maps the beginning of each section to its end. A
    run passed once is skipped in one step afterwards.
    """

    def __init__(self, data: Bytes, ends: Mapping[int, int]) -> None:
        self._data, self._ends = data, dict(ends)

    def end(self, at: int) -> int:
        """Where the run that begins at `at` ends."""
        passed = []
        while True:
            if at in self._ends:
                passed.append(at)
                at = self._ends[at]
            elif is_tail(self._data, at):
                passed.append(at)
                at += TAIL_BYTES
            else:
                self._ends |= dict.fromkeys(passed, at)
                return at


class _BackwardChain:
    """Like `_Chain`, backwards: `begins` maps the end of each section to its beginning."""

    def __init__(self, begins: Mapping[int, int]) -> None:
        self._begins = dict(begins)

    def begin(self, at: int) -> int:
        """Where the run that ends at `at` begins."""
        passed = []
        while at in self._begins:
            passed.append(at)
            at = self._begins[at]
        self._begins |= dict.fromkeys(passed, at)
        return at
