"""Which of a file's arrays hold models: the one that is named, or those that can be no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from velcodec.formats.errors import InputFileError

Found = Mapping[str, tuple[tuple[int, ...], "np.dtype[Any]"]]
LISTED = 12


def chosen(found: Found, wanted: str | None, file: str, *, several: bool = False) -> list[str]:
    """The names of the arrays to read, by their shapes and dtypes.

    Without a wanted one: the only array of models, or all of them where `several` may be read.
    Raises InputFileError that lists what there is.
    """
    if wanted is not None:
        name = wanted.strip("/")
        if name not in found:
            raise InputFileError(f"{file}: no array {wanted!r}; found {_list(found)}")
        return [name]
    names = [name for name, (shape, dtype) in found.items() if _like_models(shape, dtype)]
    if not names:
        raise InputFileError(f"{file}: no array of 2-D models; found {_list(found)}")
    if len(names) > 1 and not several:
        raise InputFileError(f"{file}: name one array with --array; found {_list(found)}")
    return names


def _like_models(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    numeric = dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))
    return numeric and (len(shape) in (2, 3) or (len(shape) == 4 and shape[1] == 1))


def _list(found: Found) -> str:
    items = [
        f"{name} ({'x'.join(map(str, shape)) or 'one value'} {dtype})"
        for name, (shape, dtype) in found.items()
    ]
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return (", ".join(items[:LISTED]) or "none") + more
