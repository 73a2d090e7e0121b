"""numba's `njit`, whose compiled code is kept on disk where that can be, and never out of date.

numba itself raises where no folder can be written (a read-only installation and no home), and looks
at a change of the function's own file alone: compiled code has in it what was imported too.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = __name__.partition(".")[0]
_ROOT = Path(cast(str, sys.modules[PACKAGE].__file__)).parent
_IMPORT = re.compile(
    r"^\s*(?:from\s+([.\w]+)\s+import\s+(\([^)]*\)|[^\n(]+)|import\s+([\w., ]+))", re.MULTILINE
)


def njit(*, cache: bool = False, **options: Any) -> Callable[[Function], Function]:
    """As `numba.njit` with options; with `cache`, in the folder that numba would take, or not at
    all where there is none.
    """

    def compiled(function: Function) -> Function:
        dispatcher = numba.njit(**options)(function)
        if cache and hasattr(dispatcher, "enable_caching"):  # not where numba is switched off
            try:
                dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
            except RuntimeError as error:  # no folder can be written
                log.debug("%s", error)
            except OSError as error:
                log.debug("%s: %s", error.filename, error.strerror)
        return cast(Function, dispatcher)

    return compiled


class _Cache(FunctionCache):
    """Code belongs to the sources of its module and of all that this imports; a folder that fails
    is passed over.
    """

    def _index_key(self, *about: Any) -> Any:
        key = super()._index_key(*about)  # type: ignore[no-untyped-call]
        return (*key, sources_digest(self._py_func.__module__))

    def load_overload(self, *about: Any) -> Any:
        try:
            return super().load_overload(*about)  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever pickle makes of what lies there
            log.debug("%s: %s", self._name, error)
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, *about: Any) -> None:
        try:
            super().save_overload(*about)  # type: ignore[no-untyped-call]
        except Exception as error:
            log.debug("%s: %s", self._name, error)


@lru_cache(maxsize=256)
def sources_digest(module: str) -> str:
    """SHA-256 of the sources of a module of this package and of all modules of it that it imports,
    directly or not.
    """
    found: dict[str, bytes] = {}
    left = [module]
    while left:
        name = left.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path.read_bytes()
        left += _imported(name, found[name].decode("utf-8", "replace"))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + hashlib.sha256(found[name]).digest())
    return digest.hexdigest()


def _imported(module: str, source: str) -> list[str]:
    """The modules that the source of a module names in imports, and what may be one."""
    names: list[str] = []
    for origin, what, plain in _IMPORT.findall(source):
        if plain:
            names += [name.split()[0] for name in plain.split(",") if name.strip()]
            continue
        bare = origin.lstrip(".")
        dots = len(origin) - len(bare)
        if dots:
            above = module.split(".")
            is_package = _file(module) is not None and cast(Path, _file(module)).stem == "__init__"
            above = above[: len(above) - dots + is_package]
            bare = ".".join([*above, *([bare] if bare else [])])
        names += [bare, *(f"{bare}.{name}" for name in re.findall(r"\w+", what))]
    return [name for name in names if name.partition(".")[0] == PACKAGE and name != PACKAGE]


def _file(module: str) -> Path | None:
    if not module.startswith(f"{PACKAGE}."):
        return None
    place = _ROOT.joinpath(*module.split(".")[1:])
    files = place.with_name(f"{place.name}.py"), place / "__init__.py"
    return next((path for path in files if path.is_file()), None)


__all__ = ["njit", "sources_digest"]
