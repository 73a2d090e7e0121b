"""A lock that a forked process finds free.

Another thread may hold a lock while the process forks. The child has no such thread, and would wait
for it for ever.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet


class ForkableLock:
    """`threading.Lock` as a context manager, free again in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Be free, whoever holds it."""
        self._lock = threading.Lock()


_locks: WeakSet[ForkableLock] = WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
