"""Saying which file a failure is about, where the library that failed was not told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def about(path: str | Path, *others: str | Path) -> Iterator[None]:
    """Note `path` on whatever error is raised inside, for a message that names no file.

    A message that names one of `others` needs no `path` before it.
    """
    try:
        yield
    except Exception as error:
        if not getattr(error, "__notes__", ()):
            for one in (path, *others):
                error.add_note(str(one))
        raise


def message_of(error: Exception) -> str:
    """The error's text, led by the file noted on it unless it names a noted file already."""
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or text
        if error.filename is not None:
            text = f"{os.fsdecode(error.filename)}: {text}"
    from velcodec.formats.errors import shown

    text, notes = shown(text), list(map(shown, getattr(error, "__notes__", [])))
    if notes and not any(path in text for path in notes):
        return f"{notes[0]}: {text}"
    return text
