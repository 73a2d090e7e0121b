"""Inputs and outputs of commands: a file, a folder, a URL, or - (a pipe)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from velcodec.archive.select import Subset

Source = str | Path

SELECTION = ("models", "key", "keys_file", "family", "where", "mask")
"""Parameter names of the options of `options.selection`."""


def short_name(source: Source) -> str:
    """The last part of a path or URL."""
    return "standard input" if is_piped(source) else Path(source).name


def default_target(source: Source, suffix: str) -> Path:
    """The archive's name with another suffix, beside it; for a URL in the current folder."""
    if is_piped(source):
        raise click.UsageError("expected a target for an archive from the standard input")
    if isinstance(source, Path):
        return source.with_suffix(suffix)
    return Path(short_name(source)).with_suffix(suffix)


def named(source: Source) -> str:
    """The name of a source in errors."""
    return short_name(source) if is_piped(source) else str(source)


def readable(source: Source) -> Any:
    """What to open; for - a temporary copy of the standard input."""
    if not is_piped(source):
        return source
    from velcodec.archive.stream import spooled

    return spooled(sys.stdin.buffer)


@contextmanager
def on_disk(sources: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """The files to read, with a temporary copy of the standard input for -."""
    check_one_pipe(sources)
    with tempfile.TemporaryDirectory(prefix="velcodec-") as folder:
        copy = Path(folder) / "stdin"
        if any(map(is_piped, sources)):
            with copy.open("wb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
        yield tuple(copy if is_piped(source) else source for source in sources)


def is_archive(source: Source) -> bool:
    """Whether a source is an archive rather than a file of models: by suffix, URL or manifest."""
    from velcodec.formats.container.shards import is_sharded
    from velcodec.formats.storage.source import is_url

    return is_url(source) or Path(source).suffix.lower() == ".vlat" or is_sharded(source)


def is_piped(place: Source) -> bool:
    """Whether a source is the standard input, or a target the standard output."""
    return str(place) == "-"


def check_one_pipe(sources: Sequence[Source]) -> None:
    """Refuse to read the standard input twice."""
    if sum(map(is_piped, sources)) > 1:
        raise click.UsageError("-, the standard input, can be given once")


def writable(target: Path) -> Path | BinaryIO:
    """Where to write an archive; the standard output for -."""
    return sys.stdout.buffer if is_piped(target) else target


def has_selection(settings: Mapping[str, Any]) -> bool:
    """Whether any option of `options.selection` was given."""
    return any(settings[name] for name in SELECTION)


def selected_source(source: Source, settings: Mapping[str, Any]) -> Any:
    """What to open: the source, or a temporary archive of the selected models."""
    if not has_selection(settings):
        return readable(source)
    import velcodec

    kept = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with velcodec.open(readable(source)) as archive:
        numbers = subset_of(settings).numbers(archive)
        velcodec.subset(archive, kept, numbers, ignore_rest=True)  # opening has warned
    return kept


def subset_of(settings: Mapping[str, Any]) -> Subset:
    """The models selected by the options of `options.selection`."""
    from velcodec.archive.select import Condition, Subset, read_keys, read_mask

    keys = list(settings["key"])
    if settings["keys_file"] is not None:
        keys += read_keys(settings["keys_file"])
    where = [Condition.parse(text) for text in settings["where"]]
    if settings["family"] is not None:
        where.append(Condition("family", "=", settings["family"]))
    mask = None if settings["mask"] is None else read_mask(settings["mask"])
    return Subset(settings["models"], keys, where, mask)


def check_output(target: Path) -> None:
    """Refuse to write binary data to a terminal."""
    if is_piped(target) and sys.stdout.isatty():
        raise click.UsageError("binary data is not written to a terminal: redirect it")
