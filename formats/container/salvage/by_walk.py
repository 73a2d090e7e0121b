"""Find blocks that no page lists: walk from one to the next, and after damage try every byte."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from velcodec.formats.container.block import CHECKSUM_BYTES, MOST_RECORDS, identity_of
from velcodec.formats.container.framing import START, TAIL_BYTES
from velcodec.formats.container.salvage.found import (
    Bytes,
    FoundBlock,
    Work,
    head_at,
    header_of,
    is_tail,
)
from velcodec.formats.container.salvage.sections import NO_HEADER, header_number, section_at
from velcodec.formats.container.sections import HEADER, MARKER, USE, Section
from velcodec.formats.errors import CorruptError, TruncatedError
from velcodec.formats.storage.varint import decode_varint

NUMBERS_TRIED = 64 * MOST_RECORDS
"""After damage a block may begin with the expected number or one of this many after it."""

NUMBERS_OF_STEP = 512
"""Numbers that are looked at in one step of work."""

HEADERS_TRIED = 16
"""After damage a block may belong to the current header or one of this many after it."""

BYTES_TRIED, LONGEST_SOUGHT = 1 << 19, 1 << 16
"""How many bytes of a file may be tried as the beginning of a block, and the largest block tried.
When the tries run out, the walk continues after the next section.
"""


@dataclass
class _Walker:
    """The state of a walk: the archive's stamp, the numbers of its headers in order, the next
    record's number, the current header, and how many bytes may still be tried.
    """

    stamp: bytes
    headers: Sequence[int]
    work: Work
    number: int = 0
    header: int = 0
    tries: int = BYTES_TRIED


def walk_blocks(
    data: Bytes,
    sections: list[Section],
    known: Mapping[int, FoundBlock],
    headers: Collection[int],
    stamp: bytes,
    work: Work,
    *,
    at: int = len(START),
    number: int = 0,
) -> Iterator[FoundBlock]:
    """Blocks in the gaps that no page accounts for, from byte `at` on, where record `number` is
    expected.
    """
    state = _Walker(stamp, sorted(headers), work, number)
    stops: list[tuple[int, int, Section | FoundBlock]] = [(s.at, s.end, s) for s in sections]
    for block in known.values():
        stops.append((block.begin, block.end, block))
    stops.sort(key=lambda stop: stop[:2])
    numbers = sorted(known)
    for begin, end, what in [*stops, (len(data), len(data), None)]:
        if begin > at:
            before = bisect_right(numbers, state.number)
            most = numbers[before] if before < len(numbers) else None
            yield from _walk_gap(data, at, begin, state, most)
        if isinstance(what, FoundBlock):
            state.number, state.header = what.after, what.header
        elif what is not None and what.kind == HEADER:
            number = header_number(what, stamp)
            state.header = number if number in headers else NO_HEADER
        elif what is not None and what.kind == USE:
            state.header = _used_header(what)
        at = max(at, end)


def _used_header(section: Section) -> int:
    try:
        return decode_varint(section.body, 0, "header number")[0]
    except (CorruptError, TruncatedError):
        return NO_HEADER


def _walk_gap(
    data: Bytes, at: int, end: int, state: _Walker, most: int | None
) -> Iterator[FoundBlock]:
    """Blocks from byte `at` up to `end`, where something known begins or the file ends.

    Their numbers stay below `most`.
    """
    while at < end:
        if is_tail(data, at):
            at += TAIL_BYTES
            continue
        if data[at : at + 1] == MARKER:
            kind = bytes(data[at + 1 : at + 2])
            section = section_at(data, at, kind, state.stamp, state.work)
            if isinstance(section, Section) and section.end <= end:  # a writer's note
                at = section.end
                continue
        block = _block(data, at, end, state, state.number)
        if block is None or block.header != state.header:
            block = _resume(data, at, end, state, most)
        if block is None:
            return
        yield block
        at, state.number, state.header = block.end, block.after, block.header


def _block(data: Bytes, at: int, end: int, state: _Walker, number: int) -> FoundBlock | None:
    """The block at `at` if it may begin with this record, under whatever header."""
    head = head_at(data, at, end)
    header = None if head is None else header_of(data, at, head, number, state.stamp, state.work)
    return None if head is None or header is None else FoundBlock(number, at, head, header)


def _resume(data: Bytes, at: int, end: int, state: _Walker, most: int | None) -> FoundBlock | None:
    """Where blocks continue after damage at `at`."""
    likely = _likely_headers(state)
    last = state.number + NUMBERS_TRIED if most is None else most
    # A block with damaged payloads still says where the next one begins, and with which record.
    place, number = at, state.number
    while number < last:
        block = _block(data, place, end, state, number)
        if block is None:
            break
        if block.header in likely and _is_sure(data, block, end, state):
            return block
        place, number = block.end, block.after
    last = min(last, state.number + NUMBERS_TRIED)
    if not state.work.allows(0, NUMBERS_TRIED // NUMBERS_OF_STEP):
        return None
    known = {identity_of(state.stamp, number): number for number in range(state.number, last)}
    for place in range(at, end):
        state.tries -= 1
        if state.tries < 0:
            return None
        head = head_at(data, place, end)
        if head is None or head.block_bytes > LONGEST_SOUGHT:
            continue
        if not state.work.allows(head.block_bytes):
            return None
        stop = place + head.block_bytes - CHECKSUM_BYTES
        found = int.from_bytes(bytes(data[stop : stop + CHECKSUM_BYTES]), "little")
        identity = found ^ zlib.crc32(bytes(data[place:stop]))
        for told in likely:
            first = known.get(identity ^ told)
            if first is None:
                continue
            block = FoundBlock(first, place, head, told)
            if _is_sure(data, block, end, state):
                return block
    return None


def _is_sure(data: Bytes, block: FoundBlock, end: int, state: _Walker) -> bool:
    """Whether a block in an unknown place is what it seems: 32 bits fit one of few headers and
    numbers, or the next block does too, or it ends where something intact begins.
    """
    if block.header == state.header and block.first <= state.number + MOST_RECORDS:
        return True
    if block.end == end:
        return end < len(data) or block.first == state.number
    after = _block(data, block.end, end, state, block.after)
    return after is not None and after.header == block.header


def _likely_headers(state: _Walker) -> list[int]:
    """Headers that may apply after damage, which may have hit a header itself."""
    known, now = state.headers, max(state.header, 0)
    behind = bisect_right(known, now)
    after, known = known[behind : behind + HEADERS_TRIED], known[:HEADERS_TRIED]
    return list(dict.fromkeys([now, now + 1, *after, *known]))[:HEADERS_TRIED]
