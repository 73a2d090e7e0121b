"""Opening, reading and writing files by position, also on systems without calls for it (Windows).

There, each place is sought and then read or written, one thread at a time.
"""

from __future__ import annotations

import os

from velcodec.formats.storage.locks import ForkableLock

BINARY = getattr(os, "O_BINARY", 0)
"""For `os.open`: bytes as they are. Windows would translate the ends of lines."""

_turn = ForkableLock()


def read_at(handle: int, count: int, offset: int) -> bytes:
    """Up to `count` bytes from `offset`; none at the end. Raises OSError."""
    if hasattr(os, "pread"):
        return os.pread(handle, count, offset)
    with _turn:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, count)


def write_at(handle: int, data: memoryview, offset: int) -> int:
    """Write `data`, or a beginning of it, at `offset`; the number of bytes written. Raises
    OSError.
    """
    if hasattr(os, "pwrite"):
        return os.pwrite(handle, data, offset)
    with _turn:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, data)
