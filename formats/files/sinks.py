"""What all writers share: take blocks of models, check them, and turn them to the file's axes.

Nothing here knows any format. A writer holds no more than the current block, and of a large volume
no more than some planes, where its format allows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputDtypeError, InputShapeError
from velcodec.formats.files.form import Form, own_axes

ReadBox = Callable[[tuple[slice, slice, slice]], NDArray[Any]]
"""Gives a box (z, y, x) of a volume, depth first."""


class Sink(Protocol):
    """A target for decoded models in order: blocks of models, or volumes part by part."""

    def add(self, models: NDArray[Any]) -> None:
        """Append models (k, nz, nx), or (k, nz, ny, nx) of volumes, depth first.

        Raises InputShapeError for models of another size or too many, InputDtypeError for values of
        the wrong kind.
        """

    def add_volume(self, read: ReadBox, edges: Sequence[int]) -> None:
        """Append a volume of which `read` gives boxes (z, y, x), best in multiples of `edges`. Only
        some planes are read at a time where the format allows. Raises as `add`.
        """


def planes_in_order(
    read: ReadBox, form: Form, edges: Sequence[int]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """A volume in parts along the first spatial axis of its file: the index of the first plane of
    each there, and the planes in the file's axes and dtype.
    """
    place = "zyx".index(form.order[0])
    size, edge = form.sizes[place], edges[place]
    turned = form.z_up and place == 0
    box = [slice(0, each) for each in form.sizes]
    starts = range(0, size, edge)
    for start in reversed(starts) if turned else starts:
        box[place] = slice(start, min(start + edge, size))
        planes = read((box[0], box[1], box[2]))
        if not np.can_cast(planes.dtype, form.dtype, "same_kind"):
            raise InputDtypeError(f"models: dtype: found {planes.dtype}, expected {form.dtype}")
        rows = planes[::-1] if form.z_up else planes
        array = rows.transpose(["zyx".index(axis) for axis in form.order])
        first = size - box[place].stop if turned else start
        yield first, np.asarray(array, dtype=form.dtype)


class FileSink(ABC):
    """Writes the models of one form into one new file; used in a `with` block.

    A block that ends without an exception must have added every model.
    """

    def __init__(self, form: Form) -> None:
        self.form, self.written = form, 0

    def add(self, models: NDArray[Any]) -> None:
        form, end = self.form, self.written + len(models)
        if models.shape[1:] != form.sizes:
            sizes = ", ".join(map(str, form.sizes))
            raise InputShapeError(f"models: shape: found {models.shape}, expected (k, {sizes})")
        if end > form.count:
            raise InputShapeError(f"models: found {end}, expected {form.count}")
        if not np.can_cast(models.dtype, form.dtype, "same_kind"):
            raise InputDtypeError(f"models: dtype: found {models.dtype}, expected {form.dtype}")
        if len(models):
            rows = models[:, ::-1] if form.z_up else models
            array = own_axes(np.asarray(rows, dtype=form.dtype), form.axes)
            self._put(self.written, end, array)
        self.written = end

    def add_volume(self, read: ReadBox, edges: Sequence[int]) -> None:
        z, y, x = (slice(0, size) for size in self.form.sizes)
        self.add(read((z, y, x))[None])

    @property
    def full(self) -> bool:
        """Whether all models were added."""
        return self.written == self.form.count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is None and self.full:
            self._close()
            return
        with suppress(Exception):  # the file will not be kept
            self._close()
        if kind is None:
            raise InputShapeError(f"models: found {self.written}, expected {self.form.count}")

    @abstractmethod
    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        """Write models `start` to `stop`, already in the file's axes and dtype."""

    @abstractmethod
    def _close(self) -> None:
        """Write what comes last and close the file."""


class PlaneSink(FileSink):
    """A file of which planes can be written one after the other."""

    def add_volume(self, read: ReadBox, edges: Sequence[int]) -> None:
        if self.full:
            raise InputShapeError(f"models: found {self.written + 1}, expected {self.form.count}")
        for first, planes in planes_in_order(read, self.form, edges):
            self._put_planes(self.written, first, planes)
        self.written += 1

    def _put_planes(self, number: int, first: int, planes: NDArray[Any]) -> None:
        """Write the planes of a volume from index `first` of the file's first spatial axis on,
        already in its axes and dtype.
        """
        self._put(number, number + 1, planes)


class IndexedSink(PlaneSink):
    """A file whose array takes values at an index."""

    _data: Any

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._data[slice(start, stop) if "n" in self.form.axes else ...] = array

    def _put_planes(self, number: int, first: int, planes: NDArray[Any]) -> None:
        some = slice(first, first + len(planes))
        self._data[(number, some) if "n" in self.form.axes else some] = planes
