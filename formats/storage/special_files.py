"""What a path is besides a file or a folder: what blocks who opens it, or must not be replaced."""

from __future__ import annotations

import stat
from pathlib import Path

from velcodec.formats.errors import InputFileError

KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def special_kind(path: Path) -> str | None:
    """Whether a path, or what a link there leads to, is a pipe, a device or a socket; None for a
    regular file, a folder, and where nothing is. Raises OSError.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), None)


def check_readable(path: Path) -> None:
    """Raise InputFileError for a pipe, a device or a socket: they have no size, and opening one may
    wait for ever. Raises OSError.
    """
    kind = special_kind(path)
    if kind is not None:
        raise InputFileError(
            f"{path}: is {kind}, expected a regular file; - reads the standard input"
        )
