"""`.npz` archives: several `.npy` arrays in a zip file. Nothing is ever unpickled.

Uncompressed arrays are read in place; compressed ones are inflated sequentially, continuing where
the last read ended.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.files.absent import marks_of
from velcodec.formats.files.attributes import (
    AMBIGUOUS_NAMES,
    FILL_VALUE,
    GRID_FACTS,
    GROUNDS,
    KEYS,
    attributes_of,
    columns_of,
    fill_value_of,
    merged,
    velocity_units,
)
from velcodec.formats.files.axes import Coordinate, are_volumes, axes_beside, named_form
from velcodec.formats.files.base import Part, check_packed, reading
from velcodec.formats.files.choose_arrays import choose_arrays
from velcodec.formats.files.facts import WRITTEN, facts_in, global_attributes
from velcodec.formats.files.failsafe import FailsafeFile
from velcodec.formats.files.form import Form, Hints
from velcodec.formats.files.npy import MAGIC, NpyWriter, check_header_length
from velcodec.formats.files.sinks import PlaneSink
from velcodec.formats.storage.safe_read import read_box, read_rows

FACTS = (*WRITTEN.values(), "crs")
"""Texts beside the models that are facts of them; other names are too common to mean these."""

UNSTATED = {
    "units": "m/s", "dx": 10.0, "dz": 10.0, "dy": 10.0, "origin_x": 0.0, "origin_z": 0.0,
    "origin_y": 0.0,
}  # fmt: skip
"""What readers take for granted."""

ORDERS: tuple[Literal["C", "F"], ...] = ("C", "F")
LOCAL_HEADER = struct.Struct("<4s22xHH")
MAX_SMALL_BYTES = 1 << 24
READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Member:
    """An array in a zip file, and where its samples begin within the member."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int


class Inflater:
    """Reads a compressed member forwards; going back starts again. Copies start afresh.

    It keeps its position, so only one thread may read from it.
    """

    def __init__(self) -> None:
        self._stream: zipfile.ZipExtFile | None = None
        self._at = 0

    def read(self, path: Path, member: str, first: int, size: int) -> bytearray:
        """Bytes of the member, fewer at its end. Closes the file after the last one."""
        if self._stream is None or first < self._at:
            with zipfile.ZipFile(path) as archive:  # the member keeps the file open
                stream = archive.open(member)
            assert isinstance(stream, zipfile.ZipExtFile)
            self._stream, self._at = stream, 0
        self._stream.seek(first)
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:  # `read` would hold all of it twice
            count = self._stream.readinto(view[filled : filled + READ_AT_ONCE])
            if not count:
                break
            filled += count
        del view, data[filled:]
        self._at = first + filled
        if not self._stream.peek(1):
            self._stream.close()
            self._stream = None
        return data

    def __reduce__(self) -> tuple[type[Inflater], tuple[()]]:
        return Inflater, ()


@dataclass(frozen=True)
class NpzPart(Part):
    """One array of a `.npz` archive; `offset` is its place in the file if it is uncompressed."""

    member: Member
    offset: int | None
    _inflater: Inflater = field(default_factory=Inflater, compare=False, repr=False)

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        member, many = self.member, "n" in self.form.axes
        shape, order = member.shape, ORDERS[member.fortran]
        if self.offset is not None:
            return read_rows(
                self.path, self.offset, shape, member.dtype, fortran=member.fortran,
                rows=(start, stop) if many else None,
            )  # fmt: skip
        if many and not member.fortran:
            shape = (stop - start, *shape[1:])
        size = prod(shape[1:] if many else shape) * member.dtype.itemsize
        first = member.start + (start * size if many and not member.fortran else 0)
        length = prod(shape) * member.dtype.itemsize
        data = self._inflater.read(self.path, member.name, first, length)
        array: NDArray[Any] = np.frombuffer(data, member.dtype).reshape(shape, order=order)
        return array[start:stop] if many and member.fortran else array

    @property
    def reads_boxes(self) -> bool:
        return self.offset is not None

    def _load_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        member, offset = self.member, self.offset or 0
        return read_box(self.path, offset, member.shape, member.dtype, box, fortran=member.fortran)


