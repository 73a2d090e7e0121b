"""Write an archive front to back, without seeking, so that it can go into a pipe."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from io import UnsupportedOperation
from typing import Any, BinaryIO

import numpy as np

from velcodec.formats.container.block import (
    MAX_RECORD_BYTES,
    MOST_BYTES,
    MOST_RECORDS,
    BlockId,
    block_parts,
    blocks_of,
    is_full,
)
from velcodec.formats.container.columns import Column, as_column, is_text, joined, take_fields
from velcodec.formats.container.directory import MAX_INSIDE_BYTES, Directory, PageEntry
from velcodec.formats.container.framing import START, pack_tail
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import (
    MAX_FIELD_NAME_BYTES,
    MAX_FIELDS,
    MAX_HEADERS,
    MAX_KEY_BYTES,
    Page,
    QualityCodes,
    Run,
)
from velcodec.formats.container.quality import StoredQuality, joined_codes, quality_codes
from velcodec.formats.container.sections import (
    DECODER,
    DIRECTORY,
    HEADER,
    OPENING,
    PAGE,
    UNSTAMPED,
    USE,
    Place,
    is_critical,
    pack_section,
)
from velcodec.formats.errors import OptionError
from velcodec.formats.storage.varint import encode_varint

RECORDS_OF_PAGE = 4096
MAX_DECODER_BYTES = 1 << 24


class VlatWriter:
    """Writes one archive. Records belong to the header last passed to `use`; `decoder` is a decoder
    file's bytes to embed.

    With `journal` each index page directly follows its records, so that a truncated file keeps its
    keys and columns; without it all pages are at the end, which is faster to read.

    Records that follow each other are written in blocks, as soon as one is full, or something else
    is to be written. Nothing is written before the first record, whose CRC-32 opens the first
    header: archives that begin with different models have different stamps.
    """

    _held: list[tuple[bytes, bytes]] | None

    def __init__(
        self,
        stream: BinaryIO,
        header: Header,
        *,
        decoder: bytes | None = None,
        journal: bool = False,
    ) -> None:
        self._begin(stream, 0, journal)
        self._held = []
        self._at = len(START)
        self.use(header)
        if decoder is not None:
            self.embed(decoder)

    def _begin(self, stream: BinaryIO, at: int, journal: bool) -> None:
        self._stream, self._at, self._journal = stream, at, journal
        self._closed_with = 0, 0, 0
        self._first_end = 0
        self._stamp = UNSTAMPED
        self._held = None
        self._headers: list[Header] = []
        self._numbers: dict[bytes, int] = {}
        self._places: list[Place] = []
        self._decoders: list[Place] = []
        self._embedded: set[bytes] = set()
        self._others: list[tuple[bytes, Place]] = []
        self._attached: set[bytes] = set()
        self._entries: list[PageEntry] = []
        self._pages: list[tuple[bytes, int, int]] = []
        self._keys: set[int] | None = None
        self._current = -1
        self._count = 0
        self._waiting: list[bytes] = []
        self._page = _OpenPage()

    @classmethod
    def continuing(
        cls,
        stream: BinaryIO,
        at: int,
        headers: Sequence[Header],
        directory: Directory,
        keys: Sequence[str] | None,
        decoders: Sequence[bytes],
        ancillary: Sequence[tuple[bytes, bytes]] = (),
        *,
        stamp: bytes,
        journal: bool = False,
    ) -> VlatWriter:
        """A writer of further records from byte `at` on, where an archive's tail or a page ends."""
        writer = cls.__new__(cls)
        writer._begin(stream, at, journal)
        writer._stamp = stamp
        writer._headers = list(headers)
        writer._numbers = {_identity(headers, head): i for i, head in enumerate(headers)}
        writer._places = list(directory.headers)
        writer._entries = list(directory.pages)
        writer._decoders = list(directory.decoders)
        writer._embedded = {sha256(decoder).digest() for decoder in decoders}
        writer._others = list(directory.others)
        writer._attached = {sha256(kind + body).digest() for kind, body in ancillary}
        writer._count = directory.models
        writer._closed_with = writer._state
        if keys is not None:
            writer._keys = {hash(key) for key in keys}
        return writer

    @property
    def header(self) -> Header:
        """The archive's first header."""
        return self._headers[0]

    def headers(self) -> Sequence[Header]:
        """All headers so far."""
        return self._headers

    def __len__(self) -> int:
        """Number of records so far."""
        return self._count

    @property
    def size(self) -> int:
        """Bytes of the archive so far, without records that wait for their block."""
        return self._at

    @property
    def stamp(self) -> bytes:
        """The archive's stamp, known once the first record, or the index, is written."""
        return self._stamp

    @property
    def changed(self) -> bool:
        """Whether anything was added that is not in the index yet."""
        return self._state != self._closed_with

    @property
    def _state(self) -> tuple[int, int, int]:
        return self._count, len(self._decoders), len(self._others)

    def use(self, header: Header) -> None:
        """Put the following records under this header. Costs nothing if it is the current one.

        Raises `OptionError` for values that a header cannot hold, and for more than MAX_HEADERS
        headers.
        """
        if self._current >= 0 and header == self._headers[self._current]:
            return
        identity = _identity(self._headers, header)
        known = self._numbers.get(identity)
        if known is None and len(self._headers) == MAX_HEADERS:
            raise OptionError(f"header: found more than {MAX_HEADERS} different ones")
        self._after_run()
        if known is None:
            known = len(self._headers)
            self._numbers[identity] = known
            self._headers.append(header)
            if known:
                body = header.to_bytes(self._headers[0], known)
                self._places.append(self._section(HEADER, body))
            else:
                self._section(HEADER, bytes(OPENING) + identity)
        else:
            self._section(USE, encode_varint(known))
        self._current = known

    def _stamp_sections(self, payload: bytes | None) -> None:
        """Write the sections held back until the first record, whose payload this is, or None."""
        held, self._held = self._held, None
        if held is None:
            return
        opening = bytes(OPENING) if payload is None else zlib.crc32(payload).to_bytes(4, "little")
        first = pack_section(HEADER, opening + self._headers[0].to_bytes())
        self._stamp, self._first_end = first[-len(UNSTAMPED) :], len(START) + len(first)
        others = [pack_section(kind, body, self._stamp) for kind, body in held[1:]]
        self._stream.write(b"".join([START, first, *others]))

    def embed(self, decoder: bytes) -> None:
        """Embed a decoder file's bytes, once. Raises `OptionError` if they are too long."""
        if len(decoder) > MAX_DECODER_BYTES:
            raise OptionError(
                f"decoder to embed: found {len(decoder)} bytes, expected at most "
                f"{MAX_DECODER_BYTES}"
            )
        digest = sha256(decoder).digest()
        if digest not in self._embedded:
            self._after_run()
            self._decoders.append(self._section(DECODER, decoder))
            self._embedded.add(digest)

    def attach(self, kind: bytes, body: bytes) -> None:
        """Add a section that readers skip and copies keep; equal sections are stored once.

        Raises `OptionError` for a type that is not a lower-case letter.
        """
        _check_ancillary(kind)
        digest = sha256(kind + body).digest()
        if digest not in self._attached:
            self._after_run()
            self._others.append((kind, self._section(kind, body)))
            self._attached.add(digest)

    def note(self, kind: bytes, body: bytes) -> None:
        """Add a section that readers skip and copies drop."""
        _check_ancillary(kind)
        self._after_run()
        self._section(kind, body)

    def add(
        self,
        payload: bytes,
        key: str | None = None,
        quality: StoredQuality | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one record; see `add_many`."""
        self.add_many(
            [payload],
            None if key is None else [key],
            None if quality is None else [quality],
            {name: [value] for name, value in (fields or {}).items()},
        )

    def add_many(
        self,
        payloads: Sequence[bytes],
        keys: Sequence[str] | None = None,
        quality: Sequence[StoredQuality] | QualityCodes | None = None,
        fields: Mapping[str, Sequence[Any] | Column] | None = None,
    ) -> None:
        """Append records under the current header, each with one value of every column.

        Either all records of an archive have keys or none. Raises `OptionError` if not; for a key
        that exists already, is longer than 1024 bytes or not UTF-8; for columns of another length;
        and for a payload of 2 GiB. Nothing is added then.
        """
        count = len(payloads)
        if not count:
            return
        for i, payload in enumerate(payloads):
            if len(payload) >= MAX_RECORD_BYTES:
                raise OptionError(
                    f"record {self._count + i}: found {len(payload)} bytes, "
                    f"expected under {MAX_RECORD_BYTES}"
                )
        columns = _checked_fields(fields or {}, count)
        codes = None
        if quality is not None:
            codes = quality if isinstance(quality, np.ndarray) else quality_codes(quality)
            _check_length("quality", codes.shape[1], count)
        if keys is not None:
            _check_length("keys", len(keys), count)
        self._take_keys(keys)
        if self._current < 0:  # a continued archive: its last header is not known here
            self.use(self.header)
        for first in range(0, count, RECORDS_OF_PAGE):
            some = slice(first, first + RECORDS_OF_PAGE)
            self._add_to_page(
                payloads[some],
                None if keys is None else keys[some],
                None if codes is None else codes[:, some],
                take_fields(columns, some),
            )

    def _add_to_page(
        self,
        payloads: Sequence[bytes],
        keys: Sequence[str] | None,
        codes: QualityCodes | None,
        columns: dict[str, Column],
    ) -> None:
        if self._page.count + len(payloads) > RECORDS_OF_PAGE:
            self._close_page()
        if not self._page.count:
            self._page.first = self._count
        self._stamp_sections(payloads[0])
        self._page.add(len(payloads), keys, codes, columns)
        self._count += len(payloads)
        self._waiting.extend(payloads)
        self._write_blocks(keep=True)

    def _write_blocks(self, *, keep: bool = False) -> None:
        """Write the records that wait, in blocks; `keep` the last block if it may grow."""
        waiting, first = self._waiting, self._count - len(self._waiting)
        # The parts of a volume have checksums of their own: no other record shares its block.
        apart = self._current >= 0 and self._headers[self._current].has_volumes
        blocks = list(
            blocks_of([len(payload) for payload in waiting], 1 if apart else MOST_RECORDS)
        )
        if keep and not apart and not is_full(waiting[blocks[-1]]):
            blocks = blocks[:-1]
        for rows in blocks:
            block_id = BlockId(self._stamp, first + rows.start, self._current)
            at, parts = self._at, block_parts(block_id, waiting[rows])
            small = len(waiting[rows.start]) <= MOST_BYTES
            for part in [b"".join(parts)] if small else parts:  # a large record is not copied
                self._put(part)
            self._page.add_block(at, self._at - at, rows.stop - rows.start)
        if blocks:
            self._waiting = waiting[blocks[-1].stop :]

    def end_page(self) -> None:
        """End the current block and index page. With `journal`, everything added so far is then
        safe.
        """
        self._close_page()
        self._flush()

    def close(self) -> None:
        """Write the index. Nothing can be added afterwards; the bytes of a file are on disk."""
        inside = self._page_inside()
        self._close_page()
        self._stamp_sections(None)
        for body, records_at, count in self._pages:
            self._entries.append(PageEntry(self._section(PAGE, body), records_at, count))
        self._pages = []
        # The tail must not reach the disk before what it leads to.
        self._flush()
        directory = Directory(
            tuple(self._places), tuple(self._entries), tuple(self._decoders), tuple(self._others),
            inside,
        )  # fmt: skip
        place = self._section(DIRECTORY, directory.to_bytes())
        if inside is not None:
            self._entries.append(PageEntry(place, self._first_end, len(inside)))
        self._put(pack_tail(place.size))
        self._flush()
        self._closed_with = self._state

    def _page_inside(self) -> Page | None:
        """The archive's only page if it is short, so that it goes into the directory."""
        self._write_blocks()
        if not (self._page.count and self._first_end) or self._entries or self._pages:
            return None
        self._page.end_run(self._current)
        page = self._page.whole()
        begin, *others = page.runs
        begin = replace(begin, gap=self._page.records_at - self._first_end)
        page = replace(page, runs=(begin, *others))
        if len(page.to_bytes()) > MAX_INSIDE_BYTES:
            return None
        self._page = _OpenPage()
        return page

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._at += len(data)

    def _section(self, kind: bytes, body: bytes) -> Place:
        data = pack_section(kind, body, self._stamp)
        place = Place(self._at, len(data))
        if self._held is None:
            self._put(data)
        else:
            self._held.append((kind, body))
            self._at += len(data)
        return place

    def _flush(self) -> None:
        self._stream.flush()
        try:
            os.fsync(self._stream.fileno())
        except UnsupportedOperation:  # bytes in memory
            return
        except OSError as error:
            if error.errno not in (None, errno.EINVAL, errno.ENOTSUP):  # a pipe, a device
                raise

    def _after_run(self) -> None:
        """A section follows, so the records after it begin a new block and run."""
        self._write_blocks()
        self._page.end_run(self._current)

    def _close_page(self) -> None:
        self._write_blocks()
        page, self._page = self._page, _OpenPage()
        if not page.count:
            return
        page.end_run(self._current)
        body = page.whole().to_bytes()
        if self._journal:
            place = self._section(PAGE, body)
            self._entries.append(PageEntry(place, page.records_at, page.count))
        else:
            self._pages.append((body, page.records_at, page.count))

    def _take_keys(self, keys: Sequence[str] | None) -> None:
        """Refuse keys that no reader would accept; remember the rest."""
        if self._count and (keys is None) != (self._keys is None):
            raise OptionError(
                f"record {self._count}: keys: found {'none' if keys is None else 'some'}, "
                f"expected {'none' if self._keys is None else 'some'} as for the records before it"
            )
        if keys is None:
            return
        known = self._keys if self._keys is not None else set()
        new: set[int] = set()
        for key in keys:
            _check_key(key, known, new)
            new.add(hash(key))
        self._keys = known | new if len(known) < len(new) else _updated(known, new)


class _OpenPage:
    """The page being filled."""

    def __init__(self) -> None:
        self.records_at = 0
        self.first = 0
        self.count = 0
        self._end = 0
        self._run: tuple[int, int] | None = None
        self._runs: list[Run] = []
        self._sizes: list[int] = []
        self._counts: list[int] = []
        self._keys: list[str] = []
        self._parts: list[tuple[int, QualityCodes | None, dict[str, Column]]] = []

    def add(
        self,
        count: int,
        keys: Sequence[str] | None,
        codes: QualityCodes | None,
        columns: dict[str, Column],
    ) -> None:
        """Add the columns of records."""
        self._keys.extend(keys or ())
        self._parts.append((count, codes, columns))
        self.count += count

    def add_block(self, at: int, size: int, count: int) -> None:
        """Add a block of records that begins at byte `at` of the file."""
        if not self._sizes:
            self.records_at = self._end = at
        gap, before = (at - self._end, 0) if self._run is None else self._run
        self._run = gap, before + 1
        self._sizes.append(size)
        self._counts.append(count)
        self._end = at + size

    def end_run(self, header: int) -> None:
        """End the current run, which is under this header."""
        if self._run is not None:
            self._runs.append(Run(*self._run, header))
            self._run = None

    def whole(self) -> Page:
        """The finished page, its last run ended."""
        quality = joined_codes([(count, codes) for count, codes, _ in self._parts])
        names = dict.fromkeys(name for _, _, fields in self._parts for name in fields)
        fields = {
            name: joined([(count, own.get(name)) for count, _, own in self._parts])
            for name in names
        }
        keys = tuple(self._keys) if self._keys else None
        sizes, counts = (np.array(each, np.int64) for each in (self._sizes, self._counts))
        return Page(sizes, counts, tuple(self._runs), keys, quality, fields, self.first)


def _check_ancillary(kind: bytes) -> None:
    if len(kind) != 1 or is_critical(kind):
        raise OptionError(f"section: found type {kind!r}, expected a lower-case letter")


def _updated(known: set[int], new: set[int]) -> set[int]:
    known |= new
    return known


def _identity(headers: Sequence[Header], header: Header) -> bytes:
    """A header's bytes as stored in this archive: all of the first, what differs for others."""
    if not headers or header == headers[0]:
        return header.to_bytes()
    return header.to_bytes(headers[0])


def _check_key(key: str, known: Collection[int], new: Collection[int]) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise OptionError(f"key {key!r}: expected text that UTF-8 can hold") from error
    if size > MAX_KEY_BYTES:
        raise OptionError(
            f"key {key[:40]!r}...: found {size} bytes, expected at most {MAX_KEY_BYTES}"
        )
    if hash(key) in known or hash(key) in new:
        raise OptionError(f"key {key!r}: found it twice, expected each key once")


def _checked_fields(fields: Mapping[str, Any], count: int) -> dict[str, Column]:
    if len(fields) > MAX_FIELDS:
        raise OptionError(f"fields: found {len(fields)}, expected at most {MAX_FIELDS}")
    for name in fields:
        size = len(name.encode(errors="replace")) if isinstance(name, str) else 0
        if not 1 <= size <= MAX_FIELD_NAME_BYTES or not is_text(name):
            raise OptionError(
                f"field {name!r}: expected a name of 1 to {MAX_FIELD_NAME_BYTES} bytes of UTF-8"
            )
    return {name: as_column(values, count, name) for name, values in fields.items()}


def _check_length(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise OptionError(f"{what}: found {found}, expected {expected}, one for each model")
