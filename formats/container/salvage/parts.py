"""Sections of a damaged archive, which prove themselves by their checksums wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from velcodec.formats.container.directory import Directory
from velcodec.formats.container.header import MAX_HEADER_BYTES, Header
from velcodec.formats.container.page import MAX_HEADERS, MAX_PAGE_RECORDS, StoredPage
from velcodec.formats.container.salvage.found import Bytes
from velcodec.formats.container.sections import (
    CHECKSUM_BYTES,
    DIRECTORY,
    HEADER,
    LONGEST_HEAD,
    OPENING,
    PAGE,
    UNSTAMPED,
    Section,
    check_known,
    check_section,
    section_size,
)
from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.checked_msgpack import unpack_mapping

SECTION, FIRST_HEADER = re.compile(rb"\x00[HUDPL]"), re.compile(rb"\x00H")
LONG_SECTION = 1 << 16
WORK = 8
"""Long stretches that only look like sections are hashed up to so many times the file's size."""

NO_HEADER = -1
"""The number of a header that cannot be made out."""


def find_first_header(data: Bytes) -> Section | None:
    """The first header: a section without a stamp that holds one."""
    for section in _find(data, FIRST_HEADER, UNSTAMPED):
        body = section.body
        if len(body) <= OPENING + MAX_HEADER_BYTES and _number_in(body[OPENING:]) == 0:
            return section
    return None


def find_sections(data: Bytes, first: Section) -> Iterator[Section]:
    """The first header and every section of its archive whose checksum holds, in order, wherever it
    stands; none within another.
    """
    yielded = False
    for section in _find(data, SECTION, first.checksum):
        if not yielded and section.at >= first.at:
            yielded = True
            yield first
        yield section
    if not yielded:
        yield first


def _find(data: Bytes, pattern: re.Pattern[bytes], stamp: bytes) -> Iterator[Section]:
    at, budget = 0, WORK * len(data)
    while (match := pattern.search(data, at)) is not None:
        at = match.start()
        section = section_at(data, at, match.group()[1:], stamp, budget)
        if isinstance(section, int):
            budget -= section
            at += 1
        else:
            yield section
            at = section.end


def section_at(
    data: Bytes, at: int, kind: bytes, stamp: bytes, budget: int = 1 << 62
) -> Section | int:
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
        check_section(whole, "section", stamp)
    except CorruptError:
        return size
    return Section(kind, whole[body:end], at, at + size, whole[end:])


def header_number(section: Section, stamp: bytes) -> int:
    """The number that a header says it has, or NO_HEADER; the one without a stamp is the first."""
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
    """Every header that can be made whole, by its number."""
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
    """What the last directory says."""
    for section in reversed(sections):
        if section.kind == DIRECTORY:
            try:
                return Directory.from_bytes(section.body, section.at, name)
            except CorruptError:
                continue
    return None


def read_others(data: Bytes, directory: Directory | None, stamp: bytes, name: str) -> list[Section]:
    """The intact ones of the ancillary sections that the directory lists.

    Raises UnknownFeatureError where one of the sections must be understood and is not known.
    """
    found = []
    for kind, place in directory.others if directory is not None else ():
        check_known(kind, f"{name}: section {kind!r} at byte {place.at}")
        section = section_at(data, place.at, kind, stamp)
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
