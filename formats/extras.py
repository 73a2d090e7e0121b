"""Packages that may be missing: imported where needed; the error says what to install.

Optional packages belong to an extra. Torch is installed with velcodec, but readers may leave it out
(docs/dependencies.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from velcodec.formats.errors import MissingExtraError

TORCH = "torch"


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


@contextmanager
def torch_for(what: str) -> Iterator[None]:
    """Imports inside are of torch, or of modules that import it; `what` needs them and is named in
    the error.

    Raises MissingExtraError if torch is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not lacks_torch(error):
            raise
        raise MissingExtraError(no_torch(what), name=TORCH) from error


def need_torch(what: str) -> None:
    """Raise MissingExtraError, which names `what`, if torch is not installed."""
    with torch_for(what):
        import_module(TORCH)


def lacks_torch(error: Exception) -> bool:
    """Whether an error is that torch is not installed."""
    return isinstance(error, ModuleNotFoundError | MissingExtraError) and error.name == TORCH


def no_torch(what: str) -> str:
    """The message for this."""
    return f"{what}: torch is not installed: pip install velcodec"
