"""What all writers share: take blocks of models, check them, and turn them to the file's axes.

Nothing here knows any format. A writer holds no more than the current block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputDtypeError, InputShapeError
from velcodec.formats.files.base import Form, own_axes


class Sink(Protocol):
    """A target for decoded models, block by block, in order."""

    def add(self, models: NDArray[Any]) -> None:
        """Append models (k, nz, nx), or (k, nz, ny, nx) of volumes, depth first.

        Raises InputShapeError for models of another size or too many, InputDtypeError for values of
        the wrong kind.
        """


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
