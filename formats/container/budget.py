"""A memory limit for each call. Every part of a file has its own bound; this bounds their sum.

A larger file may take more, since its author had to supply the bytes. Every file gets some memory
free, enough for what small files hold.
"""

from __future__ import annotations

from velcodec.formats.errors import CorruptError

FREE_BYTES = 1 << 26
"""Bytes of memory that any file may take for its unpacked content, whatever its size."""

BYTES_OF_BYTE = 32
"""Further bytes of memory for each byte of the file."""

OBJECT_BYTES = 64
"""Bytes that a Python object takes beside its content."""


class Budget:
    """Counts the bytes `taken` for keys and columns of a file or page of `size` bytes."""

    def __init__(self, size: int, place: str, taken: int = 0) -> None:
        self._most = FREE_BYTES + BYTES_OF_BYTE * size
        self._size, self._place = size, place
        self.taken = taken

    def take(self, count: int) -> None:
        """Take `count` bytes, before they are allocated. Raises CorruptError if they exceed the
        limit.
        """
        self.taken += count
        if self.taken > self._most:
            raise CorruptError(
                f"{self._place}: found keys or fields that unpack to {self.taken:,} bytes, "
                f"expected at most {self._most:,} of {self._size:,} bytes at once"
            )
