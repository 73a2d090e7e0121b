"""A progress bar on stderr, only on a terminal and only after one second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from velcodec.progress import no_progress

SHOW_AFTER_SECONDS = 1.0


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function to call with (done, total, stage); the bar disappears at the end.

    `what` is the name of the file; a new stage restarts the bar.
    """
    if not sys.stderr.isatty():  # tqdm would draw nothing, and takes time to import
        yield no_progress
        return
    from tqdm import tqdm

    from velcodec.formats.errors import shown

    what = shown(what)
    bar = tqdm(
        desc=what,
        delay=SHOW_AFTER_SECONDS,
        leave=False,
        dynamic_ncols=True,
    )
    current = ""

    def update(done: int, total: int, stage: str = "") -> None:
        nonlocal current
        if stage != current:
            current = stage
            bar.n = bar.last_print_n = 0
            bar.set_description(f"{what}: {stage}", refresh=False)
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()
