"""Write files atomically: complete or not at all.

Bytes go to a temporary file in the target's folder, which is synced and then moved over the target.
Only regular files are ever replaced. If the target is a symbolic link, the file that it points to
is written, and the link stays.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from velcodec.formats.errors import OptionError, OutputExistsError, OutputPathError, VelcodecError
from velcodec.formats.storage.special_files import special_kind

WINDOWS = os.name == "nt"


def led_to(target: Path) -> Path:
    """The path that is written for a target: where it points if it is a symbolic link, dangling or
    not.

    Raises OutputPathError for links that form a loop.
    """
    if not target.is_symlink():
        return target
    real = Path(os.path.realpath(target))
    if real.is_symlink():
        raise OutputPathError(f"{target}: is a link that leads back to itself")
    return real


def check_target(target: Path, *, force: bool = False, source: Path | None = None) -> None:
    """Refuse a target that must not be written, before any work is done; links are followed.

    Raises OptionError if it is `source`, OutputExistsError if it exists and not `force`,
    OutputPathError if it is a folder, a device or a pipe, or if its folder is missing or not
    writable.
    """
    try:
        real = led_to(target)
        if source is not None and source.exists() and real.exists() and real.samefile(source):
            raise OptionError(f"{target}: output is the input itself, expected another path")
        if real.is_dir():
            raise OutputPathError(f"{target}: output is a folder, expected the path of a file")
        check_regular(target)
        if real.exists() and not force:
            raise OutputExistsError(f"{target}: output exists already; replace it with --force")
        folder = real.parent
        if not folder.is_dir():
            raise OutputPathError(f"{target}: folder {folder} does not exist")
    except OSError as error:  # such as a name too long, or a folder that may not be searched
        raise OutputPathError(f"{target}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputPathError(f"{target}: folder {folder} is not writable")


def check_regular(target: Path) -> None:
    """Raise OutputPathError if the target is neither a regular file nor a folder nor missing:
    nothing else is replaced, or written with random access.
    """
    try:
        kind = special_kind(target)
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error
    if kind is not None:
        raise OutputPathError(
            f"{target}: output is {kind}, expected a regular file; - writes to the standard output"
        )


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents unless it exists.

    Raises OutputPathError if that fails.
    """
    try:
        led_to(folder).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputPathError(f"{folder}: is a file, expected a folder") from error
    except OSError as error:
        raise OutputPathError(f"{folder}: {error.strerror}") from error


@contextmanager
def atomic_write(
    target: Path, *, force: bool = False, source: Path | None = None
) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes `target` if the block ends without an exception.

    Raises what `check_target` does, and OutputPathError if the bytes cannot be brought to disk. An
    exception from the block passes through, and nothing is left behind.
    """
    target = Path(target)
    check_target(target, force=force, source=source)
    target = led_to(target)
    temporary, stream = _create(target)
    try:
        with stream:
            yield stream
            try:
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise OutputPathError(f"{target}: {error.strerror}") from error
        _publish(temporary, target, force)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _create(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the target, with the permissions that a plain open would give it."""
    temporary = _beside(target)
    try:
        return temporary, temporary.open("xb")
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error


def _publish(temporary: Path, target: Path, force: bool) -> None:
    """Move the finished file into place; it takes over the permissions of a
    file that it replaces.
    """
    try:
        if force:
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(temporary, target)
        else:
            _link_or_rename(temporary, target)
    except FileExistsError as error:
        raise OutputExistsError(f"{target}: output appeared while it was written") from error
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error
    with suppress(OSError):  # the file is in place; not every file system can sync a folder
        _sync(target.parent)


def _sync(path: Path) -> None:
    """Bring a file or a folder to disk. Windows syncs no folders, and no file open for reading."""
    if WINDOWS and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link_or_rename(temporary: Path, target: Path) -> None:
    """Linking never replaces a file that appeared meanwhile; some file systems have no links."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        os.replace(temporary, target)


@contextmanager
def atomic_path(target: Path, *, force: bool = False) -> Iterator[Path]:
    """An unused path, for libraries that create files themselves; what the block writes there
    becomes `target` if it ends without an exception.

    Raises what `atomic_write` does.
    """
    target = Path(target)
    check_target(target, force=force)
    target = led_to(target)
    temporary = _beside(target)
    try:
        yield temporary
        try:
            _sync(temporary)
        except OSError as error:
            raise OutputPathError(f"{target}: {error.strerror}") from error
        _publish(temporary, target, force)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` if the block ends without an exception.

    A folder with anything in it is never replaced: its content is not ours to delete. Raises
    OutputExistsError, OutputPathError.
    """
    target = Path(target)
    try:
        target = led_to(target)
        temporary = _beside(target)
        if target.is_dir() and any(target.iterdir()):
            raise OutputExistsError(f"{target}: folder is not empty, and folders are not replaced")
        check_regular(target)
        if target.exists() and not target.is_dir():
            raise OutputExistsError(f"{target}: is a file, expected a new folder")
        make_folder(target.parent)
        temporary.mkdir()
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error
    try:
        yield temporary
        try:
            for path in (*temporary.rglob("*"), temporary):
                _sync(path)
            if WINDOWS and target.is_dir():  # there no folder is replaced, not even an empty one
                target.rmdir()
            os.replace(temporary, target)  # replaces an empty folder, and no other
        except OSError as error:
            raise OutputPathError(f"{target}: {error.strerror}") from error
        with suppress(OSError):
            _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def exchange_folder(new: Path, target: Path, is_own: Callable[[str], bool]) -> None:
    """Move the finished folder `new` to `target`, which may exist.

    Of the old content, entries whose name `is_own` accepts are deleted once the new folder is in
    place; the rest is not ours to delete, and is moved there. Raises OutputPathError, after which
    nothing is lost.
    """
    try:
        target = led_to(target)
        old = _beside(target)
        there = target.is_dir()
        if there:
            os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            if there:
                os.rename(old, target)
            raise
        for path in list(old.iterdir()) if there else ():
            if is_own(path.name):
                path.unlink()
            elif not os.path.lexists(target / path.name):
                os.rename(path, target / path.name)
        if there:
            old.rmdir()
    except OSError as error:
        raise OutputPathError(f"{target}: {error.strerror}") from error
    with suppress(OSError):
        _sync(target.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Report a system error, such as a full disk, with the path of the file being written."""
    try:
        yield
    except OSError as error:
        if isinstance(error, VelcodecError) or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _beside(target: Path) -> Path:
    return target.with_name(f".velcodec-{secrets.token_hex(8)}.partial")
