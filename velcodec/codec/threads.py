"""Encoding on many threads with the result that one thread has.

Torch shares a sum among its threads, so its last bits depend on how many there are. While models
are encoded torch therefore computes on one thread, and the threads that it was allowed take whole
groups of tiles instead, which are the same ones whatever their number.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Groups for each thread that are begun before the first one's result is taken: bounds memory."""

_allowed: ContextVar[int] = ContextVar("velcodec_threads", default=1)
_turn = threading.RLock()


def _after_fork() -> None:
    """A forked process has none of the threads that an encoding had started."""
    global _turn
    _turn = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def repeatable() -> Iterator[None]:
    """Within the block torch computes on one thread, and `spread` on as many as torch had.

    Torch's number of threads is one for the whole process, so encodings take turns.
    """
    with _turn:
        threads = torch.get_num_threads()
        token = _allowed.set(threads)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            _allowed.reset(token)


def spread(
    function: Callable[[T], R], items: Sequence[T], device: torch.device
) -> Iterator[tuple[T, R]]:
    """Each item with what `function` makes of it, in order.

    On the CPU several are worked on at a time; `function` must only read what they share.
    """
    threads = min(_allowed.get(), len(items)) if device.type == "cpu" else 1
    if threads < 2:
        for item in items:
            yield item, function(item)
        return
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > AHEAD * threads:
                    first, result = waiting.popleft()
                    yield first, result.result()
            for first, result in waiting:
                yield first, result.result()
        finally:
            pool.shutdown(cancel_futures=True)
