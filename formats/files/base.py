"""What every reader returns and every writer accepts, for all file formats.

A `Part` is an array of models in one file. It holds no open file, so that thousands of parts can
exist and be sent to other processes. Nothing here knows any format.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, OptionError, VelcodecError
from velcodec.formats.files.absent import Marks, check_all_present
from velcodec.formats.files.checks import LAYER, check_finite, check_volume_samples
from velcodec.formats.files.form import Form, depth_first
from velcodec.formats.no_data import check_some_present
from velcodec.formats.storage.locks import ForkableLock, lazy_property

MAX_PACKED_SAMPLES = 1 << 27
FREE_CHUNK_BYTES, CHUNK_BYTES_OF_BYTE = 1 << 25, 16
FREE_MODEL_BYTES, MODEL_BYTES_OF_BYTE = 1 << 26, 32
FREE_SAMPLES, SAMPLES_OF_BYTE = 1 << 27, 1 << 12
"""Where samples are compressed or left out, a large shape costs nothing to claim. This limits the
bytes unpacked at once, a model, and all models: this much is free, plus this much per stored byte.
Sections of more samples are refused; volumes are read in parts.
"""


def check_chunk(
    chunk: tuple[int, ...] | None, dtype: np.dtype[Any], stored: int, name: str
) -> None:
    """Raise InputFileError if a chunk, which is unpacked as a whole, would take more memory than
    `stored` bytes allow.
    """
    size, most = prod(chunk or ()) * dtype.itemsize, FREE_CHUNK_BYTES + CHUNK_BYTES_OF_BYTE * stored
    if size > most:
        raise InputFileError(
            f"{name}: found chunks of {size:,} bytes, expected at most {most:,} in {stored:,} bytes"
        )


def check_packed(
    form: Form, chunk: tuple[int, ...] | None, dtype: np.dtype[Any], stored: int, name: str
) -> None:
    """Raise InputFileError if samples are compressed or left out and one model, all models or a
    chunk would take more memory than `stored` bytes allow.
    """
    check_chunk(chunk, dtype, stored, name)
    samples, sizes = form.samples, " x ".join(map(str, form.sizes))
    size, most = samples * dtype.itemsize, FREE_MODEL_BYTES + MODEL_BYTES_OF_BYTE * stored
    if (samples > MAX_PACKED_SAMPLES and form.ny is None) or size > most:
        raise InputFileError(
            f"{name}: found models of {sizes} samples, {size:,} bytes, expected at "
            f"most {MAX_PACKED_SAMPLES:,} samples and {most:,} bytes of {stored:,} bytes that are "
            "compressed or sparse"
        )
    samples, most = form.count * samples, FREE_SAMPLES + SAMPLES_OF_BYTE * stored
    if samples > most:
        raise InputFileError(
            f"{name}: found {form.count:,} models of {sizes} samples, expected at "
            f"most {most:,} samples of {stored:,} bytes that are compressed or sparse"
        )


@dataclass(frozen=True)
class Part(ABC):
    """Models of one shape and dtype: an array in a file.

    `path` is where the samples are; `file` is the path as the user knows it, relative to the opened
    folder. `own` says which of the array's own axes stands in each place of the form, or is None if
    they stand in order; `marks` is what the file says of absent samples.
    """

    path: Path
    file: str
    array: str | None
    form: Form
    own: tuple[int, ...] | None = field(default=None, kw_only=True)
    marks: Marks = field(default=Marks(), kw_only=True)

    @property
    def name(self) -> str:
        """The file, and the array in it if there may be several."""
        return self.file if self.array is None else f"{self.file}:{self.array}"

    @property
    def place(self) -> str:
        """The part's name in errors."""
        return str(self.path) if self.array is None else f"{self.path}:{self.array}"

    def __len__(self) -> int:
        return self.form.count

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Models `start` to `stop`, (stop - start, nz, nx) or (stop - start, nz, ny, nx), depth
        first, in the file's dtype.

        Reads no other models if the format allows it. Raises OptionError for models out of range,
        InputFileError, NonFiniteError.
        """
        if not 0 <= start < stop <= len(self):
            raise OptionError(
                f"{self.place}: models: found {start} to {stop}, expected some of {len(self)}"
            )
        with reading(self.place):
            array = np.asanyarray(self._load(start, stop))
        models = self._in_place(array, (stop - start, *self.form.sizes), f"model {stop}")

        def index(place: tuple[int, ...]) -> tuple[int, ...]:
            return self._index(start, place)

        no_data = self.form.no_data
        check_finite(np.ma.filled(models, 0), self.place, index, no_data)
        check_all_present(models, self.place, index, self.marks, no_data)
        models = np.array(np.ma.getdata(models), dtype=self.form.dtype, order="C")
        if no_data is not None:
            several = "n" in self.form.axes
            check_some_present(models, no_data, self.place, start if several else None)
        return models

    def _in_place(self, array: NDArray[Any], shape: tuple[int, ...], end: str) -> NDArray[Any]:
        """A view of what was loaded, depth first and down. Raises InputFileError unless it has this
        shape, as it has if the file reaches to its `end`.
        """
        if self.own is not None:
            array = array.transpose(self.own)
        models = depth_first(array, self.form.axes)
        if self.form.z_up:
            models = models[:, ::-1]
        if models.shape != shape:
            raise InputFileError(f"{self.place}: ends before {end}, or has changed")
        return models

    def volume(self, number: int) -> NDArray[Any] | FileVolume:
        """A volume that is read part by part, its samples checked; the array if the format has it
        only whole. Raises as `read`.
        """
        if not self.reads_boxes:
            array: NDArray[Any] = self.read(number, number + 1)[0]
            return array
        nz, *across = self.form.sizes
        whole = [slice(0, size) for size in across]
        layers: dict[int, NDArray[Any]] = {}

        def planes(start: int, stop: int) -> NDArray[Any]:
            if not self.in_chunks:
                return self._box(number, (slice(start, stop), *whole))
            first = start // LAYER * LAYER
            if first not in layers:
                layers.clear()
                layer = slice(first, min(first + LAYER, nz))
                layers[first] = self._box(number, (layer, *whole))
            return layers[first][start - first : stop - first]

        def index(place: tuple[int, ...]) -> tuple[int, ...]:
            return self._index(number, (0, *place))

        ends = check_volume_samples(
            planes, self.form.sizes, self.place, index, self.marks, self.form.no_data,
            number if "n" in self.form.axes else None,
        )  # fmt: skip
        return FileVolume(self, number, ends)

    def _box(self, number: int, box: tuple[slice, ...]) -> NDArray[Any]:
        """A box (z, y, x) of a volume, unchecked, perhaps masked."""
        z, *rest = box
        if self.form.z_up:
            z = slice(self.form.nz - z.stop, self.form.nz - z.start)
        ranges = dict(zip("zyx", (z, *rest), strict=True)) | {"n": slice(number, number + 1)}
        found = [ranges[axis] for axis in self.form.axes]
        if self.own is not None:
            found = [found[self.own.index(i)] for i in range(len(found))]
        with reading(self.place):
            array = np.asanyarray(self._load_box(tuple(found)))
        shape = tuple(each.stop - each.start for each in box)
        return self._in_place(array, (1, *shape), "its samples do")[0]

    @property
    def reads_boxes(self) -> bool:
        """Whether parts of a model are read without the rest of it."""
        return False

    @property
    def in_chunks(self) -> bool:
        """Whether samples may lie in chunks, of which each is read as a whole."""
        return False

    def _index(self, start: int, place: tuple[int, ...]) -> tuple[int, ...]:
        """Where a sample (model after `start`, z, x) is in the file's array."""
        number, z, *_, x = place
        z = self.form.nz - 1 - z if self.form.z_up else z
        at = {"n": start + number, "1": 0, "z": z, "y": place[-2], "x": x}
        found = [at[axis] for axis in self.form.axes]
        return (
            tuple(found[self.own.index(i)] for i in range(len(found))) if self.own else tuple(found)
        )

    def _some(self, start: int, stop: int) -> Any:
        """The index that selects these models in the array; the whole array if it has no model
        axis.
        """
        if "n" not in self.form.axes:
            return ...
        return (*[slice(None)] * (self.own[0] if self.own else 0), slice(start, stop))

    @abstractmethod
    def _load(self, start: int, stop: int) -> NDArray[Any]:
        """These models with the array's own axes; the whole array if it has no model axis.

        May raise anything that a library raises on a broken file.
        """

    def _load_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """A range of indices along every axis of the array; only where it `reads_boxes`. May raise
        as `_load`.
        """
        raise NotImplementedError

    def sha256(self) -> bytes:
        """SHA-256 of the file, which is read for it. Raises InputFileError."""
        with reading(self.place), self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()


