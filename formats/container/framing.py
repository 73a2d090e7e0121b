"""How a `.vlat` archive is laid out: a signature, then blocks of records and sections in sequence.

docs/format.md is the specification. `writer` writes archives, `reader` reads them with random
access, `scan` reads them front to back, `append` adds to them.
"""

from __future__ import annotations

from velcodec.formats.errors import NotVlatError, TruncatedError, VersionError
from velcodec.formats.storage.source import is_url

SIGNATURE = b"\x89VLT\r\n\x1a\n"
VERSION = 1
START = SIGNATURE + bytes([VERSION])
END_SIGNATURE = b"vlt\n"
TAIL_BYTES = 4 + len(END_SIGNATURE)
"""The tail that follows every directory: the size of its section, then the end signature."""


def check_start(start: bytes, name: str) -> None:
    """Check the first bytes of an archive. Raises NotVlatError, TruncatedError or VersionError."""
    if start[: len(SIGNATURE)] != SIGNATURE:
        if start and SIGNATURE.startswith(start):
            raise TruncatedError(f"{name}: signature: found {start!r}, expected {SIGNATURE!r}")
        if start[:5].lower() in (b"<!doc", b"<html"):
            hint = "; a folder of shards ends with /" if is_url(name) else ""
            raise NotVlatError(
                f"{name}: found a web page ({start[:8]!r}), expected an archive{hint}"
            )
        raise NotVlatError(f"{name}: signature: found {start[:8]!r}, expected {SIGNATURE!r}")
    if len(start) < len(START):
        raise TruncatedError(f"{name}: version: found the end of the file, expected a byte")
    if start[-1] == 0:
        raise VersionError(
            f"{name}: format version: found 0, expected {VERSION}: written before the format was "
            "settled, which no later version reads"
        )
    if start[-1] != VERSION:
        raise VersionError(f"{name}: format version: found {start[-1]}, expected {VERSION}")


def pack_tail(directory_bytes: int) -> bytes:
    """The tail that follows a directory section of this size."""
    return directory_bytes.to_bytes(4, "little") + END_SIGNATURE
