"""Name the extra when an optional dependency is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from velcodec.formats.errors import MissingExtraError


@contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Imports inside need `velcodec[extra]`; raises MissingExtraError if one is not installed.

    An installed package that fails to import raises its own error: the extra would not help.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'velcodec[{extra}]'", name=error.name
        ) from error
