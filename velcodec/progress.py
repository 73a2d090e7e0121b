"""The progress callback of long work: `on_progress(done, total, stage)`."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]


def no_progress(done: int, total: int, stage: str) -> None:
    """Ignore progress."""
