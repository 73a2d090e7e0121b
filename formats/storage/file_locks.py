"""Locks between processes, which POSIX systems have.

Elsewhere nothing is locked: two processes that write the same archive at the same time are not kept
apart (docs/platforms.md).
"""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None
"""Whether this system has such locks."""


def lock_file(handle: int) -> None:
    """Lock an open file, or folder, until it is closed. Does nothing where locks are missing.

    Raises BlockingIOError if another process holds the lock, OSError if the file system has none.
    """
    if CAN_LOCK:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
