"""Compare an archive's index with the blocks and sections that precede it.

Sizes, places, numbers, headers and counts are stored in the index and also follow from the order
of the file. A front-to-back reader sees both and accepts neither if they differ.
"""

from __future__ import annotations

from array import array

import numpy as np

from velcodec.formats.container.block import LEAST_BLOCK_BYTES
from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.sections import DECODER, PAGE, UNSTAMPED, Place, Section
from velcodec.formats.errors import CorruptError


class IndexCheck:
    """What was read of the archive `name` so far: about 30 bytes for each section, and for each
    block whose page has not come yet.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.stamp = UNSTAMPED
        self.records = 0
        self._starts, self._sizes = array("q"), array("q")
        self._counts, self._under = array("q"), array("q")
        self._headers: list[Place] = []
        self._first = 0
        self._pages: list[PageEntry] = []
        self._others = array("q")

    def header(self, section: Section) -> None:
        """Note a header; the first one gives the archive's stamp."""
        if not self._headers:
            self.stamp, self._first = section.checksum, section.end
        self._headers.append(_place(section))

    def block(self, at: int, size: int, count: int, header: int) -> None:
        """Note a block of so many bytes and records that begins at byte `at`."""
        self.records += count
        self._starts.append(at)
        self._sizes.append(size)
        self._counts.append(count)
        self._under.append(header)

    def section(self, section: Section) -> None:
        """Note another section. Raises CorruptError for a page that does not match the records
        before it, UnknownFeatureError for a part of it that must be understood and is not.
        """
        if section.kind == PAGE:
            self._page(section)
        else:
            self._others.extend([section.kind[0], section.at, section.end - section.at])

    def _page(self, section: Section) -> None:
        start = self._starts[0] if self._starts else section.at
        room = (section.at - start) // LEAST_BLOCK_BYTES
        page = StoredPage(section.body, room, f"{self._name}: index")
        self._compare(page, _place(section), start)

    def _compare(self, page: StoredPage, place: Place, start: int) -> None:
        """Compare a page with the blocks that have waited for it; it counts from byte `start`."""
        name, waiting = f"{self._name}: index", len(self._starts)
        first, count = self.records - sum(self._counts), len(page.sizes)
        if page.first != first or count > waiting:
            raise CorruptError(
                f"{name}: found a page of records {page.first} to {page.first + len(page) - 1}, "
                f"expected some of {first} to {self.records - 1}"
            )
        for what, told, met in (
            ("sizes", page.sizes, self._sizes),
            ("records", page.counts, self._counts),
            ("places", page.places + start, self._starts),
            ("headers", page.headers, self._under),
        ):
            differ = np.flatnonzero(told != np.array(met[:count], dtype=np.int64))
            if len(differ):
                row = int(differ[0])
                raise CorruptError(
                    f"{name}: record {first + int(page.rows[row])}: {what} of its block: found "
                    f"{int(told[row])} in the index, "
                    f"expected {met[row]} as in the order of the file"
                )
        for column in (self._starts, self._sizes, self._counts, self._under):
            del column[:count]
        self._pages.append(PageEntry(place, start, len(page)))

    def directory(self, section: Section) -> None:
        """Raise CorruptError unless the directory matches everything before it."""
        own = _place(section)
        found = Directory.from_bytes(section.body, own, self._first, self._name)
        if isinstance(found.inside, StoredPage):
            self._compare(found.inside, own, self._first)
        met = self._others.tolist()
        known = set(zip(met[::3], met[1::3], met[2::3], strict=True))
        listed = [(DECODER, place) for place in found.decoders] + list(found.others)
        for what, holds in (
            ("pages", list(found.pages) == self._pages),
            ("records without a page", not self._starts),
            ("headers", list(found.headers) == self._headers[1:]),
            ("sections", all((k[0], p.at, p.size) in known for k, p in listed)),
        ):
            if not holds:
                raise CorruptError(
                    f"{self._name}: directory: {what}: found others than those before it"
                )


def _place(section: Section) -> Place:
    return Place(section.at, section.end - section.at)
