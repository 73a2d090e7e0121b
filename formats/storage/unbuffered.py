"""A file that is written to at once and in full, so that nothing waits to be written when it fails.

A buffer would tell of a full disk later, at another call, and write what it holds when it is
closed, behind what was cut off by then.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from velcodec.formats.errors import OutputPathError
from velcodec.formats.storage.atomic import check_regular


class Unbuffered(io.FileIO):
    """A file that is there, or with `create` is made, to read and to write at any place.

    Raises OutputPathError where it cannot be opened, or is no regular file, and by `write` where
    bytes do not fit.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        check_regular(path)
        try:
            handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        except OSError as error:
            raise OutputPathError(f"{path}: {error.strerror}") from error
        super().__init__(handle, "r+b")
        self.name = str(path)

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            raise OutputPathError(f"{self.name}: {error.strerror}") from error
        return len(data)
