"""A file written immediately and in full, so that no bytes are pending when a write fails.

A buffered file would report a full disk later, in another call, and on closing would write its
buffer after the point where the file was truncated.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from velcodec.formats.errors import OutputPathError
from velcodec.formats.storage.atomic import check_regular
from velcodec.formats.storage.file_locks import lock_file
from velcodec.formats.storage.positional import BINARY


class Unbuffered(io.FileIO):
    """A file to read and write with random access; `create` makes it if it is missing.

    Raises OutputPathError if it cannot be opened or is not a regular file, and from `write` if the
    bytes do not fit.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        check_regular(path)
        try:
            handle = os.open(path, os.O_RDWR | BINARY | (os.O_CREAT if create else 0), 0o666)
        except OSError as error:
            raise OutputPathError(f"{path}: {error.strerror}") from error
        super().__init__(handle, "r+b")
        self.name = str(path)

    def lock(self) -> bool:
        """Lock the file until it is closed, where the system can. Returns whether no other process
        holds the lock.
        """
        try:
            lock_file(self.fileno())
        except OSError:
            return False
        return True

    def is_in_place(self) -> bool:
        """Whether its path still leads to it: it may have been removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self.fileno()), os.stat(self.name))
        except OSError:
            return False

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            raise OutputPathError(f"{self.name}: {error.strerror}") from error
        return len(data)
