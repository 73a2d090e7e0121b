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
from .base import Form, Hints, Part, form_of, reading
from .choose import chosen
from .extras import needed
from .sinks import FileSink
from .words import (
    AXIS_NAMES,
    KEYS,
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
        check_unpacked(dataset.attrs, place)
        attributes = {**source.attrs, **dataset.attrs}
        form = form_of(
            *found[name], place, hints,
            order=order_of([d.label for d in dataset.dims]) or "zx",
            units=velocity_units(attributes.get("units"), place, hints),
            ground=ground_of(attributes, place),
            keys=_keys(datasets.get(f"{name.rpartition('/')[0]}/{KEYS}".lstrip("/")), place, shape),
        )  # fmt: skip
    return [Hdf5Part(path, file, name, form)]


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
        for dimension, axis in zip(self._data.dims, form.axes, strict=True):
            dimension.label = AXIS_NAMES[axis]
        self._data.attrs.update(attributes_of(form.ground, form.units))
        if form.keys is not None:
            keys = np.array(form.keys, dtype=object)
            self._data.parent.create_dataset(KEYS, data=keys, dtype=h5py.string_dtype())

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._data[slice(start, stop) if "n" in self.form.axes else ...] = array

    def _close(self) -> None:
        self._file.close()
