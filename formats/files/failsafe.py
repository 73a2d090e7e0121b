"""A file for libraries that do not survive a failed write, such as on a full disk: HDF5 ends the
process when it closes the file, a zip archive complains when it is garbage-collected.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from velcodec.formats.storage.positional import BINARY, read_at, write_at


class FailsafeFile(io.RawIOBase):
    """A file to read and write with random access that never reports a failure to the library.

    After the first failed write, data is held in memory, so that the library can read it back and
    close the file. `check` reports the failure, and must be called after every block.
    """

    def __init__(self, path: Path, *, new: bool = True) -> None:
        flags = os.O_RDWR | os.O_CREAT | BINARY | (os.O_EXCL if new else 0)
        self._handle = os.open(path, flags, 0o666)
        self._at = 0
        self._end = os.fstat(self._handle).st_size
        self._failure: OSError | None = None
        self._held: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the OSError of the first failed write, if any."""
        if self._failure is not None:
            raise self._failure

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._end - self._at))
        data = read_at(self._handle, count, self._at)
        view[:count] = data.ljust(count, b"\0")
        for at, held in self._held:
            first, last = max(at, self._at), min(at + len(held), self._at + count)
            if first < last:
                view[first - self._at : last - self._at] = held[first - at : last - at]
        self._at += count
        return count

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        rest, at = view, self._at
        try:
            while rest and self._failure is None:
                written = write_at(self._handle, rest, at)
                rest, at = rest[written:], at + written
        except OSError as error:
            self._failure = error
        if rest:
            self._held.append((at, bytes(rest)))
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._end = self._at if size is None else size
        try:
            if self._failure is None:
                os.ftruncate(self._handle, self._end)
        except OSError as error:
            self._failure = error
        return self._end

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()

    def finish(self) -> None:
        """Close the file and `check`."""
        self.close()
        self.check()


__all__ = ["FailsafeFile"]
