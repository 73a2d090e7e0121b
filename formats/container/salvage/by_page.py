"""Find the blocks that a page lists, even if they have moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from velcodec.formats.container.directory import Directory
from velcodec.formats.container.framing import START, TAIL_BYTES
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.salvage.found import (
    Bytes,
    FoundBlock,
    Work,
    head_at,
    header_of,
    is_tail,
)
from velcodec.formats.container.salvage.sections import WORK
from velcodec.formats.container.sections import Section

SAMPLED, PLACES_TRIED, BYTES_SEARCHED, MOVES = 16, 1 << 13, 1 << 24, 3
"""How a page's blocks are searched for: blocks sampled from the page; places tried, those where
most sampled counts fit; bytes searched; and searches for one page.
"""


BLOCKS_OF_STEP = 16
"""Blocks of a page that are looked up in one step of work."""


def find_by_pages(
    data: Bytes,
    sections: list[Section],
    pages: list[tuple[StoredPage, Section]],
    directory: Directory | None,
    stamp: bytes,
    work: Work,
) -> tuple[dict[int, FoundBlock], list[FoundBlock]]:
    """The intact blocks of every page, by the number of their first record, and the damaged ones
    that lie between others or where the directory says. The places of pages come from the directory
    or from the blocks themselves.
    """
    found: dict[int, FoundBlock] = {}
    told = {}
    if directory is not None:
        told = {entry.place.at: entry.records_at for entry in directory.pages}
    chain = _Chain(data, {section.at: section.end for section in sections})
    behind = before = len(START)
    bases: dict[int, int] = {}
    search_left = WORK * len(data)

    def take(page: StoredPage, blocks: list[int], base: int) -> int:
        """Add the intact blocks of a page if it begins at `base`. Returns where they end."""
        tried = (_block_of(data, page, base, block, stamp, work) for block in blocks)
        intact = [block for block in tried if block is not None]
        found.update((block.first, block) for block in intact)
        if intact:
            bases[page.first] = base
        return max((block.end for block in intact), default=0)

    def missing(page: StoredPage) -> list[int]:
        """Blocks of a page not found yet; empty if the work is used up."""
        if not work.allows(0, len(page.sizes) // BLOCKS_OF_STEP):
            return []
        firsts = (page.first + page.rows).tolist()
        return [block for block, first in enumerate(firsts) if first not in found]

    for page, section in pages:
        # Candidates: where the directory says, after the last block found, where the previous page
        # should end, or, in a journal, before the page itself.
        near = [chain.end(at) for at in (behind, before)]
        likely = dict.fromkeys([told.get(section.at, near[0]), *near, section.at - page.span])
        for base in (*likely, *[None] * MOVES):
            blocks = missing(page)
            if base is None and blocks and search_left > 0:
                # Bytes were inserted or removed before or within the page's blocks.
                search_left -= min(BYTES_SEARCHED, len(data))
                base = _search(data, page, blocks, behind, stamp, work)
            if base is None or not blocks:
                break
            behind = max(behind, take(page, blocks, base))
        before = bases.get(page.first, before) + page.span
    # The rest may be placed by the page after it.
    before_it = _BackwardChain({section.end: section.at for section in sections})
    for (page, _), (after, _) in reversed(list(pairwise(pages))):
        blocks = missing(page)
        if blocks and after.first in bases:
            take(page, blocks, before_it.begin(bases[after.first]) - page.span)
    damaged = []
    for page, section in pages:
        base = bases.get(page.first, told.get(section.at))
        if base is None:
            continue
        for block in missing(page):
            there = _there(data, page, base, block) if work.allows(0) else None
            if there is not None and work.allows(there.head.block_bytes):
                damaged.append(replace(there, intact=False))
    return found, damaged


def _block_of(
    data: Bytes, page: StoredPage, base: int, block: int, stamp: bytes, work: Work
) -> FoundBlock | None:
    """Block number `block` of a page if it is intact, or None."""
    if not work.allows(0):
        return None
    there = _there(data, page, base, block)
    if there is None:
        return None
    told = header_of(data, there.begin, there.head, there.first, stamp, work)
    return there if told == there.header else None


def _there(data: Bytes, page: StoredPage, base: int, block: int) -> FoundBlock | None:
    """Block number `block` of a page, intact or not, if its head stands where the page says."""
    at, row = base + int(page.places[block]), int(page.rows[block])
    size, count = int(page.sizes[block]), int(page.counts[block])
    head = head_at(data, at, min(at + size, len(data))) if at >= 0 else None
    if head is None or head.block_bytes != size or len(head.lengths) != count:
        return None
    return FoundBlock(page.first + row, at, head, int(page.headers[block]), page, row)


def _search(
    data: Bytes, page: StoredPage, blocks: list[int], lowest: int, stamp: bytes, work: Work
) -> int | None:
    """Where a page's blocks begin if some of `blocks` are in their places, judged by their first
    bytes and checksums, searching from byte `lowest` on.
    """
    places = np.unique(np.linspace(0, len(blocks) - 1, SAMPLED).astype(np.int64))
    some = [blocks[i] for i in places]
    first = lowest - int(page.places[some[0]])
    window = np.frombuffer(data, dtype=np.uint8)
    score = np.zeros(min(BYTES_SEARCHED, max(0, len(data) - lowest)), dtype=np.uint8)
    for place, count in zip(page.places[some].tolist(), page.counts[some].tolist(), strict=True):
        begin = first + place
        here = window[begin : begin + len(score)] == count
        score[: len(here)] += here
    del window  # a mapped file cannot be closed while an array views it
    likely = np.flatnonzero(score >= (len(some) + 1) // 2)
    order = likely[np.argsort(score[likely], kind="stable")[::-1][:PLACES_TRIED]]
    for at in order.tolist():
        base = first + at
        if any(_block_of(data, page, base, block, stamp, work) for block in some):
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
