"""Fits and encodings on many threads with the result that one thread has.

Torch shares a sum among its threads, so its last bits depend on how many there are; and a fit is
many small operations, which threads inside each would hardly speed up. So torch computes on one
thread, and the threads that it was allowed take whole groups of tiles instead, which are the same
ones whatever their number.
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
from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Groups for each thread that are begun before the first one's result is taken: bounds memory."""

_allowed: ContextVar[int | None] = ContextVar("velcodec_threads", default=None)
"""Threads that work may be spread over here; None outside of `repeatable`."""

_turn = threading.Lock()


def _after_fork() -> None:
    """A forked process has none of the threads that an encoding had started."""
    global _turn
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def repeatable() -> Iterator[None]:
    """Within the block torch computes on one thread, and `spread` on as many as torch had.

    Torch's number of threads may be one for the whole process, so blocks take turns; one within
    another, or within work that is spread, changes nothing.
    """
    if _allowed.get() is not None:
        yield
        return
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

    On the CPU several are worked on at a time; `function` must only read what they share. The
    threads end with the last item, so that a process may fork before and after it.
    """
    threads = min(_allowed.get() or 1, len(items)) if device.type == "cpu" else 1
    if threads < 2:
        for item in items:
            yield item, function(item)
        return
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(threads, initializer=_alone) as pool:
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


def _alone() -> None:
    """Let this thread spread nothing further."""
    torch.set_num_threads(1)
    _allowed.set(1)


def by_parts(
    work: Callable[[slice], Tensor], count: int, size: int, device: torch.device
) -> Tensor:
    """`work` on slices of `count` tiles, at most `size` in each, joined along the tiles."""
    parts = [slice(first, min(first + size, count)) for first in range(0, max(count, 1), size)]
    with repeatable():
        return torch.cat([found for _, found in spread(work, parts, device)])
