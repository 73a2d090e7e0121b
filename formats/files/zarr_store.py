"""Zarr arrays and groups in a folder, of version 2 or 3, read in slices. Needs zarr.

Only codecs that just compute are allowed: a store may name others, one of which unpickles what it
reads.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
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
    GROUNDS,
    KEYS,
    MAX_KEYS,
    attributes_of,
    check_unpacked,
    columns_of,
    fill_value_of,
    merged,
    velocity_units,
)
from velcodec.formats.files.axes import Axis, Coordinate, are_volumes, axes_of, named_form
from velcodec.formats.files.base import (
    FREE_CHUNK_BYTES,
    FREE_MODEL_BYTES,
    FREE_SAMPLES,
    ChunkedPart,
    Part,
    check_chunk,
    check_packed,
    reading,
)
from velcodec.formats.files.choose_arrays import choose_arrays
from velcodec.formats.files.facts import (
    CONVENTIONS,
    GRID_MAPPING,
    coordinates_of,
    facts_in,
    global_attributes,
    grid_mapping,
    grid_mapping_in,
)
from velcodec.formats.files.folders import walk
from velcodec.formats.files.form import Form, Hints
from velcodec.formats.files.inflation import check_inflation
from velcodec.formats.files.sinks import IndexedSink
from velcodec.formats.storage.special_files import check_readable

MARKS = ("zarr.json", ".zarray", ".zgroup")
CODECS = frozenset({
    "bytes", "transpose", "sharding_indexed", "blosc", "gzip", "zlib", "zstd", "bz2", "lzma", "lz4",
    "delta", "shuffle", "bitround", "packbits", "quantize", "fixedscaleoffset", "astype",
    "adler32", "crc32", "crc32c", "fletcher32", "zfpy", "pcodec",
})  # fmt: skip
COMPRESSORS = frozenset({"blosc", "gzip", "zlib", "zstd", "bz2", "lzma", "lz4"})
CHUNK_BYTES, CHUNK_EDGE = 1 << 22, 64
"""Chunks that are written: models of so many bytes, and parts of volumes of so many samples a side.
"""

CHUNK_SLACK, CHUNK_SLACK_BYTES = 8, 1 << 20
"""Filters may widen samples before compression."""


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


@dataclass(frozen=True)
class ZarrPart(ChunkedPart):
    """An array of a Zarr store."""

    def _array(self) -> Any:
        source = _opened(self.path)
        array = source[self.array] if self.array is not None else source
        check_codecs(array, self.place)
        return _guarded(array, self.place)

    def _indexed(self, index: Any) -> NDArray[Any]:
        return np.asarray(self._array()[index])

    def sha256(self) -> bytes:
        """SHA-256 of the names and bytes of all files of the store, sorted by name."""
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
    """The array, or the group's only array of models, or the named one.

    Names of dimensions, coordinates and attributes are used as in NetCDF files.
    """
    file = str(path)
    zarr = needed("zarr", "zarr")
    with reading(file):
        _check_inside(path)
        source = _opened(path)
        arrays = dict(_arrays(source)) if isinstance(source, zarr.Group) else {"": source}
        found = {
            name: (a.shape, np.dtype(a.dtype))
            for name, a in arrays.items()
            if name.rpartition("/")[2] not in GROUNDS
        }
        volumes = [
            name
            for name, (shape, _) in found.items()
            if are_volumes([Axis(dim) for dim in _dimensions(arrays[name])], shape, hints)
        ]
        (name,) = choose_arrays(found, hints.array, file, volumes=volumes)
        array, place = arrays[name], f"{file}:{name}" if name else file
        check_codecs(array, place)
        check_unpacked(array.attrs, place)
        groups = name.split("/")[:-1]
        beside_it = {
            key: np.asarray(one[...])
            for key in (*GRID_FACTS, *AMBIGUOUS_NAMES)
            if (one := arrays.get("/".join([*groups, key]))) is not None and one.ndim == 0
        }
        places = (
            ("group", source.attrs if name else {}),
            *(
                (f"group {group}", source[group].attrs)
                for group in ("/".join(groups[: i + 1]) for i in range(len(groups)))
            ),
            ("arrays beside it", beside_it),
            ("array", array.attrs),
        )
        attributes = merged(places, place, hints)
        folder = name.rpartition("/")[0]

        def beside(other: str) -> Any:
            return arrays.get(f"{folder}/{other}".lstrip("/"))

        columns = {key: _values(beside(key), place) for key in GROUNDS}
        keys = _keys(array.attrs.get(KEYS, source.attrs.get(KEYS)))
        form, own = named_form(
            *found[name], place, hints,
            axes_of(_dimensions(array), _coordinates(arrays, folder, place), place),
            attributes,
            units=velocity_units(attributes.get("units"), place, hints),
            columns={key: column for key, column in columns.items() if column is not None},
            keys=lambda sizes: keys,
            facts=facts_in(places, place, hints, grid_mapping_in(array.attrs, beside)),
        )  # fmt: skip
        check_packed(form, _unit(array), found[name][1], _stored(array), place)
        marks = marks_of(array.attrs, place, array.fill_value)
    return [ZarrPart(path, file, name or None, form, own=own, marks=marks)]


def _check_inside(path: Path) -> None:
    """Raise InputFileError for a file of a store that a link places elsewhere, or that is not a
    regular file.
    """
    store = path.resolve()
    for top, folders, names in walk(path):
        for one in (top / name for name in (*folders, *names)):
            if one.is_symlink() and not one.resolve().is_relative_to(store):
                raise InputFileError(
                    f"{path}: {one.relative_to(path)}: is a link to {os.readlink(one)}, expected "
                    "the store's own files, as no others are opened"
                )
        for name in names:
            check_readable(top / name)


def check_codecs(array: Any, name: str) -> None:
    """Raise InputFileError for a codec that is not allowed."""
    for codec in _codecs(array.metadata.to_dict()):
        if codec.removeprefix("numcodecs.") not in CODECS:
            raise InputFileError(f"{name}: codec: found {codec!r}, which is not allowed")


def _unit(array: Any) -> tuple[int, ...]:
    """The shape of what is one file of the store."""
    unit: tuple[int, ...] = array.shards or array.chunks
    return unit


def _stored(array: Any) -> int:
    """Bytes of an array's files; 0, without counting, if its shape is free anyway."""
    size = np.dtype(array.dtype).itemsize
    free = prod(_unit(array)) * size <= FREE_CHUNK_BYTES and array.size <= FREE_SAMPLES
    free = free and prod(array.shape[1:]) * size <= FREE_MODEL_BYTES
    return 0 if free else int(array.nbytes_stored())


