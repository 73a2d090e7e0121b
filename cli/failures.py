"""Saying which file a failure is about, where the library that failed was not told."""

from __future__ import annotations

import os
import re
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


OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "psnr", "bytes_per_model", "max_error", "lossless", "keep_latent", "latent_only", "dx",
        "dz", "origin", "device", "fit", "format", "array", "count",
    )
} | {"resolution": "--res"}  # fmt: skip
"""Options by what Python calls them."""

PROMISES = ("psnr", "bytes_per_model", "max_error", "lossless", "keep_latent", "latent_only")


def as_typed(text: str) -> str | None:
    """A message about options alone, such as `max error: expected ...`, with the options as they
    are typed; None for another.
    """
    head, colon, rest = text.partition(": ")
    names = [name.replace(" ", "_") for name in head.split(" and ")]
    if not (colon and set(names) <= OPTIONS.keys()):
        return None
    said = re.sub(rf"\b({'|'.join(PROMISES)})\b", lambda found: OPTIONS[found[1]], rest)
    return f"{' and '.join(OPTIONS[name] for name in names)}: {said}"


def message_of(error: Exception) -> str:
    """The error's text, led by the file noted on it unless it names a noted file already, or is
    about options and no file.
    """
    from velcodec.formats.errors import OptionError, ResolutionError, shown

    text = str(error)
    about_options = isinstance(error, OptionError | ResolutionError)
    if about_options and (typed := as_typed(text)) is not None:
        return typed
    if isinstance(error, OSError):
        text = error.strerror or text
        if error.filename is not None:
            text = f"{os.fsdecode(error.filename)}: {text}"

    text, notes = shown(text), list(map(shown, getattr(error, "__notes__", [])))
    if notes and not any(path in text for path in notes):
        return f"{notes[0]}: {text}"
    return text
