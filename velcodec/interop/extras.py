"""Naming the extra where an optional dependency is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from velcodec.formats.errors import MissingExtraError


@contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Imports inside come from `velcodec[extra]`; MissingExtraError where one is not installed.

    An installed package that fails to import raises what it raises: the extra would not mend it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'velcodec[{extra}]'", name=error.name
        ) from error
