"""Error messages: add the file that an error concerns, and spell options as on the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def note_file(path: str | Path, *others: str | Path) -> Iterator[None]:
    """Note `path` on any error raised inside, for messages that name no file.

    A message that names one of `others` does not get `path` either.
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
        "dz", "origin", "dy", "origin_y", "device", "effort", "format", "array", "count",
        "title", "creator", "citation", "doi", "licence", "provenance", "crs", "vertical", "datum",
    )
} | {"resolution": "--res"}  # fmt: skip
"""Options by their Python names."""

PROMISES = ("psnr", "bytes_per_model", "max_error", "lossless", "keep_latent", "latent_only")


def as_typed(text: str) -> str | None:
    """Spell the options of a message such as `max error: expected ...` as they are typed; None for
    a message that is not about options.
    """
    head, colon, rest = text.partition(": ")
    names = [name.replace(" ", "_") for name in head.split(" and ")]
    if not (colon and set(names) <= OPTIONS.keys()):
        return None
    rest = re.sub(rf"\b({'|'.join(PROMISES)})\b", lambda match: OPTIONS[match[1]], rest)
    return f"{' and '.join(OPTIONS[name] for name in names)}: {rest}"


def message_of(error: Exception) -> str:
    """The error's text, after the file noted on it unless it names a noted file already or concerns
    only options.
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