def read_npz(path: Path, hints: Hints) -> list[Part]:
    """Every array of models in the archive, or the named one.

    Arrays `units`, `dx`, `dz`, `origin`, `_FillValue`, texts with the names of facts, and
    coordinates called `z`, `x` or the like, apply to all; `keys` to a single array of models.
    """
    file = str(path)
    with reading(file), zipfile.ZipFile(path) as archive:
        members = {_bare(info.filename): _member(archive, info) for info in archive.infolist()}
        found = {name: (m.shape, m.dtype) for name, m in members.items() if m is not None}
        volumes = [name for name, (shape, _) in found.items() if are_volumes([], shape, hints)]
        if {"dy", "origin_y"} & {*found}:  # facts that only volumes have
            volumes = [name for name, (shape, _) in found.items() if len(shape) == 4]
        names = choose_arrays(found, hints.array, file, several=True, volumes=volumes)
        alone = len(names) == 1
        beside = _small(archive, members)
        small, keys = merged((("file", beside),), file, hints), beside.get(KEYS)
        facts = facts_in((("file", _texts(beside)),), file, hints)
        marks = marks_of({key: beside[key] for key in (FILL_VALUE,) if key in beside}, file)
        if keys is not None and not alone:
            raise InputFileError(
                f"{file}: keys: found them beside {len(names)} arrays ({', '.join(names)}), "
                "expected one array; name it with --array"
            )
        parts: list[Part] = []
        for name in names:
            member, place = members[name], f"{file}:{name}"
            assert member is not None
            columns = {key: small[key] for key in GROUNDS if np.ndim(small.get(key, 0))}
            said = {key: value for key, value in small.items() if key not in columns}
            coordinates = _coordinates(archive, members, name)
            form, _ = named_form(
                member.shape, member.dtype, place, hints,
                axes_beside(member.shape, coordinates, hints), said,
                units=velocity_units(said.get("units"), place, hints),
                columns=columns,
                keys=lambda _: None if keys is None else tuple(map(str, keys)), facts=facts,
            )  # fmt: skip
            about = archive.getinfo(member.name)
            if about.compress_type != zipfile.ZIP_STORED:
                # In Fortran order every model is spread over the whole array.
                whole = member.shape if member.fortran else None
                check_packed(form, whole, member.dtype, about.compress_size, place)
            offset = _offset(path, archive.getinfo(member.name), member, place)
            parts.append(NpzPart(path, file, name, form, member, offset, marks=marks))
    return parts


def _bare(member: str) -> str:
    return member.removesuffix(".npy")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member | None:
    """A member from its header; None if it is not a plain array."""
    if not info.filename.endswith(".npy"):
        return None
    with archive.open(info) as stream:
        head = check_header_length(stream, info.filename)
        version = np.lib.format.read_magic(io.BytesIO(head))
        if version not in ((1, 0), (2, 0)):
            return None
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        length = head[len(MAGIC) + 2 :]
        shape, fortran, dtype = read(
            io.BytesIO(length + stream.read(int.from_bytes(length, "little")))
        )
        start = stream.tell()
    if dtype.hasobject:
        return None
    if info.file_size != start + prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise InputFileError(
            f"{info.filename}: found {info.file_size} bytes, expected those of shape {shape}"
        )
    return Member(info.filename, tuple(shape), dtype, fortran, start)


def _offset(path: Path, info: zipfile.ZipInfo, member: Member, name: str) -> int | None:
    """Where the samples are in the zip file; None if they are compressed."""
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        signature, names, extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
        start: int = info.header_offset + LOCAL_HEADER.size + names + extra + member.start
    if signature != b"PK\x03\x04" or start + prod(member.shape) * member.dtype.itemsize > (
        path.stat().st_size
    ):
        raise InputFileError(f"{name}: the samples lie beyond the end of the file")
    return start


