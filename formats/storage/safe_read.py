"""Read a local file so that truncation by another process is an error, not a crash.

Touching a mapped file that was truncated kills the process (SIGBUS). Here bytes are read, or copied
to where nobody else can truncate them.
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
from velcodec.formats.storage.special_files import check_readable

IN_MEMORY = 1 << 30
"""Up to this size a file is read into memory; a larger one is copied to a temporary file."""

PIECE_BYTES = 1 << 24
LONG_STEP_BYTES = 1 << 16
"""If rows lie farther apart than this, the bytes between them are skipped."""


def read_rows(
    path: Path,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    fortran: bool = False,
    rows: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Rows (from, to) of the first axis, or all, of an array stored in a file from byte `offset`
    on, in C or Fortran order. Raises InputFileError if the file ends before, OSError.
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


def read_box(
    path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any],
    box: tuple[slice, ...], *, fortran: bool = False,
) -> NDArray[Any]:  # fmt: skip
    """A range of indices along every axis of an array stored in a file from byte `offset` on, in C
    or Fortran order. Raises InputFileError if the file ends before, OSError.
    """
    if fortran:
        return read_box(path, offset, shape[::-1], dtype, box[::-1]).T
    ranges = [range(*each.indices(size)) for each, size in zip(box, shape, strict=True)]
    found = np.empty([len(each) for each in ranges], dtype)
    steps = [prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]

    def fill(axis: int, start: int, out: NDArray[Any]) -> None:
        own, row, inner = ranges[axis], shape[axis + 1 :], tuple(box[axis + 1 :])
        start += own.start * steps[axis]
        if out.shape[1:] == row:
            _fill(stream, start, out, path)
        elif steps[axis] > LONG_STEP_BYTES:
            for number in range(len(own)):
                fill(axis + 1, start + number * steps[axis], out[number])
        else:
            some = max(1, PIECE_BYTES // steps[axis])
            for first in range(0, len(own), some):
                piece = np.empty((min(some, len(own) - first), *row), dtype)
                _fill(stream, start + first * steps[axis], piece, path)
                out[first : first + len(piece)] = piece[(slice(None), *inner)]

    with path.open("rb", buffering=0) as stream:
        if found.size:
            fill(0, offset, found)
    return found


def mapped_box(array: NDArray[Any], path: Path, box: tuple[slice, ...]) -> NDArray[Any]:
    """A box of an array mapped from this file, read without touching the mapping."""
    if not isinstance(array, np.memmap):
        return array[box]
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return read_box(path, array.offset, array.shape, array.dtype, box, fortran=fortran)


def _fill(stream: IO[bytes], offset: int, array: NDArray[Any], path: Path) -> None:
    """Read a contiguous array's bytes from `offset` on."""
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
    """Rows of an array mapped from this file, read without touching the mapping."""
    if not isinstance(array, np.memmap):
        return array if rows is None else array[slice(*rows)]
    offset = array.offset
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return read_rows(path, offset, array.shape, array.dtype, fortran=fortran, rows=rows)


def private_bytes(path: Path) -> bytes | mmap.mmap:
    """All bytes of a file in a copy that no other process can change or truncate; a large file is
    copied to a temporary file and mapped.

    Raises InputFileError, OSError.
    """
    check_readable(path)
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


__all__ = ["mapped_box", "mapped_rows", "private_bytes", "read_box", "read_rows"]
