"""HDF5 files: one dataset of models, read in slices. Needs h5py.

A file that refers to other files (external links or storage, virtual datasets) is refused: it could
name anything on the reader's machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError
from velcodec.formats.extras import needed
from velcodec.formats.files.absent import marks_of
from velcodec.formats.files.attributes import (
    AMBIGUOUS_NAMES,
    AXIS_NAMES,
    FILL_VALUE,
    GRID_FACTS,
    KEYS,
    MAX_KEYS,
    MAX_KEYS_BYTES,
    attributes_of,
    check_keys,
    check_unpacked,
    columns_of,
    fill_value_of,
    merged,
    text_of,
    velocity_units,
)
from velcodec.formats.files.axes import (
    Axis,
    Coordinate,
    are_volumes,
    axes_beside,
    named_form,
)
from velcodec.formats.files.base import ChunkedPart, Part, check_chunk, check_packed, reading
from velcodec.formats.files.choose_arrays import choose_arrays
from velcodec.formats.files.facts import facts_in, global_attributes, grid_mapping_in
from velcodec.formats.files.failsafe import FailsafeFile
from velcodec.formats.files.form import Form, Hints
from velcodec.formats.files.sinks import IndexedSink

KEYS_AT_ONCE = 64
MATLAB = "MATLAB_class"
MATLAB_5 = b"MATLAB 5.0"
SCALE_ATTRIBUTES = ("units", "positive", "axis", "standard_name")
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


@dataclass(frozen=True)
class Hdf5Part(ChunkedPart):
    """A dataset of an HDF5 file."""

    def _indexed(self, index: Any) -> NDArray[Any]:
        with needed("h5py", "io").File(self.path, "r") as source:
            return np.asarray(source[self.array][index])


def read_hdf5(path: Path, hints: Hints) -> list[Part]:
    """The only dataset of models in the file, or the named one.

    Uses attributes `dx`, `dz`, `origin` (x, z) in metres, `z_positive` and `units` of the dataset
    or the file, or datasets of these names beside it, and labels and scales of its dimensions. A
    dataset `keys` beside it names the models. MATLAB's arrays have their axes in reverse.
    """
    file = str(path)
    h5py = needed("h5py", "io")
    with reading(file), path.open("rb") as stream:
        if stream.read(len(MATLAB_5)) == MATLAB_5:
            raise InputFileError(
                f"{file}: found a MATLAB file of an older version, expected 7.3: save it with -v7.3"
            )
    with reading(file), h5py.File(path, "r") as source:
        datasets = inner_datasets(h5py, source, file)
        if hints.array and hints.array in source and isinstance(source[hints.array], h5py.Dataset):
            datasets[hints.array.strip("/")] = source[hints.array]  # perhaps by a second name
        found = {
            name: (d.shape or (), d.dtype)
            for name, d in datasets.items()
            if _may_be_models(name, d) or name == (hints.array or "").strip("/")
        }
        volumes = [
            name
            for name, (shape, _) in found.items()
            if len(shape) == 4
            and are_volumes(_axes(h5py, source, datasets[name], f"{file}:{name}"), shape, hints)
        ]
        (name,) = choose_arrays(found, hints.array, file, volumes=volumes)
        dataset, place = datasets[name], f"{file}:{name}"
        shape = found[name][0]
        check_unpacked(dataset.attrs, place)
        beside = _beside(datasets, name.rpartition("/")[0])
        groups = name.split("/")[:-1]
        places = (
            ("file", source.attrs),
            *(
                (f"group {group}", source[group].attrs)
                for group in ("/".join(groups[: i + 1]) for i in range(len(groups)))
            ),
            ("datasets beside it", _values_of(h5py, beside, single=True)),
            ("dataset", dataset.attrs),
        )
        attributes = merged(places, place, hints)
        unstated = None
        if MATLAB in dataset.attrs:
            unstated = "xz"
            if len(shape) > 2 and hints.order is None:
                raise InputFileError(
                    f"{place}: found a MATLAB array of {shape[::-1]}, expected (nz, nx); state the "
                    f"order of the last two axes of {shape}, in which it lies, with --order"
                )
        axes = _axes(h5py, source, dataset, place)
        if not any(axis.name for axis in axes):
            axes = axes_beside(shape, _coordinates(datasets, name), hints, unstated)
        form, own = named_form(
            *found[name], place, hints, axes, attributes,
            unstated=unstated,
            units=velocity_units(attributes.get("units"), place, hints),
            columns=_values_of(h5py, beside, single=False),
            keys=lambda sizes: _keys(beside.get(KEYS), place, sizes),
            facts=facts_in(
                places, place, hints, grid_mapping_in(dataset.attrs, lambda other: datasets.get(
                    f"{name.rpartition('/')[0]}/{other}".lstrip("/"))),
            ),
        )  # fmt: skip
        check_packed(form, dataset.chunks, dataset.dtype, dataset.id.get_storage_size(), place)
        marks = marks_of(dataset.attrs, place, dataset.fillvalue)
    return [Hdf5Part(path, file, name, form, own=own, marks=marks)]


def _may_be_models(name: str, dataset: Any) -> bool:
    """Whether a dataset may hold models: it does not describe others, and is not MATLAB text or
    cells.
    """
    kind = text_of(dataset.attrs.get(MATLAB)) if MATLAB in dataset.attrs else "single"
    numeric = kind in ("single", "double") or kind.startswith(("int", "uint"))
    said = name.rpartition("/")[2] in (KEYS, *GRID_FACTS)
    return numeric and not (said and (dataset.size or 0) <= max(dataset.shape or (1,)))


def _beside(datasets: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The datasets in the same group that describe the models."""
    named = {key: f"{folder}/{key}".lstrip("/") for key in (KEYS, *GRID_FACTS, *AMBIGUOUS_NAMES)}
    return {key: datasets[name] for key, name in named.items() if name in datasets}


