"""Locks that a forked process finds free, and attributes that need none.

Another thread may hold a lock while the process forks. The child has no such thread, and would wait
for it for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")


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


class lazy_property(cached_property[T]):  # noqa: N801  # as the one it is made from
    """`functools.cached_property` without the lock that it has in Python 3.11, one for all objects
    of a class: threads would wait for each other's, and forked processes for ever. Threads may work
    a value out twice; it is the same.
    """

    def __init__(self, work: Callable[[Any], T]) -> None:
        super().__init__(work)
        self.lock = nullcontext()
