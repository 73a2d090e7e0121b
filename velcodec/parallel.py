"""How many CPU threads compute, and work shared out among them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from velcodec.formats.errors import OptionError

_asked_for: int | None = None


def threads() -> int:
    """CPU threads to compute with: as set, else torch's where it is loaded, else
    $OMP_NUM_THREADS or all that this process may use.
    """
    if _asked_for is not None:
        return _asked_for
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _after_fork() -> None:
    """A forked process has none of the threads that torch had started, and would wait for them for
    ever: torch computes on one thread there, unless it is told another number.
    """
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def set_threads(count: int | None) -> int:
    """Compute with `count` CPU threads (None: leave as is); the number now in use.

    Torch is told too, now or when it is loaded. Raises OptionError when `count` is below one.
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
            os.environ["OMP_NUM_THREADS"] = str(count)  # what torch looks at when it is loaded
    return threads()


def in_parallel(work: Callable[[slice, slice], None], jobs: Sequence[tuple[slice, slice]]) -> None:
    """Do all jobs, which write to different places, in as many threads as there may be.

    Work that holds the interpreter's lock gains nothing. The threads end with the call, so that a
    process may fork before and after it.
    """
    count = min(threads(), len(jobs))
    if count <= 1:
        for rows, columns in jobs:
            work(rows, columns)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, rows, columns) for rows, columns in jobs]:
            done.result()


def share_out(rows: int, columns: int, most_rows: int, least: int) -> list[tuple[slice, slice]]:
    """A table cut into jobs: rows first, `most_rows` at most; columns too where that leaves threads
    without work, into parts of `least` cells or more.
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