class FileVolume:
    """A volume in a file, in place of its array (nz, ny, nx): gives planes and boxes of it, and its
    least and greatest present sample. Where samples lie in chunks, the last planes stay in memory.

    Raises InputFileError if the file changes.
    """

    def __init__(self, part: Part, number: int, ends: tuple[Any, Any]) -> None:
        self.shape, self.dtype = part.form.sizes, np.dtype(part.form.dtype)
        self.size, self.nbytes = part.form.samples, part.form.samples * self.dtype.itemsize
        self.ends = ends
        self._part, self._number = part, number
        self._state = _state(part.path)
        self._layers: dict[int, NDArray[Any]] = {}
        self._lock = ForkableLock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | tuple[slice, ...]) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        key += (slice(None),) * (3 - len(key))
        ranges = (each.indices(size) for each, size in zip(key, self.shape, strict=True))
        z, y, x = (slice(start, max(start, stop)) for start, stop, _ in ranges)
        if z.start == z.stop or not self._part.in_chunks:
            return self._read((z, y, x))
        parts = []
        for number in range(z.start // LAYER, -(-z.stop // LAYER)):
            first = number * LAYER
            planes = slice(max(z.start - first, 0), min(z.stop - first, LAYER))
            parts.append(self._layer(number)[planes, y, x])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _layer(self, number: int) -> NDArray[Any]:
        """LAYER planes, of which the last two layers are kept."""
        with self._lock:
            if number not in self._layers:
                for old in list(self._layers)[:-1]:
                    del self._layers[old]
                stop = min((number + 1) * LAYER, self.shape[0])
                _, ny, nx = self.shape
                box = slice(number * LAYER, stop), slice(0, ny), slice(0, nx)
                self._layers[number] = self._read(box)
            return self._layers[number]

    def _read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        if _state(self._part.path) != self._state:
            raise InputFileError(f"{self._part.place}: has changed while it was read")
        array = np.ma.getdata(self._part._box(self._number, box))
        return np.ascontiguousarray(array, dtype=self.dtype)


def _state(path: Path) -> tuple[int, int]:
    """What changes with the file."""
    with reading(str(path)):
        state = path.stat()
    return state.st_size, state.st_mtime_ns


class ChunkedPart(Part):
    """A part of a file whose arrays are stored in chunks, and read by index."""

    @property
    def reads_boxes(self) -> bool:
        return True

    @property
    def in_chunks(self) -> bool:
        return True

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        return self._indexed(self._some(start, stop))

    def _load_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return self._indexed(box)

    @abstractmethod
    def _indexed(self, index: Any) -> NDArray[Any]:
        """What an index, or one for each axis, selects of the array. May raise anything."""


@dataclass(frozen=True)
class Slice(Part):
    """Models `first` to `first` + count of another part, under the same name."""

    whole: Part
    first: int

    def read(self, start: int, stop: int) -> NDArray[Any]:
        return self.whole.read(self.first + start, self.first + stop)

    def volume(self, number: int) -> NDArray[Any] | FileVolume:
        return self.whole.volume(self.first + number)

    def _load(self, start: int, stop: int) -> NDArray[Any]:
        return self.whole._load(self.first + start, self.first + stop)

    def sha256(self) -> bytes:
        return self.whole.sha256()


def first_of(part: Part) -> int:
    """The number that a part's first model has in its array."""
    return part.first + first_of(part.whole) if isinstance(part, Slice) else 0


def slice_part(part: Part, start: int, stop: int) -> Part:
    """Models `start` to `stop` of a part, as a part."""
    if (start, stop) == (0, part.form.count):
        return part
    some = part.form.part(start, stop)
    return Slice(part.path, part.file, part.array, some, part, start)


@dataclass(frozen=True)
class Models:
    """Models of one or many files in order, numbered consecutively; `listed` if a folder or a
    pattern gave the files.
    """

    parts: tuple[Part, ...]
    listed: bool = False

    @property
    def need_names(self) -> bool:
        """Whether writing the models as they were takes the files' names."""
        return self.listed or len(self.parts) > 1

    def __len__(self) -> int:
        return self._ends[-1] if self.parts else 0

    @lazy_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(part) for part in self.parts))

    def read(self, start: int, stop: int) -> Iterator[tuple[Part, NDArray[Any]]]:
        """Models `start` to `stop` in pieces, each with its part.

        Raises what `Part.read` does, when it reaches the piece.
        """
        for part, first, last in self._pieces(start, stop):
            yield part, part.read(first, last)

    def read_in_parts(
        self, start: int, stop: int
    ) -> Iterator[tuple[Part, Sequence[NDArray[Any] | FileVolume]]]:
        """As `read`, with volumes that are read part by part where their format allows."""
        for part, first, last in self._pieces(start, stop):
            if part.form.ny is None:
                yield part, list(part.read(first, last))
            else:
                yield part, [part.volume(number) for number in range(first, last)]

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[Part, int, int]]:
        """The parts that hold some models, and the range of them in each."""
        if not 0 <= start < stop <= len(self):
            raise OptionError(f"models: found {start} to {stop}, expected some of {len(self)}")
        number = bisect_right(self._ends, start)
        while start < stop:
            part, end = self.parts[number], self._ends[number]
            first = end - len(part)
            yield part, start - first, min(stop, end) - first
            start, number = end, number + 1

    def slice(self, start: int, stop: int) -> Models:
        """Models `start` to `stop`; nothing is read."""
        found, first = [], 0
        for part in self.parts:
            a, b = max(start - first, 0), min(stop - first, len(part))
            if a < b:
                found.append(slice_part(part, a, b))
            first += len(part)
        return replace(self, parts=tuple(found))

    def without_keys(self) -> Models:
        """The same models without keys."""
        forms = ((part, replace(part.form, keys=None)) for part in self.parts)
        return replace(self, parts=tuple(replace(part, form=form) for part, form in forms))

    def sha256(self) -> bytes:
        """SHA-256 of the file, or of the concatenated SHA-256 of several."""
        files = {part.path: part for part in self.parts}
        hashes = [part.sha256() for part in files.values()]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256(b"".join(hashes)).digest()


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever a library raises on a file into one InputFileError that names it."""
    try:
        yield
    except VelcodecError:
        raise
    except OSError as error:
        raise InputFileError(f"{name}: {error.strerror or first_line(error)}") from error
    except Exception as error:
        raise InputFileError(f"{name}: cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
