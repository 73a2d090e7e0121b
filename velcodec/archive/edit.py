"""Merge archives, copy subsets, split into shards; decodes nothing.

Records are copied unchanged, every checksum verified, with their headers, keys, fields, measured
quality and embedded decoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from velcodec.archive.archive import Archive
from velcodec.archive.numbers import Selection
from velcodec.formats.container.copying import Rename, copy_records, runs_of_headers
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.shards import Shard, open_reader, shard_name, write_manifest
from velcodec.formats.container.unfinished import check_rest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.files.npy import check_option
from velcodec.formats.storage.atomic import atomic_folder, atomic_write, check_target
from velcodec.progress import Progress, no_progress

MODELS_PER_SHARD = 5000

KEEP, FIRST, PREFIX, DROP = KEY_MODES = ("keep", "first", "prefix", "drop")
"""What `cat` does with keys: require each once; take the first model of each; put the archive's
name before it; use numbers instead.
"""

Source = str | Path | bytes | BinaryIO
Target = str | Path | BinaryIO


@dataclass(frozen=True)
class Edited:
    """What was written: models, bytes, and models left out (`cat` with keys "first")."""

    models: int
    bytes: int
    left_out: int = 0


def cat(
    sources: Sequence[Source],
    target: Target,
    *,
    keys: str = KEEP,
    force: bool = False,
    ignore_rest: bool = False,
    on_progress: Progress = no_progress,
) -> Edited:
    """Merge archives, or folders of shards, into one, in the order given.

    `target` is a path, written whole or not at all, or a binary stream. `keys` is one of KEY_MODES.
    Before writing anything, raises OptionError if a key occurs twice, or if only some archives have
    keys. Raises OutputExistsError, OutputPathError, and what `velcodec.open` raises; unless
    `ignore_rest`, DamagedEndError for an archive whose last index is damaged, so that models which
    only it lists would be left out.
    """
    check_option("keys", keys, KEY_MODES)
    if not sources:
        raise OptionError("archives: found none, expected one at least")
    inputs = [_look(source, ignore_rest) for source in sources]
    if keys in (KEEP, FIRST):
        _check_all_or_none(inputs)
    if keys == KEEP:
        _check_keys(inputs)
    labels = _labels(inputs)
    copied = _CopyProgress(on_progress, sum(one.models for one in inputs))
    known: set[str] = set()
    writer: VlatWriter | None = None
    left_out = 0
    with _new_archive(target, force, sources) as begin:
        for one, label in zip(inputs, labels, strict=True):
            with closing(open_reader(one.source)) as reader:
                writer = writer or begin(reader.header_of(0) if len(reader) else reader.header)
                numbers: Sequence[int] = range(len(reader))
                if keys == FIRST and one.has_keys:
                    numbers = _new_ones(reader, known)
                    left_out += len(reader) - len(numbers)
                rename = _rename(keys, label)
                copy_records(reader, writer, numbers, rename=rename, on_copied=copied)
        assert writer is not None
        writer.close()
    return Edited(len(writer), writer.size, left_out)


def subset(
    source: Source | Archive,
    target: Target,
    models: Selection,
    *,
    force: bool = False,
    ignore_rest: bool = False,
    on_progress: Progress = no_progress,
) -> Edited:
    """Copy some models of an archive to a new one, in the order given.

    `models` is a slice, numbers, keys or a boolean mask, as for `Archive.select`; a mask can be
    computed from `Archive.fields`. Unknown sections of later versions are kept. Raises OptionError
    if no model is selected; otherwise as `cat`.
    """
    with _opened(source, ignore_rest) as archive:
        numbers = archive.select(models)
        reader = archive.reader
        if not numbers:
            raise OptionError(f"{reader.name}: models: found none selected, expected at least one")
        with _new_archive(target, force, [source]) as begin:
            writer = begin(reader.header_of(numbers[0]))
            copied = _CopyProgress(on_progress, len(numbers))
            copy_records(reader, writer, numbers, on_copied=copied)
            writer.close()
    return Edited(len(writer), writer.size)


def split(
    source: Source | Archive,
    target: str | Path,
    *,
    models_per_shard: int | None = None,
    shards: int | None = None,
    ignore_rest: bool = False,
    on_progress: Progress = no_progress,
) -> tuple[Shard, ...]:
    """Split an archive into a folder of shards, written whole or not at all.

    Each shard has `models_per_shard` models (by default 5000), the last one the rest; or there are
    `shards` shards of nearly equal size. Each shard is an archive of its own, with the embedded
    decoders; the folder opens as one archive. `cat` reverses it. Raises OptionError,
    OutputExistsError for a folder that is not empty, OutputPathError, and otherwise as `cat`.
    """
    made: list[Shard] = []
    with _opened(source, ignore_rest) as archive, atomic_folder(Path(target)) as folder:
        reader, count = archive.reader, len(archive)
        if not count:
            raise OptionError(f"{reader.name}: models: found none, expected some")
        copied = _CopyProgress(on_progress, count)
        for number, numbers in enumerate(_shares(count, models_per_shard, shards)):
            name = shard_name(number)
            with (folder / name).open("xb") as stream:
                writer = VlatWriter(stream, reader.header_of(numbers[0]))
                copy_records(reader, writer, numbers, on_copied=copied)
                writer.close()
            made.append(Shard(name, len(writer), writer.size, writer.stamp.hex()))
        write_manifest(folder, made)
    return tuple(made)


def _shares(count: int, each: int | None, shards: int | None) -> list[range]:
    """The numbers of each shard's models."""
    if each is not None and shards is not None:
        raise OptionError("models per shard, shards: found both, expected one of them")
    if shards is not None:
        if not 1 <= shards <= count:
            raise OptionError(f"shards: found {shards}, expected 1 to {count}, one model each")
        ends = [count * number // shards for number in range(shards + 1)]
    else:
        each = MODELS_PER_SHARD if each is None else each
        if each < 1:
            raise OptionError(f"models per shard: found {each}, expected 1 or more")
        ends = [*range(0, count, each), count]
    return [range(first, last) for first, last in pairwise(ends)]


# Inputs and outputs


@dataclass(frozen=True)
class _Input:
    source: Source
    name: str
    models: int
    has_keys: bool


def _look(source: Source, ignore_rest: bool) -> _Input:
    with closing(open_reader(source)) as reader:
        if not ignore_rest:
            check_rest(reader)
        return _Input(source, reader.name, len(reader), reader.has_keys)


@contextmanager
def _opened(source: Source | Archive, ignore_rest: bool) -> Iterator[Archive]:
    with nullcontext(source) if isinstance(source, Archive) else Archive(source) as archive:
        if not ignore_rest:
            check_rest(archive.reader)
        yield archive


@contextmanager
def _new_archive(
    target: Target, force: bool, sources: Sequence[Any]
) -> Iterator[Callable[[Any], VlatWriter]]:
    """A function that makes the writer of the new archive from its first header."""
    if not isinstance(target, str | Path):
        yield lambda header: VlatWriter(target, header)
        return
    path = Path(target)
    for source in sources:
        name = source.reader.name if isinstance(source, Archive) else source
        if isinstance(name, str | Path):
            check_target(path, force=force, source=Path(name))
    with atomic_write(path, force=force) as stream:
        yield lambda header: VlatWriter(stream, header)


class _CopyProgress:
    """Counts copied models and reports progress."""

    def __init__(self, on_progress: Progress, total: int) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0

    def __call__(self, copied: int) -> None:
        self._done += copied
        self._on_progress(self._done, self._total, "copy")


# Keys


def _check_all_or_none(inputs: Sequence[_Input]) -> None:
    filled = [one for one in inputs if one.models]
    with_keys = [one.name for one in filled if one.has_keys]
    without = [one.name for one in filled if not one.has_keys]
    if with_keys and without:
        raise OptionError(
            f"keys: {with_keys[0]} has keys and {without[0]} has none; put the archives' names "
            "before the keys (--keys prefix), or use numbers as keys (--keys drop)"
        )


def _keys(reader: RecordReader) -> Iterator[tuple[int, str]]:
    """Every number with its key, read page by page."""
    for block in runs_of_headers(reader, range(len(reader))):
        yield from zip(block, reader.columns_of(block).keys or (), strict=True)


def _check_keys(inputs: Sequence[_Input]) -> None:
    """Raise OptionError if two archives have a key, and CorruptError if one has it twice."""
    known: set[str] = set()
    for one in inputs:
        if not one.has_keys:
            continue
        inside: set[str] = set()
        with closing(open_reader(one.source)) as reader:
            for number, key in _keys(reader):
                if key in inside:
                    raise CorruptError(
                        f"{one.name}: index: found key {key!r} twice, expected each key once"
                    )
                inside.add(key)
                if key in known:
                    raise OptionError(
                        f"{one.name}: model {number}: key {key!r}: found it twice, expected each "
                        "key once; take the first model (--keys first), put the archives' names "
                        "before the keys (--keys prefix), or use numbers as keys (--keys drop)"
                    )
                known.add(key)


def _new_ones(reader: RecordReader, known: set[str]) -> list[int]:
    """Numbers of the records whose keys are not in `known`; adds the keys to it."""
    new = []
    for number, key in _keys(reader):
        if key not in known:
            known.add(key)
            new.append(number)
    return new


def _labels(inputs: Sequence[_Input]) -> list[str]:
    """The archives' names without folder and suffix, or their numbers if names repeat."""
    names = [Path(one.name.rstrip("/")).stem for one in inputs]
    return names if len(set(names)) == len(names) else [str(i) for i in range(len(names))]


def _rename(mode: str, label: str) -> Rename | None:
    def prefixed(numbers: Sequence[int], keys: Sequence[str] | None) -> Sequence[str]:
        return [f"{label}/{key}" for key in (numbers if keys is None else keys)]

    def dropped(numbers: Sequence[int], keys: Sequence[str] | None) -> None:
        return None

    return {PREFIX: prefixed, DROP: dropped}.get(mode)
