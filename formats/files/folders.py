"""Walking a folder as a user sees it: through links, never round in a circle, nothing left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from velcodec.formats.errors import InputFileError


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As `os.walk`, through linked folders too; a link back to a folder above it is passed over,
    whose files are found anyway.

    Raises InputFileError for a link that leads nowhere, unless it is hidden, and OSError for a
    folder that cannot be read.
    """
    yield from _walk(folder, frozenset())


def _walk(
    folder: Path, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    about = folder.stat()
    here = above | {(about.st_dev, about.st_ino)}
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and not os.path.exists(entry.path):
                if not entry.name.startswith("."):
                    raise InputFileError(
                        f"{entry.path}: is a link to {os.readlink(entry.path)}, which is not there"
                    )
                continue
            if not entry.is_dir():
                files.append(entry.name)
            elif not (entry.is_symlink() and _identity(entry.path) in here):
                folders.append(entry.name)
    yield folder, folders, files
    for name in folders:
        yield from _walk(folder / name, here)


def _identity(path: Path | str) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_dev, about.st_ino