def _values_of(h5py: Any, beside: Mapping[str, Any], *, single: bool) -> dict[str, Any]:
    """The content of these datasets: one value for all models each, or columns."""
    found: dict[str, Any] = {}
    for key, dataset in beside.items():
        pair = key == "origin" or key in AMBIGUOUS_NAMES
        few = dataset.size is not None and (dataset.size <= (4 if pair else 1))
        if key == KEYS or few is not single or (dataset.size or 0) > MAX_KEYS:
            continue
        if h5py.check_string_dtype(dataset.dtype):
            found[key] = np.atleast_1d(dataset.asstr()[()]).ravel()[0]
        elif dataset.dtype.kind in "iuf":
            found[key] = dataset[()]
    return found


def _coordinates(datasets: Mapping[str, Any], models: str) -> list[Coordinate]:
    """Datasets beside the models' with one axis of more than one sample, not read."""
    folder = models.rpartition("/")[0]
    return [
        Coordinate(
            name.rpartition("/")[2],
            (),
            dataset.size,
            {key: dataset.attrs[key] for key in SCALE_ATTRIBUTES if key in dataset.attrs},
            lambda dataset=dataset: np.asarray(dataset[()]).ravel(),  # type: ignore[misc]
        )
        for name, dataset in datasets.items()
        if name.rpartition("/")[0] == folder
        and name != models
        and dataset.shape
        and dataset.dtype.kind in "iuf"
        and 1 <= dataset.size == max(dataset.shape) <= MAX_KEYS
    ]


