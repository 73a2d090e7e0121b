"""Choose which of a file's arrays hold models: the named one, or the only possible ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from velcodec.formats.errors import InputFileError

Found = Mapping[str, tuple[tuple[int, ...], "np.dtype[Any]"]]
LISTED = 12


def choose_arrays(
    found: Found, wanted: str | None, file: str, *, several: bool = False,
    volumes: Collection[str] = (),
) -> list[str]:  # fmt: skip
    """The names of the arrays to read, by their shapes and dtypes.

    Without `wanted`: the only array of models, or all of them if `several` may be read; `volumes`
    are the names of arrays of four axes that hold volumes. Raises InputFileError that lists the
    arrays.
    """
    if wanted is not None:
        name = wanted.strip("/")
        if name not in found:
            raise InputFileError(f"{file}: no array {wanted!r}; found {_list(found)}")
        return [name]
    names = [
        name
        for name, (shape, dtype) in found.items()
        if name in volumes or _has_model_shape(shape, dtype)
    ]
    if not names:
        raise InputFileError(f"{file}: no array of models; found {_list(found)}")
    odd = any(not _may_be_read(found[name][1]) for name in names)
    if len(names) > 1 and (odd or not several):
        raise InputFileError(f"{file}: name one array with --array; found {_list(found)}")
    return names


def _may_be_read(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))


def _has_model_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Judged by the shape, even if the dtype cannot be read: such an array is
    refused, not skipped.
    """
    return dtype.kind in "iufcb" and (len(shape) in (2, 3) or (len(shape) == 4 and shape[1] == 1))


def _list(found: Found) -> str:
    items = [
        f"{name} ({'x'.join(map(str, shape)) or 'one value'} {dtype})"
        for name, (shape, dtype) in found.items()
    ]
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return (", ".join(items[:LISTED]) or "none") + more
