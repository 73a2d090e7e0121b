"""Bytes at an offset, wherever they are: a file, a bytes object, a seekable stream.

It reads what it is asked for and no more; it never interprets a byte.
"""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import BinaryIO

from .errors import InputFileError, OptionError, TruncatedError


class ByteSource:
    """Reads ranges of an archive; safe to share between threads.

    Raises InputFileError, or OptionError for what is neither a path nor bytes nor a binary stream.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | BinaryIO) -> None:
        self._lock = threading.Lock()
        self._owned = isinstance(source, (str, os.PathLike))
        self._stream: BinaryIO
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name, self._stream = "archive", io.BytesIO(source)
        elif isinstance(source, (str, os.PathLike)):
            self.name, self._stream = str(source), _open(Path(source))
        elif not _is_binary_stream(source):
            raise OptionError(
                f"archive: found {type(source).__name__}, expected a path, bytes or a binary file"
            )
        else:
            self.name, self._stream = str(getattr(source, "name", "archive")), source
        try:
            self.size = self._stream.seek(0, os.SEEK_END)
        except OSError as error:
            self.close()
            raise InputFileError(
                f"{self.name}: expected a file that can be read at any place"
            ) from error

    def read_at(self, offset: int, count: int, place: str) -> bytes:
        """Exactly `count` bytes from `offset`. Raises `TruncatedError` where they are not there."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise TruncatedError(
                f"{self.name}: {place}: found the end at byte {self.size}, "
                f"expected {count} bytes from byte {offset}"
            )
        try:
            with self._lock:
                self._stream.seek(offset)
                data = self._stream.read(count)
        except OSError as error:
            raise InputFileError(f"{self.name}: {place}: {error.strerror or error}") from error
        if len(data) != count:
            raise TruncatedError(f"{self.name}: {place}: found {len(data)} bytes, expected {count}")
        return data

    def close(self) -> None:
        """Close the file, if this object opened it."""
        if self._owned:
            self._stream.close()


def _is_binary_stream(source: object) -> bool:
    return hasattr(source, "seek") and not isinstance(source, io.TextIOBase)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror}") from error
