"""What an archive's index says against what was met on the way to it.

Lengths, places, numbers, headers and counts stand in the index and in the order of the file. Who
reads from front to back has both, and believes neither where they differ.
"""

from __future__ import annotations

from array import array

import numpy as np

from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.page import MIN_RECORD_BYTES, StoredPage
from velcodec.formats.container.sections import DECODER, PAGE, UNSTAMPED, Place, Section
from velcodec.formats.errors import CorruptError


class Met:
    """What was met of the archive `name` so far, in some 20 bytes for each record without a page
    yet and each section.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.stamp = UNSTAMPED
        self.records = 0
        self._starts, self._lengths = array("q"), array("q")
        self._under = array("q")
        self._headers: list[Place] = []
        self._pages: list[PageEntry] = []
        self._others = array("q")

    def header(self, section: Section) -> None:
        """A header; the first one has the archive's stamp."""
        if not self._headers:
            self.stamp = section.checksum
        self._headers.append(_place(section))

    def record(self, at: int, length: int, header: int) -> None:
        """A record whose entry begins at byte `at`."""
        self.records += 1
        self._starts.append(at)
        self._lengths.append(length)
        self._under.append(header)

    def section(self, section: Section) -> None:
        """Another section. Raises CorruptError for a page or a directory of something else,
        UnknownFeatureError for one that must be understood and is not.
        """
        if section.kind == PAGE:
            self._page(section)
        else:
            self._others.extend([section.kind[0], section.at, section.end - section.at])

    def _page(self, section: Section) -> None:
        name = f"{self._name}: index"
        waiting = len(self._starts)
        room = section.at - self._starts[0] if waiting else 0
        page = StoredPage(section.body, room // MIN_RECORD_BYTES, name)
        first, count = self.records - waiting, len(page)
        if page.first != first or count > waiting:
            raise CorruptError(
                f"{name}: found a page of records {page.first} to {page.first + count - 1}, "
                f"expected some of {first} to {self.records - 1}"
            )
        start = self._starts[0]
        for what, told, met in (
            ("lengths", page.lengths, self._lengths),
            ("places", page.places + start, self._starts),
            ("headers", page.headers, self._under),
        ):
            differ = np.flatnonzero(told != np.array(met[:count], dtype=np.int64))
            if len(differ):
                row = int(differ[0])
                raise CorruptError(
                    f"{name}: record {first + row}: {what}: found {int(told[row])} in the index, "
                    f"expected {met[row]} as in the order of the file"
                )
        for column in (self._starts, self._lengths, self._under):
            del column[:count]
        self._pages.append(PageEntry(_place(section), start, count))

    def directory(self, section: Section) -> None:
        """A directory. Raises CorruptError unless it is that of everything before it."""
        found = Directory.from_bytes(section.body, section.at, self._name)
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
                    f"{self._name}: directory: {what}: found other ones than stand before it"
                )


def _place(section: Section) -> Place:
    return Place(section.at, section.end - section.at)
