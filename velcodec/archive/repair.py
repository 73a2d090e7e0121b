"""A whole archive from a damaged one: every record that is intact, and what the index says of it.

`velcodec.formats.container.salvage` finds the records; here they are written anew. Nothing is decoded, and
the damaged file is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np

from velcodec.formats.container.columns import Column
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import QualityCodes, StoredPage
from velcodec.formats.container.salvage import Bytes, Found, Salvage, salvage
from velcodec.formats.container.shards import MANIFEST, read_manifest, shard_name, shard_number
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    InputFileError,
    RepairError,
    UnknownFeatureError,
    VelcodecError,
    VersionError,
)
from velcodec.formats.storage.atomic import atomic_write
from velcodec.formats.storage.pieces import private_bytes
from velcodec.formats.storage.source import ByteSource

RECORDS_AT_ONCE = 4096
T = TypeVar("T")


@dataclass(frozen=True)
class Mended:
    """What came of a repair.

    `lost` are numbers of models that are gone, as ranges (first, behind the last), `lost_files`
    shards of which nothing could be had, `uncounted` files of which nothing tells how many models
    they had, so that more may be gone. Of the models saved, `without_index` have no key, quality
    or fields any more, since their page is gone.
    """

    saved: int
    lost: tuple[tuple[int, int], ...]
    without_index: int
    decoders: int
    damaged_bytes: int
    lost_files: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()

    @property
    def lost_models(self) -> int:
        """How many models are gone, as far as anything tells."""
        return sum(behind - first for first, behind in self.lost)

    @property
    def whole(self) -> bool:
        """Whether nothing is gone, as far as can be known."""
        return not (self.lost or self.lost_files or self.uncounted or self.without_index)


def repair(
    source: str | Path, target: str | Path, *, force: bool = False, any_version: bool = False
) -> Mended:
    """Write what is intact of an archive, or of a folder of shards, to a new archive.

    Keys, measured quality and fields come along where the page of the index that has them is
    intact. A model without a key gets its number with `#` before it in an archive of keys; in one
    without keys models keep their numbers, as keys where some are lost. Additions and archives that
    were never finished (`.part`) are read as far as they go.

    Raises RepairError where not one model can be had, VersionError for an archive of another
    version, unless `any_version` says that this byte is damaged, UnknownFeatureError for what a
    later version wrote, InputFileError, OutputExistsError unless `force`, OutputPathError,
    OptionError.
    """
    source, target = Path(source), Path(target)
    with atomic_write(target, force=force, source=source) as stream:
        mender = _Mender(lambda header: VlatWriter(stream, header), any_version)
        lost_files: list[str] = []
        if source.is_dir():
            for path, models in _shards(source):
                try:
                    mender.add_file(path, models)
                except (VelcodecError, OSError) as error:
                    if isinstance(error, VersionError | UnknownFeatureError):
                        raise
                    lost_files.append(path.name)
                    mender.miss(models)
        else:
            mender.add_file(source)
        mended = mender.finish(str(source))
    return replace(mended, lost_files=tuple(lost_files))


def _shards(folder: Path) -> list[tuple[Path, int]]:
    """The shards of a folder in order, and how many models each should have (0: not known); without
    a manifest those are among them that the others' numbers tell to be gone.
    """
    try:
        manifest = ByteSource(folder / MANIFEST)
        try:
            return [(folder / shard.name, shard.models) for shard in read_manifest(manifest)]
        finally:
            manifest.close()
    except (InputFileError, CorruptError):
        found = {path.name for path in folder.glob("*.vlat")}
        if not found:
            raise RepairError(f"{folder}: found no manifest and no shard") from None
        last = max((n for n in map(shard_number, found) if n is not None), default=-1)
        found |= {shard_name(number) for number in range(last)}
        return [(folder / name, 0) for name in sorted(found)]


class _Mender:
    """Collects what is intact, file after file, and writes it in the end."""

    def __init__(self, begin: Callable[[Header], VlatWriter], any_version: bool) -> None:
        self._begin, self._any_version = begin, any_version
        self._files: list[tuple[Path, int, Salvage]] = []
        self._lost: list[tuple[int, int]] = []
        self._uncounted: list[str] = []
        self._models = 0
        self._keyed = False

    def add_file(self, path: Path, models: int = 0) -> None:
        """Look at one archive, of so many models where that is known. Raises as `repair`."""
        with _opened(path) as data:
            found = salvage(data, str(path), any_version=self._any_version)
            if models:
                found.expected = max(models, found.expected)
            elif found.uncounted:
                self._uncounted.append(path.name)
            first = self._models
            self._lost += [(first + a, first + b) for a, b in found.lost]
            self._files.append((path, first, found))
            self._models += found.expected
            self._keyed |= found.has_keys

    def miss(self, models: int) -> None:
        """A file of which nothing can be had."""
        if models:
            self._lost.append((self._models, self._models + models))
            self._models += models

    def finish(self, name: str) -> Mended:
        """Write everything. Raises RepairError where there is nothing."""
        if not self._files:
            raise RepairError(f"{name}: found no shard of which anything is intact")
        writer: VlatWriter | None = None
        keys = _Keys(self._keyed, bool(self._lost))
        counts = np.zeros(3, dtype=np.int64)
        decoders: set[bytes] = set()
        for path, first, found in self._files:
            with _opened(path) as data:
                if writer is None:
                    writer = self._begin(found.headers[0])
                for decoder in found.decoders:
                    writer.embed(decoder)
                decoders.update(found.decoders)
                for kind, body in found.ancillary:
                    writer.attach(kind, body)
                _write(found, data, writer, keys, first, str(path))
                counts += (
                    len(found.records),
                    sum(record.page is None for record in found.records),
                    sum(end - begin for begin, end in found.gaps),
                )
        assert writer is not None
        writer.close()
        saved, without_index, damaged = counts.tolist()
        return Mended(
            saved, tuple(self._lost), without_index, len(decoders), damaged,
            uncounted=tuple(self._uncounted),
        )  # fmt: skip


@dataclass
class _Keys:
    """Which keys models get: their own, or what stands for them."""

    keyed: bool
    some_lost: bool

    def __post_init__(self) -> None:
        self._given: set[str] = set()

    def of(self, record: Found, number: int) -> str | None:
        """The key of a record whose number among all files is `number`."""
        if not self.keyed:
            return str(number) if self.some_lost else None
        page = record.page
        own = None if page is None else _intact(lambda: page.keys)
        key = own[record.row] if own is not None else f"#{number}"
        while key in self._given:
            key += "'"
        self._given.add(key)
        return key


def _write(
    found: Salvage, data: Bytes, writer: VlatWriter, keys: _Keys, first: int, name: str
) -> None:
    """Append the records of one file, which are in `data`."""
    for block in _blocks(found.records):
        writer.use(found.headers[block[0].header])
        for record in block:
            if not found.holds(record, data):
                raise InputFileError(f"{name}: record {record.number}: changed while it was read")
        names = [keys.of(record, first + record.number) for record in block]
        quality, fields = _columns(block)
        writer.add_many(
            [record.payload(data) for record in block],
            None if names[0] is None else [name for name in names if name is not None],
            quality,
            fields,
        )


def _blocks(records: Sequence[Found]) -> Iterator[list[Found]]:
    """Neighbouring records of one header and one page, some at a time."""
    for _, group in groupby(records, key=lambda r: (r.header, id(r.page))):
        block = list(group)
        for begin in range(0, len(block), RECORDS_AT_ONCE):
            yield block[begin : begin + RECORDS_AT_ONCE]


def _columns(block: Sequence[Found]) -> tuple[QualityCodes | None, dict[str, Column]]:
    """What the page of some records says of them."""
    page = block[0].page
    rows = np.array([record.row for record in block])
    if page is None:
        return None, {}
    quality = _intact(lambda: page.quality)
    fields = {}
    for name in _intact(lambda: page.field_names) or ():
        column = _field(page, name)
        if column is not None:
            fields[name] = column[rows]
    return None if quality is None else quality[:, rows], fields


def _field(page: StoredPage, name: str) -> Column | None:
    return _intact(lambda: page.field(name))


def _intact(read: Callable[[], T]) -> T | None:
    """A part of a page, or None where it cannot be, though the page's checksum holds."""
    try:
        return read()
    except CorruptError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[Bytes]:
    """The bytes of a file, as they are now. Raises InputFileError."""
    try:
        data = private_bytes(path)
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror or error}") from error
    try:
        yield data
    finally:
        if not isinstance(data, bytes):
            data.close()


__all__ = ["Mended", "repair"]
