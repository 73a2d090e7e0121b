"""Repair a damaged archive: write every intact record, with its index entry, to a new archive.

`velcodec.formats.container.salvage` finds the records. Nothing is decoded, and the damaged file is
never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np

from velcodec.archive.repair_volumes import intact_bricks
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
from velcodec.formats.no_data import NoData
from velcodec.formats.storage.atomic import atomic_write
from velcodec.formats.storage.safe_read import private_bytes
from velcodec.formats.storage.source import ByteSource

RECORDS_AT_ONCE = 4096
T = TypeVar("T")


@dataclass(frozen=True)
class DamagedVolume:
    """A volume that lost some of its bricks: the model's number, and the numbers of these, of so
    many; `saved` if it was written with absent samples in their place.
    """

    model: int
    lost_bricks: tuple[int, ...]
    bricks: int
    saved: bool


@dataclass(frozen=True)
class Repaired:
    """The result of a repair.

    `lost` are the numbers of lost models, as ranges (first, last + 1); `lost_files` are shards with
    nothing intact; `uncounted` are files whose number of models is unknown, so that more may be
    lost. `without_index` counts the saved models without key, quality and fields, because their
    page is lost. `damaged_volumes` have intact bricks; those that are not saved are among the lost
    models.
    """

    saved: int
    lost: tuple[tuple[int, int], ...]
    without_index: int
    decoders: int
    damaged_bytes: int
    lost_files: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    damaged_volumes: tuple[DamagedVolume, ...] = ()

    @property
    def lost_models(self) -> int:
        """Number of models known to be lost."""
        return sum(end - first for first, end in self.lost)

    @property
    def whole(self) -> bool:
        """Whether nothing is known or suspected to be lost."""
        lost = self.lost or self.lost_files or self.uncounted or self.without_index
        return not (lost or self.damaged_volumes)


def repair(
    source: str | Path, target: str | Path, *, force: bool = False, any_version: bool = False,
    fill: NoData | None = None,
) -> Repaired:  # fmt: skip
    """Write every intact model of an archive, or of a folder of shards, to a new archive.

    Models keep their key, measured quality and fields if their page of the index is intact. In an
    archive with keys, a model whose key is lost gets `#` and its number. In one without keys,
    models keep their numbers, as keys if some models are lost. Unfinished additions and archives
    (`.part`) are read as far as they go.

    A volume with a damaged brick is lost, unless `fill` (nan or a number of its dtype, outside its
    range) is given: then it is saved with absent samples of this value in place of the lost bricks,
    or of its own no-data value if it has one, and without its measured quality.

    Raises RepairError if no model is intact, VersionError for another version of the format (unless
    `any_version`: this byte is damaged), UnknownFeatureError for features of later versions,
    InputFileError, OutputExistsError unless `force`, OutputPathError, OptionError.
    """
    source, target = Path(source), Path(target)
    with atomic_write(target, force=force, source=source) as stream:
        repairer = _Repairer(lambda header: VlatWriter(stream, header), any_version, fill)
        lost_files: list[str] = []
        if source.is_dir():
            for path, models in _shards(source):
                try:
                    repairer.add_file(path, models)
                except (VelcodecError, OSError) as error:
                    if isinstance(error, VersionError | UnknownFeatureError):
                        raise
                    lost_files.append(path.name)
                    repairer.skip_file(models)
        else:
            repairer.add_file(source)
        repaired = repairer.finish(str(source))
    return replace(repaired, lost_files=tuple(lost_files))


def _shards(folder: Path) -> list[tuple[Path, int]]:
    """The shards of a folder in order, with their numbers of models (0 if unknown); without a
    manifest, gaps in the numbering of the files count as shards too.
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


