"""Optional packages: imported where needed; if one is missing, the error names its extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from velcodec.formats.errors import MissingExtraError


@contextmanager
def from_extra(extra: str, what: str = "") -> Iterator[None]:
    """Imports inside come from `velcodec[extra]`; `what` needs them and is named in the error.

    Raises MissingExtraError if a package is not installed. An installed package that fails to
    import raises its own error, because the extra would not help.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        place = f"{what}: " if what else ""
        raise MissingExtraError(
            f"{place}{error.name} is not installed: pip install 'velcodec[{extra}]'",
            name=error.name,
        ) from error


def needed(module: str, extra: str, what: str = "") -> Any:
    """Import the module, which `pip install 'velcodec[extra]'` installs.

    Raises MissingExtraError.
    """
    with from_extra(extra, what):
        return import_module(module)
