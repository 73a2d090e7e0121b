"""Raw binary files: only samples, of a shape and a dtype that the caller states."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import EmptyInputError, InputFileError, OptionError
from velcodec.formats.files.base import Part, reading
from velcodec.formats.files.form import Form, Hints, form_of
from velcodec.formats.files.sinks import PlaneSink
from velcodec.formats.storage.safe_read import read_box

DEFAULT_DTYPE = "<f4"


@dataclass(frozen=True)
class RawPart(Part):
    """Samples in a binary file, last axis fastest, from byte `offset` on."""

    offset: int = 0

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        form, shape = self.form, self._own_shape
        first, outermost = 0, self.own is None or self.own[0] == 0
        if "n" in form.axes and outermost:
            shape = (stop - start, *shape[1:])
            first = start * form.samples * np.dtype(form.dtype).itemsize
        with self.path.open("rb") as stream:
            stream.seek(self.offset + first)
            array = np.fromfile(stream, dtype=form.dtype, count=prod(shape)).reshape(shape)
        return array if outermost else array[self._some(start, stop)]

    @property
    def _own_shape(self) -> tuple[int, ...]:
        """Shape of the array with its own axes."""
        shape, own = self.form.shape, self.own
        return shape if own is None else tuple(shape[own.index(i)] for i in range(len(own)))

    @property
    def reads_boxes(self) -> bool:
        return True

    def _load_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return read_box(self.path, self.offset, self._own_shape, np.dtype(self.form.dtype), box)


def read_raw(path: Path, hints: Hints) -> list[Part]:
    """The samples of a file, of shape `hints.shape`.

    The shape of one model stands for as many models as the file holds. Raises OptionError without a
    shape, and InputFileError if the file's size is not a whole number of models.
    """
    file = str(path)
    if hints.shape is None:
        raise OptionError(f"{file}: raw samples need a shape, such as --shape 70x100")
    dtype = _dtype(hints.dtype or DEFAULT_DTYPE)
    with reading(file):
        size = path.stat().st_size
    if size == 0:
        raise EmptyInputError(f"{file}: found no byte, expected samples")
    shape, once = hints.shape, max(1, prod(hints.shape)) * dtype.itemsize
    if len(shape) == 2 + hints.volume and size != once and size % once == 0:
        shape = (size // once, *shape)
    elif size != once:
        raise InputFileError(
            f"{file}: found {size} bytes, expected {once} for {dtype} of shape "
            + "x".join(map(str, shape))
        )
    return [RawPart(path, file, None, form_of(shape, dtype, file, hints))]


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError as error:
        raise OptionError(f"dtype: found {name!r}, expected one such as float32") from error


class RawSink(PlaneSink):
    """Writes only the samples."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        self._stream = path.open("xb")

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(array).data)

    def _close(self) -> None:
        self._stream.close()
