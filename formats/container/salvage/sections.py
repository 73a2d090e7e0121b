"""Find the sections of a damaged archive by their checksums, wherever they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from velcodec.formats.container.block import LEAST_BLOCK_BYTES
from velcodec.formats.container.directory import Directory
from velcodec.formats.container.header import MAX_HEADER_BYTES, Header
from velcodec.formats.container.page import (
    MAX_HEADERS,
    MAX_PAGE_RECORDS,
    Page,
    StoredPage,
)
from velcodec.formats.container.salvage.found import Bytes, Work
from velcodec.formats.container.sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    LONGEST_HEAD,
    OPENING,
    PAGE,
    UNSTAMPED,
    Place,
    Section,
    check_known,
    check_section,
    section_size,
)
from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.checked_msgpack import unpack_mapping

SECTION, FIRST_HEADER = re.compile(rb"\x00[HUDPL]"), re.compile(rb"\x00H")
LONG_SECTION = 1 << 16
FREE_ROWS = 1 << 18
"""Pages may list this many blocks plus as many as the file can hold; further pages are ignored."""

WORK = 8
"""False sections of more than LONG_SECTION bytes are hashed up to this many times the file's size.
"""

DIRECTORIES_TRIED = 256
"""So many directories are tried to find one that can be read; more that cannot are an attack."""

NO_HEADER = -1
"""The number of a header whose number cannot be read."""


def find_first_header(data: Bytes, work: Work) -> Section | None:
    """The first header: the section with an unstamped checksum that holds header 0, or None."""
    for section in _find(data, FIRST_HEADER, UNSTAMPED, work):
        body = section.body
        if len(body) <= OPENING + MAX_HEADER_BYTES and _number_in(body[OPENING:]) == 0:
            return section
    return None


def find_sections(data: Bytes, first: Section, work: Work) -> Iterator[Section]:
    """The first header and every section of its archive with a valid checksum, in file order; none
    inside another.
    """
    yielded = False
    for section in _find(data, SECTION, first.checksum, work):
        if not yielded and section.at >= first.at:
            yielded = True
            yield first
        yield section
    if not yielded:
        yield first


def _find(data: Bytes, pattern: re.Pattern[bytes], stamp: bytes, work: Work) -> Iterator[Section]:
    at, budget = 0, WORK * len(data)
    while (match := pattern.search(data, at)) is not None:
        at = match.start()
        section = section_at(data, at, match.group()[1:], stamp, work, budget)
        if isinstance(section, int):
            budget -= section
            at += 1
        else:
            yield section
            at = section.end


def section_at(
    data: Bytes, at: int, kind: bytes, stamp: bytes, work: Work, budget: int = 1 << 62
) -> Section | int:
    """The section at a place, or the number of bytes hashed in vain."""
    try:
        body, end = section_size(kind, bytes(data[at : at + LONGEST_HEAD]), "section")
    except (CorruptError, TruncatedError):
        return 0
    size = end + CHECKSUM_BYTES
    if at + size > len(data) or (size > LONG_SECTION and size > budget) or not work.allows(size):
        return 0
    whole = bytes(data[at : at + size])
    try:
        check_section(whole, "section", stamp)
    except CorruptError:
        return size
    return Section(kind, whole[body:end], at, at + size, whole[end:])


def header_number(section: Section, stamp: bytes) -> int:
    """The number that a header states, 0 for the first, or NO_HEADER."""
    if section.checksum == stamp:
        return 0
    return _number_in(section.body) or NO_HEADER


def _number_in(body: bytes) -> int:
    if len(body) > MAX_HEADER_BYTES:
        return NO_HEADER
    try:
        number = unpack_mapping(body, "header").get("b", 0)
    except CorruptError:
        return NO_HEADER
    return number if isinstance(number, int) and 0 <= number < MAX_HEADERS else NO_HEADER


def read_headers(sections: list[Section], stamp: bytes) -> dict[int, Header]:
    """Every header that can be restored, by number."""
    bodies: dict[int, bytes] = {}
    for section in sections:
        if section.kind == HEADER:
            bodies.setdefault(header_number(section, stamp), section.body)
    headers: dict[int, Header] = {}
    for number in sorted(bodies.keys() - {NO_HEADER}):
        if number and 0 not in headers:
            break
        body = bodies[number]
        try:
            if number:
                headers[number] = Header.from_bytes(body, headers[0], number)
            else:
                headers[0] = Header.from_bytes(body[OPENING:])
        except CorruptError:
            continue
    return headers


def last_directory(sections: list[Section], name: str) -> Directory | None:
    """The last readable directory, or None."""
    told = [section for section in sections if section.kind == DIRECTORY][-DIRECTORIES_TRIED:]
    directories = (_directory_in(section, sections, name) for section in reversed(told))
    return next((found for found in directories if found is not None), None)


def _directory_in(section: Section, sections: list[Section], name: str) -> Directory | None:
    """The directory in a section, or None if it cannot be read."""
    first = next((each.end for each in sections if each.kind == HEADER), 0)
    try:
        own = Place(section.at, section.end - section.at)
        return Directory.from_bytes(section.body, own, first, name)
    except CorruptError:
        return None


def read_others(
    data: Bytes, directory: Directory | None, stamp: bytes, name: str, work: Work
) -> list[Section]:
    """The intact ancillary sections that the directory lists.

    Raises UnknownFeatureError for a critical section of unknown type.
    """
    found = []
    for kind, place in directory.others if directory is not None else ():
        check_known(kind, f"{name}: section {kind!r} at byte {place.at}")
        section = section_at(data, place.at, kind, stamp, work)
        if isinstance(section, Section) and section.end == place.at + place.size:
            found.append(section)
    return found


def read_pages(sections: list[Section], size: int, name: str) -> list[tuple[StoredPage, Section]]:
    """Readable pages of a file of `size` bytes in the order of their records, each once."""
    found: dict[int, tuple[StoredPage, Section]] = {}
    rows, directories = FREE_ROWS + size // LEAST_BLOCK_BYTES, 0
    for section in sections:
        page: Page | StoredPage | None = None
        if section.kind == DIRECTORY and 0 not in found and directories < DIRECTORIES_TRIED:
            directories += 1
            directory = _directory_in(section, sections, name)
            page = None if directory is None else directory.inside
        elif section.kind == PAGE:
            with suppress(CorruptError):
                page = StoredPage(section.body, min(MAX_PAGE_RECORDS, rows), f"{name}: index")
        if isinstance(page, StoredPage):
            rows -= len(page.sizes)
            found[page.first] = page, section
    return [found[first] for first in sorted(found)]
