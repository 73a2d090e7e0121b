"""The number of CPU threads, and work shared among them.

Two kinds of work: compiled loops, which release the interpreter's lock (`in_parallel`), and torch
(`repeatable`, `spread`, `by_parts`). Torch splits a sum among its threads, so the last bits depend
on their number; and a fit is many small operations, which hardly gain from threads inside each.
So torch computes on one thread, and its threads take whole groups of tiles instead, which are the
same groups whatever the number of threads.

Torch is imported only by functions that work on tensors.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from velcodec.formats.errors import OptionError

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch
    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Items for each thread that are begun before the first result is taken: bounds memory."""

_asked_for: int | None = None

_allowed: ContextVar[int | None] = ContextVar("velcodec_threads", default=None)
"""Threads that `spread` may use here; None outside `repeatable`."""

_turn = threading.Lock()


def threads() -> int:
    """CPU threads to compute with: as set, else torch's if it is loaded, else $OMP_NUM_THREADS or
    all that this process may use.
    """
    if _asked_for is not None:
        return _asked_for
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return cores()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _after_fork() -> None:
    """A forked process has no threads but its own and would wait for them for ever: locks are new,
    and torch computes on one thread there unless told otherwise.
    """
    global _turn
    _turn = threading.Lock()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def set_threads(count: int | None) -> int:
    """Compute with `count` CPU threads (None: no change). Returns the number in use.

    Applies to torch too, now or when it is loaded. Raises OptionError if `count` is below one.
    """
    global _asked_for
    if count is not None:
        if count < 1:
            raise OptionError(f"threads: expected 1 or more, found {count}")
        _asked_for = count
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(count)
        else:
            os.environ["OMP_NUM_THREADS"] = str(count)  # torch reads it when it is loaded
    return threads()


def _in_threads(
    function: Callable[[T], R],
    items: Sequence[T],
    count: int,
    initializer: Callable[[], None] | None = None,
) -> Iterator[tuple[T, R]]:
    """Each item with its result, in order, from `count` threads. The threads end with the last
    item, so the process may fork before and after it.
    """
    if count < 2:
        for item in items:
            yield item, function(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(count, initializer=initializer) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > AHEAD * count:
                    first, result = waiting.popleft()
                    yield first, result.result()
            for first, result in waiting:
                yield first, result.result()
        finally:
            pool.shutdown(cancel_futures=True)


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
    """Each item with the result of `function`, in order, from up to `threads()` threads. Only work
    that releases the interpreter's lock gains.
    """
    count = _allowed.get() or threads()
    return _in_threads(function, items, min(count, len(items)), _alone)


def in_parallel(work: Callable[[slice, slice], None], jobs: Sequence[tuple[slice, slice]]) -> None:
    """Run all jobs, which write to different places, in up to `threads()` threads. Only work that
    releases the interpreter's lock gains.
    """
    for _ in _in_threads(lambda job: work(*job), jobs, min(threads(), len(jobs))):
        pass


def share_out(rows: int, columns: int, most_rows: int, least: int) -> list[tuple[slice, slice]]:
    """Cut a table into jobs of at most `most_rows` rows; also by columns, into parts of at least
    `least` cells, where threads would otherwise idle.
    """
    count = threads()
    height = max(1, min(most_rows, -(-rows // count)))
    parts = max(1, min(-(-count // max(1, -(-rows // height))), height * columns // least))
    width = max(1, -(-columns // parts))
    return [
        (slice(row, min(row + height, rows)), slice(column, min(column + width, columns)))
        for row in range(0, rows, height)
        for column in range(0, columns, width)
    ]


@contextmanager
def repeatable() -> Iterator[None]:
    """Within the block torch computes on one thread, and `spread` on as many as torch had.

    Torch may have one thread count for the whole process, so blocks take turns. A nested block, or
    one within spread work, changes nothing.
    """
    import torch

    if _allowed.get() is not None:
        yield
        return
    with _turn:
        count = torch.get_num_threads()
        token = _allowed.set(count)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(count)
            _allowed.reset(token)


def spread(
    function: Callable[[T], R], items: Sequence[T], device: torch.device
) -> Iterator[tuple[T, R]]:
    """Each item with the result of `function`, in order.

    On the CPU several items are worked on at a time; `function` must only read what they share.
    """
    count = min(_allowed.get() or 1, len(items)) if device.type == "cpu" else 1
    yield from _in_threads(function, items, count, _alone)


def _alone() -> None:
    """Keep this thread from spreading work further."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    _allowed.set(1)


def by_parts(
    work: Callable[[slice], Tensor], count: int, size: int, device: torch.device
) -> Tensor:
    """`work` on slices of `count` tiles, at most `size` in each, joined along the tiles."""
    import torch

    parts = [slice(first, min(first + size, count)) for first in range(0, max(count, 1), size)]
    with repeatable():
        return torch.cat([part for _, part in spread(work, parts, device)])
