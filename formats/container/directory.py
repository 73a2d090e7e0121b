"""The directory: where headers, index pages and embedded decoders are; or a short index itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from velcodec.formats.container.block import LEAST_BLOCK_BYTES, least_bytes
from velcodec.formats.container.columns import expand, squeeze
from velcodec.formats.container.page import MAX_HEADERS, Page, StoredPage
from velcodec.formats.container.sections import KNOWN, MAX_SECTION_BYTES, Place
from velcodec.formats.errors import CorruptError, UnknownFeatureError
from velcodec.formats.storage.checked_msgpack import integer, pack, sequence, unpack_array

BYTES_OF_SPAN = 4
"""Any section takes more bytes than a quarter of what the directory stores for it."""

MAX_INSIDE_BYTES = 1 << 12
"""Bytes of a page inside the directory."""


@dataclass(frozen=True)
class PageEntry:
    """A page: the place of its section, or of the directory that it is inside of; where its records
    begin; and their number.
    """

    place: Place
    records_at: int
    count: int


@dataclass(frozen=True)
class Directory:
    """The places of everything except records and the first header, whose place is fixed. Later
    headers are in the order of their numbers, from 1. `others` are sections of other types, each
    with its type. `inside` is an archive's only page if the directory holds it; it counts from the
    end of the first header.
    """

    headers: tuple[Place, ...] = ()
    pages: tuple[PageEntry, ...] = ()
    decoders: tuple[Place, ...] = ()
    others: tuple[tuple[bytes, Place], ...] = ()
    inside: Page | StoredPage | None = None

    @property
    def models(self) -> int:
        """Number of records."""
        return sum(page.count for page in self.pages)

    def to_bytes(self) -> bytes:
        """Msgpack of flat arrays with places as differences, compressed if that is shorter. A page
        `inside` stands in place of the array of pages.
        """
        places = _flat([page.place for page in self.pages])
        records = _distances([page.records_at for page in self.pages])
        counts = [page.count for page in self.pages]
        pages = [*places[::2], *places[1::2], *records, *counts]
        distances = _flat([place for _, place in self.others])
        kinds = [kind[0] for kind, _ in self.others]
        rows = zip(kinds, distances[::2], distances[1::2], strict=True)
        others = [value for row in rows for value in row]
        parts: list[Any] = [pages, _flat(self.headers), _flat(self.decoders), others]
        if isinstance(self.inside, Page):
            parts[0] = self.inside.to_dict()
        while parts and not parts[-1]:
            del parts[-1]
        return squeeze(pack(parts))

    @classmethod
    def from_bytes(cls, body: bytes, own: Place, first: int, name: str) -> Directory:
        """The inverse of `to_bytes` for the section at `own`, before which everything lies, in an
        archive whose first header ends at byte `first`.

        Raises CorruptError, and UnknownFeatureError for extra elements.
        """
        place, end = f"{name}: directory", max(0, own.at)
        most = min(MAX_SECTION_BYTES, 64 + BYTES_OF_SPAN * end + MAX_INSIDE_BYTES)
        packed = expand(body, most, place)
        try:
            lists = unpack_array(packed, place, 5 + end + MAX_INSIDE_BYTES)
            if len(lists) > 4:
                raise UnknownFeatureError(
                    f"{place}: found {len(lists)} arrays, expected at most 4: a later version may "
                    "read it"
                )
            inside = None
            if lists and isinstance(lists[0], dict):
                room = max(0, end - first) // LEAST_BLOCK_BYTES
                inside = StoredPage.of_mapping(lists[0], len(packed), room, f"{name}: index")
                lists[0] = []
            parts = [[integer(v) for v in sequence(part)] for part in lists]
            numbers, headers, decoders, rest = parts + [[]] * (4 - len(parts))
            pages = _pages(numbers)
            others = tuple(_others(rest))
            found = cls(tuple(_places(headers)), pages, tuple(_places(decoders)), others)
        except (TypeError, ValueError) as error:
            raise CorruptError(f"{place}: {error}") from error
        places = [*found.headers, *(page.place for page in pages), *found.decoders]
        places += [place for _, place in others]
        for where in places:
            if where.at < 0 or where.size < 0 or where.at + where.size > end:
                raise CorruptError(f"{place}: found {where}, expected it before byte {end}")
        # Nothing may be listed twice, so the work of reading it is bounded by the size of the file.
        places.sort(key=lambda where: where.at)
        for where, after in pairwise(places):
            if where.at + where.size > after.at:
                raise CorruptError(
                    f"{place}: found {where} and {after}, expected each section once"
                )
        if len(found.headers) >= MAX_HEADERS:
            raise CorruptError(
                f"{place}: found {len(found.headers)} later headers, expected under {MAX_HEADERS}"
            )
        # Records must not overlap, so that none is counted or read twice.
        behind = 0
        for page in pages:
            if not (page.count >= 1 and behind <= page.records_at <= end):
                raise CorruptError(f"{place}: found {page}, expected it from byte {behind} on")
            behind = page.records_at + least_bytes(page.count)
            if behind > end:
                raise CorruptError(f"{place}: found {page}, expected its records before {end}")
        if inside is None:
            return found
        if inside.first or first + inside.span > end:
            raise CorruptError(f"{place}: found a page of other records inside")
        return replace(found, pages=(PageEntry(own, first, len(inside)),), inside=inside)


def _pages(numbers: list[int]) -> tuple[PageEntry, ...]:
    """Pages from four concatenated arrays: differences of places, sizes, differences of record
    places, counts.
    """
    if len(numbers) % 4:
        raise ValueError(f"found {len(numbers)} numbers for pages, expected four for each")
    n = len(numbers) // 4
    at, size, records, counts = (numbers[k * n : (k + 1) * n] for k in range(4))
    rows = zip(accumulate(at), size, accumulate(records), counts, strict=True)
    return tuple(PageEntry(Place(a, s), r, c) for a, s, r, c in rows)


def _others(flat: list[int]) -> list[tuple[bytes, Place]]:
    """Sections of other types, three values each: type, distance from the one before, size."""
    if len(flat) % 3:
        raise ValueError(f"found {len(flat)} numbers for other sections, expected three for each")
    if not all(0 < kind < 256 and bytes([kind]) not in KNOWN for kind in flat[::3]):
        raise ValueError(f"found the types {flat[::3]} of other sections")
    rows = zip(flat[::3], accumulate(flat[1::3]), flat[2::3], strict=True)
    return [(bytes([kind]), Place(at, size)) for kind, at, size in rows]


def _distances(values: list[int]) -> list[int]:
    return [b - a for a, b in pairwise([0, *values])]


def _flat(places: list[Place] | tuple[Place, ...]) -> list[int]:
    """For each place its distance from the one before, and its size."""
    distances = _distances([place.at for place in places])
    return [v for pair in zip(distances, [p.size for p in places], strict=True) for v in pair]


def _places(flat: list[int]) -> list[Place]:
    if len(flat) % 2:
        raise ValueError(f"found {len(flat)} numbers for places, expected an even count")
    return [Place(*pair) for pair in zip(accumulate(flat[::2]), flat[1::2], strict=True)]
