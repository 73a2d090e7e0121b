"""What commands read and write, as it is named: a file, a folder, a URL, or - (a pipe)."""

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
    from velcodec.archive.select import Choice

Source = str | Path

SELECTION = ("models", "key", "keys_file", "family", "where", "mask")
"""What the options of `options.selection` are called."""


def short_name(source: Source) -> str:
    """The last part of a path or URL."""
    return "standard input" if is_piped(source) else Path(source).name


def default_target(source: Source, suffix: str) -> Path:
    """The archive's name with another suffix: beside it, or here where it is somewhere else."""
    if is_piped(source):
        raise click.UsageError("expected a target for an archive from the standard input")
    if isinstance(source, Path):
        return source.with_suffix(suffix)
    return Path(short_name(source)).with_suffix(suffix)


def named(source: Source) -> str:
    """What errors call it."""
    return short_name(source) if is_piped(source) else str(source)


def readable(source: Source) -> Any:
    """What to open; for - the standard input, kept in a temporary file."""
    if not is_piped(source):
        return source
    from velcodec.archive.stream import spooled

    return spooled(sys.stdin.buffer)


@contextmanager
def on_disk(sources: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """The files to read; where one is -, the standard input in a file that goes away again."""
    check_one_pipe(sources)
    with tempfile.TemporaryDirectory(prefix="velcodec-") as folder:
        kept = Path(folder) / "stdin"
        if any(map(is_piped, sources)):
            with kept.open("wb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
        yield tuple(kept if is_piped(source) else source for source in sources)


def is_archive(source: Source) -> bool:
    """Whether an archive is meant where a file of models may be too: by its name, or a manifest."""
    from velcodec.formats.container.shards import is_sharded
    from velcodec.formats.storage.source import is_url

    return is_url(source) or Path(source).suffix.lower() == ".vlat" or is_sharded(source)


def is_piped(place: Source) -> bool:
    """Whether the standard input is meant, or of a target the standard output."""
    return str(place) == "-"


def check_one_pipe(sources: Sequence[Source]) -> None:
    """Refuse the standard input that is to be read twice."""
    if sum(map(is_piped, sources)) > 1:
        raise click.UsageError("-, the standard input, is there once")


def writable(target: Path) -> Path | BinaryIO:
    """What to write an archive to; for - the standard output."""
    return sys.stdout.buffer if is_piped(target) else target


def are_chosen(settings: Mapping[str, Any]) -> bool:
    """Whether some of the options of `options.selection` were given."""
    return any(settings[name] for name in SELECTION)


def chosen_part(source: Source, settings: Mapping[str, Any]) -> Any:
    """What to open: the source, or an archive of the models that are chosen, copied undecoded."""
    if not are_chosen(settings):
        return readable(source)
    import velcodec

    kept = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
    with velcodec.open(readable(source)) as archive:
        velcodec.subset(archive, kept, choice_of(settings).numbers(archive))
    return kept


def choice_of(settings: Mapping[str, Any]) -> Choice:
    """Which models the options of `options.selection` mean."""
    from velcodec.archive.select import Choice, Condition, read_keys, read_mask

    keys = list(settings["key"])
    if settings["keys_file"] is not None:
        keys += read_keys(settings["keys_file"])
    where = [Condition.parse(text) for text in settings["where"]]
    if settings["family"] is not None:
        where.append(Condition("family", "=", settings["family"]))
    mask = None if settings["mask"] is None else read_mask(settings["mask"])
    return Choice(settings["models"], keys, where, mask)


def check_output(target: Path) -> None:
    """Refuse binary data on a terminal."""
    if is_piped(target) and sys.stdout.isatty():
        raise click.UsageError("binary data is not written to a terminal: redirect it")
