"""Optional packages: imported when a file needs them, and named with their extra when absent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from velcodec.formats.errors import MissingExtraError


def needed(module: str, extra: str) -> Any:
    """The module `module`, which `pip install 'velcodec[extra]'` brings.

    Raises MissingExtraError.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:  # one that is there and fails says why itself
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{package} is not installed: pip install 'velcodec[{extra}]'", name=error.name
        ) from error
