"""Reading a local file so that another process that cuts it off meanwhile makes an error.

A mapped file that was cut off ends the process (SIGBUS) where it is touched. Here bytes are read,
or copied to where nobody else can cut them.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError

IN_MEMORY = 1 << 30
"""Bytes of a file that are kept in memory; those of a larger one in a temporary file."""

PIECE_BYTES = 1 << 24
LONG_STEP_BYTES = 1 << 16
"""Of what is farther apart than this nothing between is read."""


def read_rows(
    path: Path,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    fortran: bool = False,
    rows: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Rows (from, to) of the first axis, or all, of an array that lies in a file from byte `offset`
    on, in C's order or Fortran's. Raises InputFileError where they are not there, OSError.
    """
    first, last, _ = slice(*(rows or (0, shape[0]))).indices(shape[0])
    count, rest = max(0, last - first), shape[1:]
    with path.open("rb", buffering=0) as stream:
        if not fortran or count == shape[0]:
            data = np.empty(shape[::-1] if fortran else (count, *rest), dtype)
            start = 0 if fortran else first * prod(rest) * dtype.itemsize
            _fill(stream, offset + start, data, path)
            return data.T if fortran else data
        found = np.empty((prod(rest), count), dtype)
        step = shape[0] * dtype.itemsize
        if step > LONG_STEP_BYTES:
            for column, place in enumerate(found):
                _fill(stream, offset + column * step + first * dtype.itemsize, place, path)
        else:
            some = max(1, PIECE_BYTES // step)
            for column in range(0, len(found), some):
                piece = np.empty((min(some, len(found) - column), shape[0]), dtype)
                _fill(stream, offset + column * step, piece, path)
                found[column : column + len(piece)] = piece[:, first:last]
    return found.reshape(*rest[::-1], count).T


def _fill(stream: IO[bytes], offset: int, array: NDArray[Any], path: Path) -> None:
    """Read the bytes of a contiguous array from `offset` on."""
    view = memoryview(array.reshape(-1).view(np.uint8).data)
    stream.seek(offset)
    while view:
        read = stream.readinto(view[:PIECE_BYTES])  # type: ignore[attr-defined]
        if not read:
            raise InputFileError(f"{path}: ends before its samples do, or has changed")
        view = view[read:]


def mapped_rows(
    array: NDArray[Any], path: Path, rows: tuple[int, int] | None = None
) -> NDArray[Any]:
    """Rows of an array that is mapped from this file, read without touching the mapping."""
    if not isinstance(array, np.memmap):
        return array if rows is None else array[slice(*rows)]
    offset = array.offset
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return read_rows(path, offset, array.shape, array.dtype, fortran=fortran, rows=rows)


def private_bytes(path: Path) -> bytes | mmap.mmap:
    """All bytes of a file, which nobody else can change or cut off; a large one is copied to a
    temporary file, and mapped.

    Raises InputFileError, OSError.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= IN_MEMORY:
            return stream.read()
        with tempfile.TemporaryFile(prefix="velcodec-") as copy:
            shutil.copyfileobj(stream, copy, PIECE_BYTES)
            copy.flush()
            if copy.tell() < size:
                raise InputFileError(f"{path}: was cut off while it was read")
            return mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ)


__all__ = ["mapped_rows", "private_bytes", "read_rows"]
