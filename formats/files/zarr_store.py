"""Zarr arrays and groups in a folder, of version 2 or 3, read in slices. Needs zarr.

Only codecs that compute are let in: a store may name others, one of which unpickles what it reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError
from velcodec.formats.files.absent import marks_of
from velcodec.formats.files.axes import Coordinate, axes_of, named_form
from velcodec.formats.files.base import Form, Hints, Part, check_packed, reading
from velcodec.formats.files.choose import chosen
from velcodec.formats.files.extras import needed
from velcodec.formats.files.folders import walk
from velcodec.formats.files.sinks import FileSink
from velcodec.formats.files.words import (
    AXIS_NAMES,
    GROUNDS,
    KEYS,
    MAX_KEYS,
    attributes_of,
    check_unpacked,
    columns_of,
    coordinates_of,
    velocity_units,
)

MARKS = ("zarr.json", ".zarray", ".zgroup")
CODECS = frozenset({
    "bytes", "transpose", "sharding_indexed", "blosc", "gzip", "zlib", "zstd", "bz2", "lzma", "lz4",
    "delta", "shuffle", "bitround", "packbits", "quantize", "fixedscaleoffset", "astype",
    "adler32", "crc32", "crc32c", "fletcher32", "zfpy", "pcodec",
})  # fmt: skip
CHUNK_BYTES = 1 << 22


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


@dataclass(frozen=True)
class ZarrPart(Part):
    """An array of a Zarr store."""

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        source = _opened(self.path)
        array = source[self.array] if self.array is not None else source
        check_codecs(array, self.place)
        return np.asarray(array[self._some(start, stop)])

    def sha256(self) -> bytes:
        """SHA-256 of the names and the bytes of all files of the store, in the names' order."""
        digest = hashlib.sha256()
        with reading(self.place):
            found = (top / name for top, _, names in walk(self.path) for name in names)
            for path in sorted(path for path in found if path.is_file()):
                name = path.relative_to(self.path).as_posix()
                digest.update(f"{name}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.digest()


def read_zarr(path: Path, hints: Hints) -> list[Part]:
    """The array, or the group's only array of models, or the one that is named.

    Names of dimensions, coordinates and attributes are heeded as in NetCDF files.
    """
    file = str(path)
    zarr = needed("zarr", "zarr")
    with reading(file):
        source = _opened(path)
        arrays = dict(_arrays(source)) if isinstance(source, zarr.Group) else {"": source}
        found = {
            name: (a.shape, np.dtype(a.dtype))
            for name, a in arrays.items()
            if name.rpartition("/")[2] not in GROUNDS
        }
        (name,) = chosen(found, hints.array, file)
        array, place = arrays[name], f"{file}:{name}" if name else file
        check_codecs(array, place)
        check_unpacked(array.attrs, place)
        attributes = {**source.attrs, **array.attrs}
        folder = name.rpartition("/")[0]

        def beside(other: str) -> Any:
            return arrays.get(f"{folder}/{other}".lstrip("/"))

        columns = {key: _values(beside(key), place) for key in GROUNDS}
        keys = _keys(attributes.get(KEYS))
        form, own = named_form(
            *found[name], place, hints,
            axes_of(_dimensions(array), _coordinates(arrays, folder, place), place),
            attributes,
            units=velocity_units(attributes.get("units"), place, hints),
            columns={key: column for key, column in columns.items() if column is not None},
            keys=lambda sizes: keys,
        )  # fmt: skip
        check_packed((form.nz, form.nx), array.shards or array.chunks, found[name][1], place)
        marks = marks_of(array.attrs, place, array.fill_value)
    return [ZarrPart(path, file, name or None, form, own=own, marks=marks)]


def check_codecs(array: Any, name: str) -> None:
    """Raises InputFileError for a codec that is not one of those let in."""
    for codec in _codecs(array.metadata.to_dict()):
        if codec.removeprefix("numcodecs.") not in CODECS:
            raise InputFileError(f"{name}: codec: found {codec!r}, which is not let in")


def _codecs(metadata: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs, of version 2 and 3, those within shards too."""
    listed = [metadata.get("compressor"), *(metadata.get("filters") or ())]
    listed += [*(metadata.get("codecs") or ()), *(metadata.get("index_codecs") or ())]
    for codec in listed:
        if codec is None:
            continue
        about = codec if isinstance(codec, Mapping) else codec.to_dict()
        yield str(about.get("name") or about.get("id"))
        yield from _codecs(about.get("configuration") or {})


def _opened(path: Path) -> Any:
    zarr = needed("zarr", "zarr")
    return zarr.open(store=zarr.storage.LocalStore(path, read_only=True), mode="r")


def _arrays(group: Any) -> Iterator[tuple[str, Any]]:
    for name, array in group.arrays():
        yield name, array
    for name, inner in group.groups():
        for below, array in _arrays(inner):
            yield f"{name}/{below}", array


def _dimensions(array: Any) -> list[str]:
    names = getattr(array.metadata, "dimension_names", None)
    return [str(name or "") for name in names or array.attrs.get("_ARRAY_DIMENSIONS") or []]


def _coordinates(arrays: Mapping[str, Any], folder: str, place: str) -> list[Coordinate]:
    """The arrays of numbers in the same group, by their names and dimensions, not read."""
    found = []
    for path, array in arrays.items():
        group, _, name = path.rpartition("/")
        dims = _dimensions(array) or [name]
        if (
            group == folder
            and name
            and np.dtype(array.dtype).kind in "iuf"
            and len(dims) == array.ndim
        ):
            read = partial(_read, array, place)
            found.append(Coordinate(name, tuple(dims), array.size, dict(array.attrs), read))
    return found


def _read(array: Any, name: str) -> NDArray[Any]:
    check_codecs(array, name)
    return np.asarray(array[...])


def _values(array: Any, name: str) -> NDArray[Any] | None:
    """The numbers of a small array of one axis; None for another."""
    if array is None or array.ndim != 1 or np.dtype(array.dtype).kind not in "iuf":
        return None
    return _read(array, name) if array.size <= MAX_KEYS else None


def _keys(values: Any) -> tuple[str, ...] | None:
    return tuple(map(str, values)) if isinstance(values, list) else None


class ZarrSink(FileSink):
    """Writes a group with one array, some megabytes a chunk, and coordinates in metres."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        zarr = needed("zarr", "zarr")
        group = zarr.create_group(store=zarr.storage.LocalStore(path))
        chunks = list(form.shape)
        if "n" in form.axes:
            size = form.nz * form.nx * np.dtype(form.dtype).itemsize
            chunks[0] = max(1, min(form.count, CHUNK_BYTES // size))
        attributes: dict[str, Any] = attributes_of(form)
        if form.keys is not None:
            attributes[KEYS] = list(form.keys)
        self._data = group.create_array(
            name=array,
            shape=form.shape,
            chunks=tuple(chunks),
            dtype=form.dtype,
            dimension_names=[AXIS_NAMES[axis] for axis in form.axes],
            attributes=attributes,
        )
        for axis, (values, about) in coordinates_of(form).items():
            group.create_array(name=axis, data=values, dimension_names=[axis], attributes=about)
        for key, column in columns_of(form).items():
            group.create_array(name=key, data=column, dimension_names=["model"])

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._data[slice(start, stop) if "n" in self.form.axes else ...] = array

    def _close(self) -> None:
        pass  # every chunk is a file that is written at once
