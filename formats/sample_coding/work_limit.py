"""Padding of streams to a least length, so that their bytes bound the time that decoding takes.

No stream of symbols begins with a zero byte, so a shorter one is padded with zeros in front.
"""

from __future__ import annotations

from velcodec.formats.errors import CorruptError


def pad(stream: bytes, least: int) -> bytes:
    """The stream, with zeros before it up to `least` bytes."""
    return stream.rjust(least, b"\0")


def unpad(stream: bytes, samples: int, least: int, place: str) -> bytes:
    """The inverse of `pad`. Raises CorruptError for too few bytes or too many zeros."""
    if len(stream) < least:
        raise CorruptError(
            f"{place}: found {len(stream)} bytes for {samples} samples, expected at least {least}"
        )
    unpadded = stream.lstrip(b"\0")
    if len(unpadded) < len(stream) and len(stream) > least:
        raise CorruptError(
            f"{place}: found {len(stream) - len(unpadded)} zeros before it, expected as many as "
            f"make it {least} bytes"
        )
    return unpadded
