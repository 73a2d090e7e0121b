"""Streams that have bytes for their samples, so that what they take in time is bounded by bytes.

No stream of symbols begins with a zero byte: one that needs fewer bytes than its samples must have
stands behind as many zeros as it lacks.
"""

from __future__ import annotations

from velcodec.formats.errors import CorruptError


def paid_for(stream: bytes, least: int) -> bytes:
    """A stream with what it lacks in bytes before it."""
    return stream.rjust(least, b"\0")


def bare(stream: bytes, samples: int, least: int, place: str) -> bytes:
    """The inverse of `paid_for`. Raises CorruptError where bytes are missing, or zeros too many."""
    if len(stream) < least:
        raise CorruptError(
            f"{place}: found {len(stream)} bytes for {samples} samples, expected at least {least}"
        )
    found = stream.lstrip(b"\0")
    if len(found) < len(stream) and len(stream) > least:
        raise CorruptError(
            f"{place}: found {len(stream) - len(found)} zeros before it, expected as many as make "
            f"it {least} bytes"
        )
    return found
