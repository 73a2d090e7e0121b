"""Pipes, devices and sockets: opening one may block, and none may be replaced."""

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
    """What a path is, links followed: a pipe, a device or a socket; None for a regular file, a
    folder or a missing path. Raises OSError.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return next((kind for is_kind, kind in KINDS if is_kind(mode)), None)


def check_readable(path: Path) -> None:
    """Raise InputFileError for a pipe, a device or a socket: they have no size, and opening one may
    block for ever. Raises OSError.
    """
    kind = special_kind(path)
    if kind is not None:
        raise InputFileError(
            f"{path}: is {kind}, expected a regular file; - reads the standard input"
        )
