"""Saying which file a failure is about, where the library that failed was not told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Note `path` on whatever error is raised inside; the message will begin with it."""
    try:
        yield
    except Exception as error:
        if not getattr(error, "__notes__", ()):
            error.add_note(str(path))
        raise


def message_of(error: Exception) -> str:
    """The error's text, led by the file noted on it unless the text names a file already."""
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or text
        if error.filename is not None:
            text = f"{os.fsdecode(error.filename)}: {text}"
    for path in getattr(error, "__notes__", ())[:1]:
        if path not in text:
            return f"{path}: {text}"
    return text
