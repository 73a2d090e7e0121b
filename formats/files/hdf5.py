"""HDF5 files: one dataset of models, read in slices. Needs h5py.

A file that leads to other files (external links or storage, virtual datasets) is refused: what it
names could be anything on the reader's machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputFileError
from .base import Form, Hints, Part, check_packed, form_of, reading
from .choose import chosen
from .extras import needed
from .sinks import FileSink
from .words import (
    AXIS_NAMES,
    KEYS,
    SAID,
    attributes_of,
    check_keys,
    check_unpacked,
    ground_of,
    order_of,
    velocity_units,
)


@dataclass(frozen=True)
class Hdf5Part(Part):
    """A dataset of an HDF5 file."""

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        with needed("h5py", "io").File(self.path, "r") as source:
            dataset = source[self.array]
            return dataset[start:stop] if "n" in self.form.axes else dataset[()]


def read_hdf5(path: Path, hints: Hints) -> list[Part]:
    """The only dataset of models in the file, or the one that is named.

    Attributes `dx`, `dz`, `origin` (x, z) in metres and `units`, of the dataset or of the file, and
    labels of its dimensions (z, x) are heeded; a dataset `keys` beside it names the models.
    """
    file = str(path)
    h5py = needed("h5py", "io")
    with reading(file), h5py.File(path, "r") as source:
        datasets = inner_datasets(h5py, source, file)
        if hints.array and hints.array in source and isinstance(source[hints.array], h5py.Dataset):
            datasets[hints.array.strip("/")] = source[hints.array]  # by a second name, perhaps
        found = {name: (d.shape or (), d.dtype) for name, d in datasets.items()}
        (name,) = chosen(found, hints.array, file)
        dataset, place = datasets[name], f"{file}:{name}"
        shape = found[name][0]
        check_packed(shape, dataset.chunks, dataset.dtype, place)
        check_unpacked(dataset.attrs, place)
        attributes = {
            key: attrs[key]
            for attrs in (source.attrs, dataset.attrs)
            for key in SAID
            if key in attrs
        }
        form = form_of(
            *found[name], place, hints,
            order=order_of(_dimensions(dataset.attrs)) or "zx",
            units=velocity_units(attributes.get("units"), place, hints),
            ground=ground_of(attributes, place),
            keys=_keys(datasets.get(f"{name.rpartition('/')[0]}/{KEYS}".lstrip("/")), place, shape),
        )  # fmt: skip
    return [Hdf5Part(path, file, name, form)]


def _dimensions(attributes: Any) -> list[str | None]:
    """Names of the axes: an attribute `dimensions`, or the standard's labels.

    The labels are read as an attribute: the library's own function for them crashes on bad ones.
    """
    for name in ("dimensions", "DIMENSION_LABELS"):
        if name in attributes:
            names = np.atleast_1d(attributes[name])
            return [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names]
    return []


def inner_datasets(h5py: Any, source: Any, file: str) -> dict[str, Any]:
    """All datasets by their names. Raises InputFileError for what leads out of the file."""
    outside: list[str] = []
    datasets: dict[str, Any] = {}

    def see_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(name)

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = item
            if item.is_virtual or item.external:
                outside.append(name)

    source.visititems_links(see_link)
    source.visititems(see)
    if outside:
        raise InputFileError(f"{file}: {outside[0]}: leads to another file, which is not opened")
    return datasets


def _keys(dataset: Any, name: str, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    if dataset is None or dataset.ndim != 1 or dataset.dtype.kind not in "OS":
        return None
    check_keys(dataset.shape, name, shape)
    return tuple(dataset.asstr()[:])


class Hdf5Sink(FileSink):
    """Writes one dataset, with attributes for units, spacing and origin, and `keys` beside it."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        h5py = needed("h5py", "io")
        self._file = h5py.File(path, "x")
        self._data = self._file.create_dataset(array, shape=form.shape, dtype=form.dtype)
        # Text of a fixed length throughout: others lie in a heap, which no checksum guards.
        self._data.attrs["dimensions"] = np.bytes_([AXIS_NAMES[axis] for axis in form.axes])
        for key, value in attributes_of(form.ground, form.units).items():
            self._data.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        if form.keys is not None:
            keys = np.array([key.encode() for key in form.keys])
            dtype = h5py.string_dtype("utf-8", max(1, keys.itemsize))
            self._file.create_dataset(KEYS, data=keys.astype(dtype))

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._data[slice(start, stop) if "n" in self.form.axes else ...] = array

    def _close(self) -> None:
        self._file.close()