def _small(archive: zipfile.ZipFile, members: dict[str, Member | None]) -> dict[str, Any]:
    """The arrays that describe the models."""
    values = {}
    for name in (KEYS, FILL_VALUE, *FACTS, *GRID_FACTS, *AMBIGUOUS_NAMES):
        member = members.get(name)
        if member is None or prod(member.shape) * member.dtype.itemsize > MAX_SMALL_BYTES:
            continue
        with archive.open(member.name) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        if array.ndim <= 1:
            column = name in (KEYS, "origin") or array.size != 1
            values[name] = array if column else array.item()
    return values


def _texts(beside: dict[str, Any]) -> dict[str, str | bytes]:
    """The facts among what lies beside the models; numbers of these names are something else."""
    return {name: beside[name] for name in FACTS if isinstance(beside.get(name), str | bytes)}


def _coordinates(
    archive: zipfile.ZipFile, members: dict[str, Member | None], models: str
) -> list[Coordinate]:
    """The one-axis arrays beside the models, not read."""

    def read(member: Member) -> NDArray[Any]:
        with archive.open(member.name) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))

    return [
        Coordinate(name, (), prod(member.shape), {}, partial(read, member))
        for name, member in members.items()
        if member is not None
        and name != models
        and len(member.shape) == 1
        and member.dtype.kind in "iuf"
        and prod(member.shape) * member.dtype.itemsize <= MAX_SMALL_BYTES
    ]


def told_by_npz(form: Form) -> dict[str, Any]:
    """What an `.npz` file says of all its models, by the names of its arrays."""
    told = attributes_of(form) | columns_of(form) | global_attributes(form.facts, "crs")
    return told if form.no_data is None else {**told, FILL_VALUE: fill_value_of(form)}


def told_of_all(forms: Sequence[Form]) -> dict[str, Any]:
    """What an `.npz` file of several arrays says beside them: what holds for all, or else nothing,
    as readers take it for all. What they take for granted is left out, so that files without any of
    it come back as they were.
    """
    if any(form.grounds is not None for form in forms):
        return {}
    first, *others = (told_by_npz(form) for form in forms)
    if not all(repr(each) == repr(first) for each in others):
        return {}
    return {key: value for key, value in first.items() if UNSTATED.get(key) != value}


class NpzSink(PlaneSink):
    """Writes one array of models, uncompressed, and what is known of them beside it; unless
    `alone`, after the arrays already in the file, and `told` of all of them beside the array.
    """

    def __init__(
        self, path: Path, form: Form, array: str, *, alone: bool = True,
        told: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        # Its arrays have no names of axes, by which a reader could tell another order.
        super().__init__(form if form.ny is None else replace(form, axes=form.axes[:-3] + "zyx"))
        self._told = dict(told or {})
        if alone:
            self._told |= told_by_npz(self.form)
            self._told |= {} if form.keys is None else {KEYS: np.array(form.keys)}
        if array in self._told:
            raise OptionError(f"array: found {array!r}, a name that means something else")
        self._file = FailsafeFile(path, new=alone)
        self._archive = zipfile.ZipFile(self._file, "w" if alone else "a", zipfile.ZIP_STORED)
        self._stream = self._archive.open(f"{array}.npy", "w", force_zip64=True)
        self._writer = NpyWriter(self._stream, self.form.shape, form.dtype)  # type: ignore[arg-type]

    def _put(self, start: int, stop: int, array: NDArray[Any]) -> None:
        self._writer.add([array])
        self._file.check()

    def _close(self) -> None:
        self._stream.close()
        for name, value in self._told.items():
            with self._archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, np.asarray(value), allow_pickle=False)
        self._archive.close()
        self._file.finish()
