"""What every writer does: blocks of models in, checked and turned to the file's own axes.

Nothing here knows any format, and no writer keeps more than the block it was given.
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
    """Where decoded models go, block after block, in order."""

    def add(self, models: NDArray[Any]) -> None:
        """Append models (k, nz, nx), depth first.

        Raises InputShapeError for models of another size or too many, InputDtypeError for values
        that would not fit in kind.
        """


class FileSink(ABC):
    """Writes the models of one form into one new file; used in a `with` block.

    A block that ends without an exception must have added every model.
    """

    def __init__(self, form: Form) -> None:
        self.form, self.written = form, 0

    def add(self, models: NDArray[Any]) -> None:
        form, end = self.form, self.written + len(models)
        if models.ndim != 3 or models.shape[1:] != (form.nz, form.nx):
            raise InputShapeError(
                f"models: shape: found {models.shape}, expected (k, {form.nz}, {form.nx})"
            )
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
        """Write models `start` to `stop`, which have the file's axes and dtype already."""

    @abstractmethod
    def _close(self) -> None:
        """Write what comes last and close the file."""
