"""Writing a file so that it is there whole or not at all.

Bytes go to a temporary file in the target's folder, which is synced and renamed over the target.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import OptionError, OutputExistsError, OutputPathError


def check_target(target: Path, *, force: bool = False, source: Path | None = None) -> None:
    """Refuse a target that must not be written, before any work is done.

    Raises OptionError when it is `source`, OutputExistsError when it is there and not `force`,
    OutputPathError when it is a folder or its own folder is absent or not writable.
    """
    if source is not None and source.exists() and target.exists() and target.samefile(source):
        raise OptionError(f"{target}: output is the input itself, expected another path")
    if target.is_dir():
        raise OutputPathError(f"{target}: output is a folder, expected the path of a file")
    if target.exists() and not force:
        raise OutputExistsError(f"{target}: output exists already; replace it with --force")
    folder = target.parent
    if not folder.is_dir():
        raise OutputPathError(f"{target}: folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputPathError(f"{target}: folder {folder} is not writable")


@contextmanager
def atomic_write(
    target: Path, *, force: bool = False, source: Path | None = None
) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes `target` when the block ends without an exception."""
    target = Path(target)
    check_target(target, force=force, source=source)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            try:
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise OutputPathError(f"{target}: {error.strerror}") from error
        _publish(temporary, target, force)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _publish(temporary: Path, target: Path, force: bool) -> None:
    """Put the finished file in place with the permissions that a plain open would give it."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    try:
        temporary.chmod(mode)
        if force:
            os.replace(temporary, target)
        else:
            _link_or_rename(temporary, target)
    except FileExistsError as error:
        raise OutputExistsError(f"{target}: output appeared while it was written") from error
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link_or_rename(temporary: Path, target: Path) -> None:
    """A link never replaces a file that appeared meanwhile; some file systems have no links."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        os.replace(temporary, target)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
