"""What a file may cost in one call: each part is bounded by itself, all of them together by this.

A file pays with its bytes, since whoever made it had to send them; some is free, so that small
files may hold what small files hold.
"""

from __future__ import annotations

from velcodec.formats.errors import CorruptError

FREE_BYTES = 1 << 26
"""Bytes of memory that any file may take, whatever its size, for what it holds packed."""

BYTES_OF_BYTE = 32
"""Bytes of memory that each byte of a file may take besides."""

OBJECT_BYTES = 64
"""What a Python object takes beside its own content."""


class Budget:
    """Bytes that are `taken` for keys and columns of a file, or a page, of `size` bytes."""

    def __init__(self, size: int, place: str, taken: int = 0) -> None:
        self._most = FREE_BYTES + BYTES_OF_BYTE * size
        self._size, self._place = size, place
        self.taken = taken

    def take(self, count: int) -> None:
        """Take so many bytes, before they are. Raises CorruptError where they are too many."""
        self.taken += count
        if self.taken > self._most:
            raise CorruptError(
                f"{self._place}: found keys or fields that unpack to {self.taken:,} bytes, "
                f"expected at most {self._most:,} of {self._size:,} bytes at once"
            )
