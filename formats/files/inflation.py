"""Find out how many bytes compressed data unpacks to, before a library unpacks it.

A size stated in a frame is trusted, since no more is unpacked from it; other frames are unpacked up
to the limit.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import zstandard

from velcodec.formats.errors import InputFileError

ZLIB_RATIO = 1032
"""The most that one byte of zlib data unpacks to."""

UNPACKED_AT_ONCE = 1 << 18


def check_inflation(codec: str, data: bytes, most: int, place: str) -> None:
    """Raise InputFileError for compressed data that unpacks to more than `most` bytes."""
    told, made = _TOLD.get(codec), _MADE.get(codec)
    if told is not None:
        size = told(data)
    elif made is not None and not (codec in ("gzip", "zlib") and len(data) * ZLIB_RATIO <= most):
        size = 0
        for part in _unpacked(made, data):
            size += part
            if size > most:
                break
    else:
        return
    if size > most:
        raise InputFileError(
            f"{place}: a chunk of {len(data):,} bytes unpacks to {size:,} and more, expected at "
            f"most {most:,}"
        )


def _zstd_size(data: bytes) -> int:
    try:
        return zstandard.frame_content_size(data)
    except zstandard.ZstdError:
        return 0  # not a frame: left for the library to refuse


_TOLD: dict[str, Callable[[bytes], int]] = {
    "zstd": _zstd_size,
    "blosc": lambda data: int.from_bytes(data[4:8], "little"),
    "lz4": lambda data: int.from_bytes(data[:4], "little"),
}
_MADE: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
    "zlib": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}


def _unpacked(made: Callable[[], Any], data: bytes) -> Iterator[int]:
    """Sizes of the unpacked pieces of consecutive frames, up to what is not a frame."""
    while data:
        one = made()
        try:
            while not one.eof:
                part = one.decompress(data, UNPACKED_AT_ONCE)
                data = getattr(one, "unconsumed_tail", b"")
                if not part and not data:
                    return
                yield len(part)
        except (zlib.error, OSError, EOFError, lzma.LZMAError):
            return  # left for the library to refuse
        data = one.unused_data
