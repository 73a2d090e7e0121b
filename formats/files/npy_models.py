"""`.npy` files of models: only the requested models are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError
from velcodec.formats.files.base import Part, reading
from velcodec.formats.files.form import Form, Hints, form_of
from velcodec.formats.files.npy import MAGIC, NpyWriter, load_mapped
from velcodec.formats.files.sinks import PlaneSink
from velcodec.formats.storage.safe_read import mapped_box, mapped_rows


@dataclass(frozen=True)
class NpyPart(Part):
    """The array of a `.npy` file."""

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        rows = (start, stop) if "n" in self.form.axes else None
        return mapped_rows(load_mapped(self.path), self.path, rows)

    @property
    def reads_boxes(self) -> bool:
        return True

    def _load_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return mapped_box(load_mapped(self.path), self.path, box)


def read_npy(path: Path, hints: Hints) -> list[Part]:
    """The single array of a `.npy` file."""
    file = str(path)
    with reading(file):
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
        if start != MAGIC:
            raise InputFileError(f"{file}: found {start!r}, expected a .npy file")
        array = load_mapped(path)
    return [NpyPart(path, file, None, form_of(array.shape, array.dtype, file, hints))]


class NpySink(PlaneSink):
    """Writes a `.npy` file, which has no place for keys, units, spacing or origin."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        self._stream = path.open("xb")
        self._writer = NpyWriter(self._stream, form.shape, form.dtype)

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._writer.add([array])

    def _close(self) -> None:
        self._stream.close()
