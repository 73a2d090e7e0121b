"""A sharded archive: a folder of `.vlat` files and a manifest that lists them in order.

The manifest is written last, so a folder with one is complete. It lists names of files in the same
folder and nothing else.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.budget import OBJECT_BYTES, Budget
from velcodec.formats.container.columns import Column, held_bytes, joined
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import QualityCodes
from velcodec.formats.container.quality import StoredQuality, joined_codes, quality_rows
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record_reader import ORDINAL, Columns, numbers_of_keys
from velcodec.formats.errors import CorruptError, InputFileError, KeyNotFoundError, VersionError
from velcodec.formats.storage.atomic import atomic_write
from velcodec.formats.storage.checked_msgpack import check_keys, once
from velcodec.formats.storage.locks import ForkableLock, lazy_property
from velcodec.formats.storage.source import ByteSource, is_url

MANIFEST = "manifest.json"
FORMAT = "velcodec-shards-1"
KEYS, SHARD_KEYS = ("format", "models", "shards"), ("name", "models", "bytes", "stamp")
MAX_MANIFEST_BYTES = 1 << 24
SHARDS_OPEN = 64
_STAMP = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.vlat")


@dataclass(frozen=True)
class Shard:
    """One file of a sharded archive: its name in the folder, its number of models, its size in
    bytes, and the stamp (hexadecimal) that identifies it, if the manifest has it.
    """

    name: str
    models: int
    bytes: int
    stamp: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def shard_name(number: int) -> str:
    """`shard-00000.vlat`, ..."""
    return f"shard-{number:05d}.vlat"


def shard_number(name: str) -> int | None:
    """The number, below 100,000, in a name from `shard_name`; None for any other name."""
    found = re.fullmatch(r"shard-([0-9]{5})\.vlat", name)
    return int(found[1]) if found else None


def write_manifest(folder: Path, shards: Sequence[Shard], *, force: bool = False) -> None:
    """Make `folder` a sharded archive of the files in it; atomic."""
    data = {
        "format": FORMAT,
        "models": sum(shard.models for shard in shards),
        "shards": [shard.to_dict() for shard in shards],
    }
    with atomic_write(folder / MANIFEST, force=force) as stream:
        stream.write(json.dumps(data, indent=1).encode())


def read_manifest(source: ByteSource) -> tuple[Shard, ...]:
    """The shards that a manifest lists. Raises CorruptError, VersionError, InputFileError."""
    if source.size > MAX_MANIFEST_BYTES:
        raise CorruptError(f"{source.name}: found {source.size} bytes, expected a manifest")
    try:
        data = json.loads(source.read_at(0, source.size, "manifest"), object_pairs_hook=once)
        if data["format"] != FORMAT:
            raise VersionError(
                f"{source.name}: format: found {data['format']!r}, expected {FORMAT!r}"
            )
        check_keys(data, KEYS, source.name)
        for item in data["shards"]:
            check_keys(item, SHARD_KEYS, f"{source.name}: shard")
        shards = tuple(
            Shard(item["name"], item["models"], item["bytes"], item.get("stamp"))
            for item in data["shards"]
        )
        models = data["models"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptError(f"{source.name}: manifest: {error}") from error
    for shard in shards:
        if not isinstance(shard.name, str) or not _NAME.fullmatch(shard.name):
            raise CorruptError(f"{source.name}: shard: found name {shard.name!r}")
        for value in (shard.models, shard.bytes):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
                raise CorruptError(f"{source.name}: shard {shard.name}: found {value!r}")
        if not isinstance(shard.stamp, str | None) or not _STAMP.fullmatch(shard.stamp or "0" * 8):
            raise CorruptError(f"{source.name}: shard {shard.name}: found stamp {shard.stamp!r}")
    names = {shard.name for shard in shards}
    if len(names) != len(shards):
        raise CorruptError(f"{source.name}: found {len(names)} names for {len(shards)} shards")
    if not isinstance(models, int) or models != sum(shard.models for shard in shards):
        raise CorruptError(f"{source.name}: models: found {models!r} for those of all shards")
    return shards


class ShardedReader:
    """The archives of a folder (a path or a URL) as one; each is opened when needed.

    Raises as `VlatReader`, and CorruptError if a shard is not the one in the manifest.
    """

    def __init__(self, folder: str | Path) -> None:
        self.name = str(folder).rstrip("/")
        # Shards are opened later; the process may have changed its working folder by then.
        self._folder = self.name if is_url(self.name) else str(Path(folder).absolute())
        source = ByteSource(self._path(MANIFEST))
        try:
            self.shards = read_manifest(source)
        finally:
            source.close()
        self._ends = list(accumulate(shard.models for shard in self.shards))
        self._open: OrderedDict[int, VlatReader] = OrderedDict()
        self._lock = ForkableLock()
        if not self.shards:
            raise CorruptError(f"{self.name}: manifest: found no shard")

    def _path(self, name: str) -> str | Path:
        return f"{self._folder}/{name}" if is_url(self._folder) else Path(self._folder) / name

    def _shard(self, which: int) -> VlatReader:
        reader = self._open.get(which)
        if reader is None:
            reader = self._kept(which, self.open_shard(which))
        return reader

    def open_shard(self, which: int) -> VlatReader:
        """A reader of one shard, which the caller closes. Raises CorruptError if it is not the
        shard in the manifest.
        """
        shard = self.shards[which]
        reader = VlatReader(self._path(shard.name))
        for what, found, told in (
            ("models", len(reader), shard.models),
            ("bytes", reader.end, shard.bytes),
            ("as its stamp", reader.stamp.hex(), shard.stamp),
        ):
            if told not in (None, found):
                reader.close()
                raise CorruptError(
                    f"{self.name}: shard {shard.name}: found {found} {what}, expected {told}"
                )
        return reader

    def _kept(self, which: int, reader: VlatReader) -> VlatReader:
        """The reader kept for a shard: this one, or that of a faster thread."""
        unused: VlatReader | None = None
        with self._lock:
            kept = self._open.setdefault(which, reader)
            if len(self._open) > SHARDS_OPEN:
                _, unused = self._open.popitem(last=False)
        # Not closed: another thread may be reading it. Its file closes with the last reference,
        # outside the lock, because closing lets other threads run.
        del unused
        return kept

    def _all(self) -> Iterator[VlatReader]:
        """Every shard's reader in turn, so that not all are open at once."""
        return (self._shard(which) for which in range(len(self.shards)))

    def _locate(self, number: int) -> tuple[int, int]:
        if not 0 <= number < len(self):
            raise KeyNotFoundError(
                f"{self.name}: record: found number {number}, expected 0 to {len(self) - 1}"
            )
        which = bisect_right(self._ends, number)
        return which, number - (self._ends[which] - self.shards[which].models)

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def header(self) -> Header:
        """The first shard's first header."""
        return self._shard(0).header

    def headers(self) -> list[Header]:
        """Every header of every shard."""
        return [header for reader in self._all() for header in reader.headers()]

    def payload(self, number: int) -> bytes:
        """See `VlatReader.payload`."""
        which, row = self._locate(number)
        return self._shard(which).payload(row)

    def payload_part(self, number: int, start: int, size: int) -> bytes:
        """See `VlatReader.payload_part`."""
        which, row = self._locate(number)
        return self._shard(which).payload_part(row, start, size)

    def header_of(self, number: int) -> Header:
        """See `VlatReader.header_of`."""
        which, row = self._locate(number)
        return self._shard(which).header_of(row)

    def header_number(self, number: int) -> int:
        """A number shared by exactly the records under the same header of a shard."""
        which, row = self._locate(number)
        return (which << 32) + self._shard(which).header_number(row)

    def embedded_decoders(self) -> list[bytes]:
        """The bytes of every embedded decoder file, each once."""
        found = (decoder for reader in self._all() for decoder in reader.embedded_decoders())
        return list(dict.fromkeys(found))

    def ancillary(self) -> list[tuple[bytes, bytes]]:
        """Type and body of every ancillary section that copies keep, each once."""
        found = (section for reader in self._all() for section in reader.ancillary())
        return list(dict.fromkeys(found))

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def unfinished(self) -> int:
        """Bytes of unfinished additions to the shards that are open now."""
        return sum(reader.unfinished for reader in list(self._open.values()))

    # Columns

    @property
    def has_keys(self) -> bool:
        """Whether records have keys other than their numbers."""
        return len(self) > 0 and self._shard(bisect_right(self._ends, 0)).has_keys

    @lazy_property
    def keys(self) -> tuple[str, ...] | None:
        """Keys in order, or None if the numbers are the keys."""
        if not self.has_keys:
            return None
        found: list[str] = []
        budget = Budget(self.size, self.name)
        for reader in self._all():
            if reader.keys is None and len(reader):
                raise CorruptError(f"{self.name}: found keys for some shards only")
            budget.take(sum(OBJECT_BYTES + len(key) for key in reader.keys or ()))
            found.extend(reader.keys or ())
        return tuple(found)

    @lazy_property
    def quality_codes(self) -> QualityCodes | None:
        """See `VlatReader.quality_codes`."""
        return joined_codes([(len(reader), reader.quality_codes) for reader in self._all()])

    @lazy_property
    def quality(self) -> tuple[StoredQuality, ...] | None:
        """See `VlatReader.quality`."""
        return None if self.quality_codes is None else quality_rows(self.quality_codes)

    @lazy_property
    def lengths(self) -> NDArray[np.int64]:
        """See `VlatReader.lengths`."""
        return np.concatenate([reader.lengths for reader in self._all()])

    @lazy_property
    def fields(self) -> Mapping[str, Column]:
        """See `VlatReader.fields`."""
        parts, budget = [], Budget(self.size, self.name)
        for reader in self._all():
            budget.take(sum(map(held_bytes, reader.fields.values())))
            parts.append((len(reader), reader.fields))
        names = dict.fromkeys(name for _, fields in parts for name in fields)
        return {
            name: joined([(n, fields.get(name)) for n, fields in parts], budget) for name in names
        }

    def fields_of(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """See `VlatReader.fields_of`."""
        found = []
        for number in numbers:
            which, row = self._locate(number)
            found += self._shard(which).fields_of([row])
        return found

    def columns_of(self, numbers: Sequence[int]) -> Columns:
        """See `VlatReader.columns_of`; all records must be in one shard."""
        places = [self._locate(number) for number in numbers]
        (which,) = {which for which, _ in places}
        return self._shard(which).columns_of([row for _, row in places])

    @lazy_property
    def _number_of_key(self) -> dict[str, int]:
        return numbers_of_keys(self.keys or (), self.name)

    def key_index(self, key: str) -> int:
        """See `VlatReader.key_index`."""
        number = self._number_of_key.get(key)
        if number is None and not self.has_keys and ORDINAL.fullmatch(key):
            number = int(key)
        if number is None or number >= len(self):
            raise KeyNotFoundError(f"{self.name}: key: found no model with key {key!r}")
        return number

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            readers = list(self._open.values())
            self._open.clear()
        for reader in readers:
            reader.close()


def is_sharded(source: object) -> bool:
    """Whether this names a folder with a manifest, or is a URL that ends with a slash."""
    if is_url(source):
        return str(source).endswith("/")
    return isinstance(source, str | Path) and (Path(source) / MANIFEST).is_file()


def open_reader(source: Any) -> VlatReader | ShardedReader:
    """A reader of one file or of a sharded archive. Raises as their constructors do."""
    if is_sharded(source):
        return ShardedReader(source)
    if isinstance(source, str | Path) and not is_url(source) and Path(source).is_dir():
        raise InputFileError(f"{source}: is a folder without {MANIFEST}, expected an archive")
    return VlatReader(source)
