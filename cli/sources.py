"""Archives as commands name them: a file, a folder of shards, or a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from velcodec.choosing import Choice

Source = str | Path


def short_name(source: Source) -> str:
    """The last part of a path or URL."""
    return Path(source).name


def default_target(source: Source, suffix: str) -> Path:
    """The archive's name with another suffix: beside it, or here where it is somewhere else."""
    if isinstance(source, Path):
        return source.with_suffix(suffix)
    return Path(short_name(source)).with_suffix(suffix)


def choice_of(settings: Mapping[str, Any]) -> Choice:
    """Which models the options of `options.selection` mean."""
    from velcodec.choosing import Choice, Condition, read_mask

    keys = list(settings["key"])
    if settings["keys_file"] is not None:
        keys += settings["keys_file"].read_text(encoding="utf-8").splitlines()
    where = [Condition.parse(text) for text in settings["where"]]
    if settings["family"] is not None:
        where.append(Condition("family", "=", settings["family"]))
    mask = None if settings["mask"] is None else read_mask(settings["mask"])
    return Choice(settings["models"], keys, where, mask)


def check_output(target: Path) -> None:
    """Refuse binary data on a terminal."""
    import sys

    if str(target) == "-" and sys.stdout.isatty():
        raise click.UsageError("binary data is not written to a terminal: redirect it")