def _codecs(metadata: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs, of versions 2 and 3, inside shards too."""
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
    """The numeric arrays in the same group, by name and dimensions, not read."""
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


def _guarded(array: Any, place: str) -> Any:
    """The same array, guarded against chunks that unpack to far more than their shape. Chunks in
    shards are not checked, because the library cuts them out by itself.
    """
    names = [
        name
        for name in (each.removeprefix("numcodecs.") for each in _codecs(array.metadata.to_dict()))
        if name in COMPRESSORS
    ]
    if array.shards is not None or not names:
        return array
    if len(names) > 1:
        raise InputFileError(f"{place}: codecs: found {names}, expected one that compresses")
    size = prod(array.chunks) * np.dtype(array.dtype).itemsize
    most = CHUNK_SLACK_BYTES + CHUNK_SLACK * size
    zarr = needed("zarr", "zarr")

    class Guarded(zarr.storage.LocalStore):  # type: ignore[misc, name-defined]
        async def get(self, key: str, *about: Any, **more: Any) -> Any:
            found = await super().get(key, *about, **more)
            if found is not None and not key.rpartition("/")[2].startswith((".z", "zarr.json")):
                check_inflation(names[0], found.to_bytes(), most, place)
            return found

    opened = zarr.open(store=Guarded(array.store.root, read_only=True), mode="r")
    return opened[array.path] if array.path else opened


def _read(array: Any, name: str) -> NDArray[Any]:
    check_codecs(array, name)
    check_chunk(_unit(array), np.dtype(array.dtype), _stored(array), name)
    return np.asarray(_guarded(array, name)[...])


def _values(array: Any, name: str) -> NDArray[Any] | None:
    """The numbers of a small one-axis array; None for another."""
    if array is None or array.ndim != 1 or np.dtype(array.dtype).kind not in "iuf":
        return None
    return _read(array, name) if array.size <= MAX_KEYS else None


def _keys(values: Any) -> tuple[str, ...] | None:
    return tuple(map(str, values)) if isinstance(values, list) else None


def _fill_attribute(fill: Any) -> int | str:
    """The attribute `_FillValue` as xarray writes and reads it: a float's eight bytes in base64."""
    if fill.dtype.kind != "f":
        return int(fill)
    return base64.b64encode(struct.pack("<d", float(fill))).decode()


class ZarrSink(IndexedSink):
    """Writes a group with one array, some megabytes per chunk, and coordinates in metres."""

    def __init__(self, path: Path, form: Form, array: str) -> None:
        super().__init__(form)
        zarr = needed("zarr", "zarr")
        group = zarr.create_group(store=zarr.storage.LocalStore(path))
        chunks = list(form.shape)
        if "n" in form.axes:
            size = form.samples * np.dtype(form.dtype).itemsize
            chunks[0] = max(1, min(form.count, CHUNK_BYTES // size))
        if form.ny is not None:
            chunks[-3:] = [min(each, CHUNK_EDGE) for each in chunks[-3:]]
        attributes: dict[str, Any] = attributes_of(form)
        absent: dict[str, Any] = {}
        if (fill := fill_value_of(form)) is not None:
            absent = {"fill_value": fill}
            attributes[FILL_VALUE] = _fill_attribute(fill)
        if form.keys is not None:
            attributes[KEYS] = list(form.keys)
        group.attrs.update({"Conventions": CONVENTIONS} | global_attributes(form.facts))
        if (mapping := grid_mapping(form.facts)) is not None:
            attributes["grid_mapping"] = GRID_MAPPING
            group.create_array(name=GRID_MAPPING, data=np.array(0, "<i4"), attributes=mapping)
        self._data = group.create_array(
            name=array,
            shape=form.shape,
            chunks=tuple(chunks),
            dtype=form.dtype,
            dimension_names=[AXIS_NAMES[axis] for axis in form.axes],
            attributes=attributes,
            **absent,
        )
        for axis, (values, about) in coordinates_of(form).items():
            group.create_array(name=axis, data=values, dimension_names=[axis], attributes=about)
        for key, column in columns_of(form).items():
            group.create_array(name=key, data=column, dimension_names=["model"])

    def _close(self) -> None:
        pass  # every chunk is a file that is written at once
