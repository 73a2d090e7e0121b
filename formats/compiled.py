"""numba's `njit` with a disk cache that never fails and is never stale.

numba itself raises if no cache folder is writable (a read-only installation without a home), and
checks only the function's own file for changes, although compiled code inlines what it imports.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

log = logging.getLogger(__name__)


def _spare_scipy() -> None:
    """Keep numba from importing SciPy, which takes a quarter of the time to the first call of a
    function, only to see whether it is there: what needs SciPy's BLAS looks again.
    """
    if "numba.np.arraymath" in sys.modules or find_spec("scipy") is None:
        return
    linalg: Any = import_module("numba.np.linalg")
    look = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        arrays: Any = import_module("numba.np.arraymath")
        arrays.ensure_blas = look
    finally:
        linalg.ensure_blas = look


# Other versions of numba may have other modules: then all is as it would be.
with suppress(ImportError, AttributeError):
    _spare_scipy()

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = __name__.partition(".")[0]
_ROOT = Path(cast(str, sys.modules[PACKAGE].__file__)).parent
_IMPORT = re.compile(
    r"^\s*(?:from\s+([.\w]+)\s+import\s+(\([^)]*\)|[^\n(]+)|import\s+([\w., ]+))", re.MULTILINE
)


def njit(
    *, cache: bool = False, allocates: bool = True, **options: Any
) -> Callable[[Function], Function]:
    """`numba.njit` with `options`; `cache` uses numba's folder, unless it is not writable.

    Compiled functions release the interpreter's lock, so that threads run side by side: what they
    write to is of one call alone.
    A function that makes no arrays says that it `allocates` none: references to those it is given
    are then not counted, which takes half the time of short functions.
    """
    if not allocates:
        options["_nrt"] = False

    def compiled(function: Function) -> Function:
        dispatcher = numba.njit(nogil=True, **options)(function)
        if cache and hasattr(dispatcher, "enable_caching"):  # absent if NUMBA_DISABLE_JIT is set
            try:
                dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
            except RuntimeError as error:  # no writable folder
                log.debug("%s", error)
            except OSError as error:
                log.debug("%s: %s", error.filename, error.strerror)
        return cast(Function, dispatcher)

    return compiled


class _Cache(FunctionCache):
    """A cache keyed by the sources of a module and all its imports. Errors of the folder are only
    logged.
    """

    def _index_key(self, *args: Any) -> Any:
        key = super()._index_key(*args)  # type: ignore[no-untyped-call]
        return (*key, sources_digest(self._py_func.__module__))

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            # numba reads all its registries first, in a fifth of a second: compiling needs them,
            # loading needs its runtime alone.
            rtsys.initialize(target_context)
            return self._load_overload(signature, target_context)  # type: ignore[no-untyped-call]
        except Exception as error:  # unpickling foreign bytes can raise anything
            log.debug("%s: %s", self._name, error)
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, *args: Any) -> None:
        try:
            super().save_overload(*args)  # type: ignore[no-untyped-call]
        except Exception as error:
            log.debug("%s: %s", self._name, error)


@lru_cache(maxsize=256)
def sources_digest(module: str) -> str:
    """SHA-256 of the sources of a module and of all modules of this package that it imports,
    directly or indirectly.
    """
    sources: dict[str, bytes] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        path = _file(name)
        if name in sources or path is None:
            continue
        sources[name] = path.read_bytes()
        pending += _imported(name, sources[name].decode("utf-8", "replace"))
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(name.encode() + hashlib.sha256(sources[name]).digest())
    return digest.hexdigest()


def _imported(module: str, source: str) -> list[str]:
    """Names in a module's import statements that are, or may be, modules of this package."""
    names: list[str] = []
    for origin, members, plain in _IMPORT.findall(source):
        if plain:
            names += [name.split()[0] for name in plain.split(",") if name.strip()]
            continue
        absolute = origin.lstrip(".")
        dots = len(origin) - len(absolute)
        if dots:
            parents = module.split(".")
            is_package = _file(module) is not None and cast(Path, _file(module)).stem == "__init__"
            parents = parents[: len(parents) - dots + is_package]
            absolute = ".".join([*parents, *([absolute] if absolute else [])])
        names += [absolute, *(f"{absolute}.{name}" for name in re.findall(r"\w+", members))]
    return [name for name in names if name.partition(".")[0] == PACKAGE and name != PACKAGE]


def _file(module: str) -> Path | None:
    if not module.startswith(f"{PACKAGE}."):
        return None
    stem = _ROOT.joinpath(*module.split(".")[1:])
    files = stem.with_name(f"{stem.name}.py"), stem / "__init__.py"
    return next((path for path in files if path.is_file()), None)


__all__ = ["njit", "sources_digest"]
