"""The directory: where the headers, the pages of the index and an embedded decoder stand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import msgpack

from velcodec.formats.container.columns import expand, squeeze
from velcodec.formats.container.page import MAX_HEADERS, MIN_RECORD_BYTES
from velcodec.formats.container.sections import KNOWN, MAX_SECTION_BYTES, Place
from velcodec.formats.errors import CorruptError, UnknownFeatureError
from velcodec.formats.storage.checked_msgpack import integer, sequence, unpack_array

BYTES_OF_SPAN = 4
"""A section of any kind takes more bytes than a quarter of what a directory says of it."""


@dataclass(frozen=True)
class PageEntry:
    """A page: where its section stands, where its first record's entry begins, how many records."""

    place: Place
    records_at: int
    count: int


@dataclass(frozen=True)
class Directory:
    """Places of everything but the records themselves and the first header, whose place is known;
    later headers stand in the order of their numbers, from 1 on. `others` are sections of further
    types, each with its type.
    """

    headers: tuple[Place, ...] = ()
    pages: tuple[PageEntry, ...] = ()
    decoders: tuple[Place, ...] = ()
    others: tuple[tuple[bytes, Place], ...] = ()

    @property
    def models(self) -> int:
        """Number of records."""
        return sum(page.count for page in self.pages)

    def to_bytes(self) -> bytes:
        """Msgpack of flat arrays, places as distances, compressed where that is shorter."""
        places = _flat([page.place for page in self.pages])
        records = _distances([page.records_at for page in self.pages])
        counts = [page.count for page in self.pages]
        pages = [*places[::2], *places[1::2], *records, *counts]
        distances = _flat([place for _, place in self.others])
        kinds = [kind[0] for kind, _ in self.others]
        rows = zip(kinds, distances[::2], distances[1::2], strict=True)
        others = [value for row in rows for value in row]
        parts = [pages, _flat(self.headers), _flat(self.decoders), others]
        while parts and not parts[-1]:
            del parts[-1]
        return squeeze(msgpack.packb(parts))

    @classmethod
    def from_bytes(cls, body: bytes, end: int, name: str) -> Directory:
        """The inverse of `to_bytes`; everything stands before byte `end`.

        Raises CorruptError, and UnknownFeatureError for more than it can hold.
        """
        place = f"{name}: directory"
        packed = expand(body, min(MAX_SECTION_BYTES, 64 + BYTES_OF_SPAN * max(0, end)), place)
        try:
            lists = unpack_array(packed, place, 5 + max(0, end))
            if len(lists) > 4:
                raise UnknownFeatureError(
                    f"{place}: found {len(lists)} arrays, expected at most 4: a later version may "
                    "read it"
                )
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
        # What is named once is read once: what it takes is bounded by the file.
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
        # Records follow each other, so that nothing is counted, or read, twice.
        behind = 0
        for page in pages:
            if not (page.count >= 1 and behind <= page.records_at <= end):
                raise CorruptError(f"{place}: found {page}, expected it from byte {behind} on")
            behind = page.records_at + page.count * MIN_RECORD_BYTES
            if behind > end:
                raise CorruptError(f"{place}: found {page}, expected its records before {end}")
        return found


def _pages(numbers: list[int]) -> tuple[PageEntry, ...]:
    """Pages of four arrays one behind the other: distances, sizes, records' distances, counts."""
    if len(numbers) % 4:
        raise ValueError(f"found {len(numbers)} numbers for pages, expected four for each")
    n = len(numbers) // 4
    at, size, records, counts = (numbers[k * n : (k + 1) * n] for k in range(4))
    rows = zip(accumulate(at), size, accumulate(records), counts, strict=True)
    return tuple(PageEntry(Place(a, s), r, c) for a, s, r, c in rows)


def _others(flat: list[int]) -> list[tuple[bytes, Place]]:
    """Sections of further types: type, distance from the one before, size, by turns."""
    if len(flat) % 3:
        raise ValueError(f"found {len(flat)} numbers for other sections, expected three for each")
    if not all(0 < kind < 256 and bytes([kind]) not in KNOWN for kind in flat[::3]):
        raise ValueError(f"found the types {flat[::3]} of other sections")
    rows = zip(flat[::3], accumulate(flat[1::3]), flat[2::3], strict=True)
    return [(bytes([kind]), Place(at, size)) for kind, at, size in rows]


def _distances(values: list[int]) -> list[int]:
    return [b - a for a, b in pairwise([0, *values])]


def _flat(places: list[Place] | tuple[Place, ...]) -> list[int]:
    """Each place's distance from the one before, and its size."""
    distances = _distances([place.at for place in places])
    return [v for pair in zip(distances, [p.size for p in places], strict=True) for v in pair]


def _places(flat: list[int]) -> list[Place]:
    if len(flat) % 2:
        raise ValueError(f"found {len(flat)} numbers for places, expected an even count")
    return [Place(*pair) for pair in zip(accumulate(flat[::2]), flat[1::2], strict=True)]
