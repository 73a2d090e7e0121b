"""An archive that is still being written: what of it is safe, and going on from there.

The file has the target's name with `.part` behind it. Every page of its index follows its records
(`VlatWriter(journal=True)`), so that up to the last page everything can be told from the front.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from velcodec.formats.container.directory import Directory, PageEntry
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import StoredPage
from velcodec.formats.container.scan import FoundHeader, FoundRecord, walk
from velcodec.formats.container.sections import DECODER, DIRECTORY, PAGE, Place, is_critical
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, LockedError, TruncatedError
from velcodec.formats.storage.unbuffered import Unbuffered


def part_of(target: Path) -> Path:
    """Where an archive is written until it is finished."""
    return target.with_name(target.name + ".part")


@dataclass
class Journal:
    """What of an unfinished archive is safe: up to byte `end`, behind a page; notes by type."""

    end: int = 0
    headers: list[Header] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    pages: list[PageEntry] = field(default_factory=list)
    decoders: list[tuple[Place, bytes]] = field(default_factory=list)
    keys: list[str] | None = None
    notes: dict[bytes, bytes] = field(default_factory=dict)
    stamp: bytes = b""

    def writer(self, stream: BinaryIO) -> VlatWriter:
        """A writer that goes on from `end`."""
        directory = Directory(
            tuple(self.places[1:]), tuple(self.pages), tuple(place for place, _ in self.decoders)
        )
        return VlatWriter.continuing(
            stream,
            self.end,
            self.headers,
            directory,
            self.keys,
            [data for _, data in self.decoders],
            stamp=self.stamp,
            journal=True,
        )


def read_journal(stream: BinaryIO, name: str) -> Journal:
    """What is safe of the file that `stream` is at the front of; `end` is 0 where nothing is.

    What follows the last whole page may be anything. Raises NotVlatError, VersionError.
    """
    safe, ahead = Journal(), Journal()
    records_at, count, known = len(START), 0, 0
    try:
        for found in walk(stream, name):
            if isinstance(found, FoundRecord):
                if not count:
                    records_at = found.at
                count += 1
                continue
            place = Place(found.at, found.end - found.at)
            if isinstance(found, FoundHeader):
                ahead.headers.append(found.header)
                ahead.stamp = found.stamp
                ahead.places.append(place)
            elif found.kind == DECODER:
                ahead.decoders.append((place, found.body))
            elif found.kind == DIRECTORY:
                break
            elif found.kind == PAGE:
                page = StoredPage(found.body, count, f"{name}: index")
                if len(page) != count or page.first != known:
                    raise CorruptError(
                        f"{name}: index: found records {page.first} and {len(page) - 1} more, "
                        f"expected {known} and {count - 1} more"
                    )
                known += count
                ahead.pages.append(PageEntry(place, records_at, count))
                if page.keys is not None:
                    ahead.keys = [*(ahead.keys or ()), *page.keys]
                count, ahead.end = 0, found.end
                safe = Journal(
                    ahead.end,
                    list(ahead.headers),
                    list(ahead.places),
                    ahead.pages,
                    list(ahead.decoders),
                    ahead.keys,
                    dict(ahead.notes),
                    ahead.stamp,
                )
            elif not is_critical(found.kind):
                ahead.notes[found.kind] = found.body
    except (CorruptError, TruncatedError):
        pass  # what was being written when it ended
    return safe


@contextmanager
def open_part(path: Path, *, resume: bool) -> Iterator[tuple[BinaryIO, Journal]]:
    """The unfinished archive at `path`, locked: from its safe end on, or emptied.

    One that is empty in the end is removed. Raises LockedError while another process writes it,
    OutputPathError where it cannot be written.
    """
    with Unbuffered(path, create=True) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(f"{path}: another process is writing it") from error
        journal = Journal()
        if resume and stream.seek(0, os.SEEK_END):
            stream.seek(0)
            journal = read_journal(stream, str(path))
        try:
            stream.truncate(journal.end)
            stream.seek(journal.end)
            yield stream, journal
        finally:
            with suppress(FileNotFoundError):  # finished, and gone already
                if not path.stat().st_size:
                    path.unlink()
