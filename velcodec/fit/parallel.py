"""Tiles shared out among CPU threads, with results that do not depend on how many there are.

A fit is many small operations, which threads inside each would hardly speed up. So torch computes
every operation on one thread, and parts of always the same tiles run beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import torch
from torch import Tensor

_lock = Lock()
_inside, _outside = 0, 1


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Torch's operations take one thread each while any caller is inside; yields how many threads
    they had before.
    """
    global _inside, _outside
    with _lock:
        if not _inside:
            _outside = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield _outside
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(1 if _inside else _outside)


def by_parts(work: Callable[[slice], Tensor], count: int, size: int) -> Tensor:
    """`work` on slices of `count` tiles, at most `size` in each, joined along the tiles.

    The parts run in as many threads as torch is set to. The threads end with the call, so that a
    process may fork before and after it.
    """
    parts = [slice(first, min(first + size, count)) for first in range(0, max(count, 1), size)]
    with _one_thread_each() as threads:
        if min(threads, len(parts)) < 2:
            return torch.cat([work(part) for part in parts])
        with ThreadPoolExecutor(min(threads, len(parts))) as pool:
            return torch.cat(list(pool.map(work, parts)))
