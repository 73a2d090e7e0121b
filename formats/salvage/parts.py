"""Sections of a damaged archive, which prove themselves by their checksums wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..directory import Directory
from ..errors import CorruptError, TruncatedError
from ..header import MAX_HEADER_BYTES, Header
from ..packed import unpack_mapping
from ..page import MAX_PAGE_RECORDS, StoredPage
from ..sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    LONGEST_HEAD,
    PAGE,
    Section,
    check_known,
    check_section,
    section_size,
)
from .found import Bytes

SECTION = re.compile(rb"\x00[HUDPL]")
LONG_SECTION = 1 << 16
WORK = 8
"""Long stretches that only look like sections are hashed up to so many times the file's size."""

NO_HEADER = -1
"""The number of a header that cannot be made out."""


def find_sections(data: Bytes) -> Iterator[Section]:
    """Every section whose checksum holds, in order, wherever it stands; none within another."""
    at, budget = 0, WORK * len(data)
    while (match := SECTION.search(data, at)) is not None:
        at = match.start()
        section = section_at(data, at, match.group()[1:], budget)
        if isinstance(section, int):
            budget -= section
            at += 1
        else:
            yield section
            at = section.end


def section_at(data: Bytes, at: int, kind: bytes, budget: int = 1 << 62) -> Section | int:
    """The section at a place, or how many bytes were looked at in vain."""
    try:
        body, end = section_size(kind, bytes(data[at : at + LONGEST_HEAD]), "section")
    except (CorruptError, TruncatedError):
        return 0
    size = end + CHECKSUM_BYTES
    if at + size > len(data) or (size > LONG_SECTION and size > budget):
        return 0
    whole = bytes(data[at : at + size])
    try:
        check_section(whole, "section")
    except CorruptError:
        return size
    return Section(kind, whole[body:end], at, at + size)


def header_number(section: Section) -> int:
    """The number that a header says it has, or NO_HEADER."""
    if len(section.body) > MAX_HEADER_BYTES:
        return NO_HEADER
    try:
        number = unpack_mapping(section.body, "header").get("b", 0)
    except CorruptError:
        return NO_HEADER
    return number if isinstance(number, int) and number >= 0 else NO_HEADER


def read_headers(sections: list[Section]) -> dict[int, Header]:
    """Every header that can be made whole, by its number."""
    bodies: dict[int, bytes] = {}
    for section in sections:
        if section.kind == HEADER:
            bodies.setdefault(header_number(section), section.body)
    headers: dict[int, Header] = {}
    for number in sorted(bodies.keys() - {NO_HEADER}):
        if number and 0 not in headers:
            break
        try:
            headers[number] = Header.from_bytes(bodies[number], headers.get(0), number)
        except CorruptError:
            continue
    return headers


def last_directory(sections: list[Section], name: str) -> Directory | None:
    """What the last directory says."""
    for section in reversed(sections):
        if section.kind == DIRECTORY:
            try:
                return Directory.from_bytes(section.body, section.at, name)
            except CorruptError:
                continue
    return None


def read_others(data: Bytes, directory: Directory | None, name: str) -> list[Section]:
    """The intact ones of the ancillary sections that the directory lists.

    Raises UnknownFeatureError where one of the sections must be understood and is not known.
    """
    found = []
    for kind, place in directory.others if directory is not None else ():
        check_known(kind, f"{name}: section {kind!r} at byte {place.at}")
        section = section_at(data, place.at, kind)
        if isinstance(section, Section) and section.end == place.at + place.size:
            found.append(section)
    return found


def read_pages(sections: list[Section], name: str) -> list[tuple[StoredPage, Section]]:
    """Pages in order of their records, each once."""
    found: dict[int, tuple[StoredPage, Section]] = {}
    for section in sections:
        if section.kind == PAGE:
            try:
                page = StoredPage(section.body, MAX_PAGE_RECORDS, f"{name}: index")
            except CorruptError:
                continue
            found[page.first] = page, section
    return [found[first] for first in sorted(found)]