def _axes(h5py: Any, source: Any, dataset: Any, place: str) -> list[Axis]:
    """Names of the axes: an attribute `dimensions`, the standard's labels, or its scales, which are
    coordinates too.

    Both are read as attributes: the library's own functions for them crash on bad ones.
    """
    names: list[str] = []
    for key in ("dimensions", "DIMENSION_LABELS"):
        if key in dataset.attrs and not names:
            names = [text_of(name) for name in np.atleast_1d(dataset.attrs[key])]
    names += [""] * (dataset.ndim - len(names))
    axes = [Axis(name) for name in names]
    for number, references in enumerate(np.atleast_1d(dataset.attrs.get("DIMENSION_LIST", []))):
        for reference in np.atleast_1d(references)[:1]:
            scale = (
                source[reference] if isinstance(reference, h5py.Reference) and reference else None
            )
            if number < len(axes) and isinstance(scale, h5py.Dataset):
                axes[number] = _scale(scale, names[number], place)
    return axes


def _scale(scale: Any, label: str, place: str) -> Axis:
    about = {key: scale.attrs[key] for key in SCALE_ATTRIBUTES if key in scale.attrs}
    said = text_of(scale.attrs.get("NAME"))
    name = label or scale.name.rpartition("/")[2] or said
    if said.startswith(NO_VARIABLE) or scale.dtype.kind not in "iuf" or scale.ndim != 1:
        return Axis(name)
    if scale.size > MAX_KEYS:
        raise InputFileError(
            f"{place}: coordinates of {name}: found {scale.size}, which are too many"
        )
    return Axis(name, np.asarray(scale[()]), about)


def inner_datasets(h5py: Any, source: Any, file: str) -> dict[str, Any]:
    """All datasets by name. Raises InputFileError for references to other files, and for chunks
    that are too large, whatever their dataset is for.
    """
    outside: list[str] = []
    datasets: dict[str, Any] = {}

    def see_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(name)

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = item
            check_chunk(item.chunks, item.dtype, item.id.get_storage_size(), f"{file}:{name}")
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
    check_keys(dataset.shape, dataset.dtype.itemsize, name, shape)
    keys: list[str] = []
    size, texts = 0, dataset.asstr()
    for first in range(0, len(dataset), KEYS_AT_ONCE):
        # Variable-length texts lie in a heap, where all may refer to one large text.
        some = texts[first : first + KEYS_AT_ONCE]
        size += sum(map(len, some))
        if size > MAX_KEYS_BYTES:
            raise InputFileError(
                f"{name}: keys: found {size:,} bytes and more, expected at most {MAX_KEYS_BYTES:,}"
            )
        keys.extend(some)
    return tuple(keys)


class Hdf5Sink(IndexedSink):
    """Writes one dataset, with attributes for units, spacing and origin (or columns of these), and
    `keys` beside it.
    """

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        h5py = needed("h5py", "io")
        self._stream = FailsafeFile(path)
        self._file = h5py.File(self._stream, "w")
        fill = fill_value_of(form)
        self._data = self._file.create_dataset(
            array, shape=form.shape, dtype=form.dtype, fillvalue=fill
        )
        if fill is not None:
            self._data.attrs.create(FILL_VALUE, fill, dtype=form.dtype)
        # Fixed-length text throughout: other text lies in a heap, which no checksum guards.
        self._data.attrs["dimensions"] = np.bytes_([AXIS_NAMES[axis] for axis in form.axes])
        for key, value in attributes_of(form).items():
            self._data.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        for key, value in global_attributes(form.facts, "crs").items():
            self._file.attrs[key] = np.bytes_(value.encode())
        for key, column in columns_of(form).items():
            self._file.create_dataset(key, data=column)
        if form.keys is not None:
            keys = np.array([key.encode() for key in form.keys])
            dtype = h5py.string_dtype("utf-8", max(1, keys.itemsize))
            self._file.create_dataset(KEYS, data=keys.astype(dtype))

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        super()._put(start, stop, array)
        self._stream.check()

    def _put_planes(self, number: int, first: int, planes: NDArray[Any]) -> None:
        super()._put_planes(number, first, planes)
        self._stream.check()

    def _close(self) -> None:
        self._file.close()
        self._stream.finish()
