"""Locks that survive a fork, and lazy attributes without a lock.

Another thread may hold a lock when the process forks. The child has no such thread, and would wait
for ever.
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
    """Like `threading.Lock` as a context manager, but free again in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Free the lock, whoever holds it."""
        self._lock = threading.Lock()


_locks: WeakSet[ForkableLock] = WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):  # else processes do not fork
    os.register_at_fork(after_in_child=_renew_all)


class lazy_property(cached_property[T]):  # noqa: N801  # as the one it is made from
    """Like `functools.cached_property`, without the lock that it has in Python 3.11. That lock is
    shared by all objects of a class: threads wait for each other's objects, and forked processes
    for ever. Two threads may both compute a value; the results are equal.
    """

    def __init__(self, work: Callable[[Any], T]) -> None:
        super().__init__(work)
        self.lock = nullcontext()