class _Repairer:
    """Collects intact records file by file, then writes them."""

    def __init__(
        self, begin: Callable[[Header], VlatWriter], any_version: bool, fill: NoData | None
    ) -> None:
        self._begin, self._any_version, self._fill = begin, any_version, fill
        self._damaged: list[DamagedVolume] = []
        self._regained = 0
        self._files: list[tuple[Path, int, Salvage]] = []
        self._lost: list[tuple[int, int]] = []
        self._uncounted: list[str] = []
        self._models = 0
        self._keyed = False

    def add_file(self, path: Path, models: int = 0) -> None:
        """Salvage one archive of `models` models (0 if unknown). Raises as `repair`."""
        with _opened(path) as data:
            found = salvage(data, str(path), any_version=self._any_version)
            if models:
                found.expected = max(models, found.expected)
            elif found.uncounted:
                self._uncounted.append(path.name)
            first = self._models
            self._add_volumes(found, data, first, str(path))
            self._lost += [(first + a, first + b) for a, b in found.lost]
            self._files.append((path, first, found))
            self._models += found.expected
            self._keyed |= found.has_keys

    def _add_volumes(self, found: Salvage, data: Bytes, first: int, name: str) -> None:
        """Look for intact bricks of damaged volumes, and add these to the records if they are to be
        filled.
        """
        for record in found.damaged:
            place = f"{name}: record {record.number}"
            alive = intact_bricks(record.payload(data), found.headers[record.header], place)
            if alive is None:
                continue
            saved, bricks = self._fill is not None, len(alive.table.bricks)
            self._damaged.append(DamagedVolume(first + record.number, alive.lost, bricks, saved))
            if saved:
                found.records.append(record)
                self._regained += record.stop - record.start - alive.lost_bytes
        found.records.sort(key=lambda record: record.number)

    def skip_file(self, models: int) -> None:
        """Count the models of a file with nothing intact."""
        if models:
            self._lost.append((self._models, self._models + models))
            self._models += models

    def finish(self, name: str) -> Repaired:
        """Write everything. Raises RepairError if nothing is intact."""
        if not self._files:
            raise RepairError(f"{name}: found no shard of which anything is intact")
        writer: VlatWriter | None = None
        keys = _Keys(self._keyed, bool(self._lost))
        counts = np.zeros(3, dtype=np.int64)
        decoders: set[bytes] = set()
        if self._lost and not any(found.records for _, _, found in self._files):
            hint = ""
            if self._damaged:
                hint = (
                    f"; model {self._damaged[0].model} is a volume with intact bricks, which "
                    "--fill=nan (fill='nan') saves"
                )
            raise RepairError(f"{name}: found no intact model{hint}")
        for path, first, found in self._files:
            with _opened(path) as data:
                if writer is None:
                    writer = self._begin(found.headers[0])
                for decoder in found.decoders:
                    writer.embed(decoder)
                decoders.update(found.decoders)
                for kind, body in found.ancillary:
                    writer.attach(kind, body)
                _write(found, data, writer, keys, first, str(path), self._fill)
                counts += (
                    len(found.records),
                    sum(record.page is None for record in found.records),
                    sum(end - begin for begin, end in found.gaps),
                )
        assert writer is not None
        writer.close()
        saved, without_index, damaged = counts.tolist()
        return Repaired(
            saved, tuple(self._lost), without_index, len(decoders), damaged - self._regained,
            uncounted=tuple(self._uncounted), damaged_volumes=tuple(self._damaged),
        )  # fmt: skip


@dataclass
class _Keys:
    """The keys of saved models: their own, or substitutes."""

    keyed: bool
    some_lost: bool

    def __post_init__(self) -> None:
        self._given: set[int] = set()  # hashes, because keys may be long

    def of(self, record: Found, number: int) -> str | None:
        """The key of a record, `number` being its number in all files."""
        if not self.keyed:
            return str(number) if self.some_lost else None
        page = record.page
        keys = None if page is None else _intact(lambda: page.keys)
        key = keys[record.row] if keys is not None else f"#{number}"
        while hash(key) in self._given:
            key += "'"
        self._given.add(hash(key))
        return key


def _write(
    found: Salvage, data: Bytes, writer: VlatWriter, keys: _Keys, first: int, name: str,
    fill: NoData | None,
) -> None:  # fmt: skip
    """Append the records of one file, whose bytes are `data`."""
    last: StoredPage | None = None
    for block in _blocks(found.records):
        if last is not None and last is not block[0].page:
            last.forget()
        last = block[0].page
        if not block[0].intact:
            for record in block:
                _write_filled(
                    found, record, data, writer, keys.of(record, first + record.number), name, fill
                )
            continue
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


def _write_filled(
    found: Salvage, record: Found, data: Bytes, writer: VlatWriter, key: str | None, name: str,
    fill: NoData | None,
) -> None:  # fmt: skip
    """Append a volume whose lost bricks are filled."""
    place = f"{name}: record {record.number}"
    alive = intact_bricks(record.payload(data), found.headers[record.header], place)
    if alive is None or fill is None:
        raise InputFileError(f"{place}: changed while it was read")
    header, payload = alive.filled(fill, place)
    writer.use(header)
    _, fields = _columns([record])
    writer.add_many([payload], None if key is None else [key], None, fields)


def _blocks(records: Sequence[Found]) -> Iterator[list[Found]]:
    """Consecutive records of one header and page, intact or not, at most RECORDS_AT_ONCE."""
    for _, group in groupby(records, key=lambda r: (r.header, id(r.page), r.intact)):
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
    """A part of a page, or None if it cannot be read although the page's checksum holds."""
    try:
        return read()
    except CorruptError:
        return None


@contextmanager
def _opened(path: Path) -> Iterator[Bytes]:
    """A private view of a file's bytes. Raises InputFileError."""
    try:
        data = private_bytes(path)
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror or error}") from error
    try:
        yield data
    finally:
        if not isinstance(data, bytes):
            data.close()


__all__ = ["DamagedVolume", "Repaired", "repair"]
