"""NumPy's `.npy`: reads and writes arrays of models, never a pickle.

Also holds the checks that any array of models must pass, from a file or from memory.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.header import UNITS, VOLUME_ORDERS
from velcodec.formats.errors import (
    EmptyInputError,
    InputDtypeError,
    InputFileError,
    InputShapeError,
    NonFiniteError,
    OptionError,
)
from velcodec.formats.files.absent import check_all_present
from velcodec.formats.files.checks import NAN_AS_ABSENT, check_volume_samples
from velcodec.formats.no_data import NoData, check_some_present, find_absent, no_data_of
from velcodec.formats.storage.safe_read import private_bytes
from velcodec.formats.storage.special_files import check_readable

ORDERS = ("zx", "xz")
ACCEPTED = "float32, float64 or integers of at most 64 bits"
AXES_OF_NDIM = {2: "zx", 3: "nzx", 4: "n1zx"}
MODELS_AT_ONCE = 256
MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000


@dataclass(frozen=True)
class ModelArray:
    """Checked models: a view (n, nz, nx), or (n, nz, ny, nx) of volumes, depth first whatever the
    array's order; or a sequence of volumes, perhaps of `FileVolume`s, in its place.

    `axes` names the array's own axes ("n1xz": models, singleton, x, z); `sha256` is that of the
    source file or None; `units_stated` says whether the caller gave units, `z_up` whether the
    array's rows go up.
    """

    models: NDArray[np.generic]
    axes: str
    dtype: np.dtype[Any]
    units: str = "m/s"
    sha256: bytes | None = None
    name: str = "array"
    units_stated: bool = True
    z_up: bool = False


def as_models(
    array: NDArray[Any], *, order: str = "zx", units: str | None = None, name: str = "array",
    sha256: bytes | None = None, padded: bool = False, no_data: NoData | None = None,
    volume: bool = False,
) -> ModelArray:  # fmt: skip
    """Check an array (nz, nx), (n, nz, nx) or (n, 1, nz, nx) and view it as (n, nz, nx). Units
    default to m/s; samples of the value `no_data` (nan or a number) are absent.

    A `padded` array is a piece of one: of any shape, with no-data values. A `volume` is (nz, ny,
    nx) or (n, nz, ny, nx), viewed as the latter. Raises InputShapeError,
    InputDtypeError, EmptyInputError, NonFiniteError, NoDataError, OptionError.
    """
    if volume:
        return _as_volumes(array, order, units, name, sha256, no_data, padded)
    check_order(order, False)
    stated, units = units is not None, "m/s" if units is None else units
    check_option("units", units, UNITS)
    check_dtype(array.dtype, name)
    axes = check_shape(array.shape, name)
    absent = no_data_of(no_data, array.dtype, name)
    _check_finite(array, name, absent)
    if not padded:
        check_last_axis(array.shape, name)
        rows = array if array.ndim > 2 else array[None]
        for first in range(0, len(rows), MODELS_AT_ONCE):
            check_all_present(
                rows[first : first + MODELS_AT_ONCE],
                name,
                lambda at, first=first: (  # type: ignore[misc]
                    (at[0] + first, *at[1:]) if array.ndim > 2 else at[1:]
                ),
                no_data=absent,
            )
    models = array.reshape(-1, *array.shape[-2:])
    if absent is not None:
        check_some_present(models, absent, name, None if array.ndim == 2 else 0)
    if order == "xz":
        models, axes = models.swapaxes(1, 2), axes.replace("zx", "xz")
    return ModelArray(models, axes, array.dtype, units, sha256, name, stated)


def _as_volumes(
    array: NDArray[Any], order: str, units: str | None, name: str, sha256: bytes | None,
    no_data: NoData | None, padded: bool,
) -> ModelArray:  # fmt: skip
    """The volumes of an array; see `as_models`."""
    stated, units = units is not None, "m/s" if units is None else units
    check_option("units", units, UNITS)
    check_order(order, True)
    check_dtype(array.dtype, name)
    axes = check_volume(array.shape, name) + order
    absent = no_data_of(no_data, array.dtype, name)
    volumes = array if "n" in axes else array[None]
    for number, volume in enumerate(volumes):

        def index(place: tuple[int, ...], number: int = number) -> tuple[int, ...]:
            return (number, *place) if "n" in axes else place

        which = number if "n" in axes else None
        check_volume_samples(
            lambda start, stop, volume=volume: volume[start:stop],  # type: ignore[misc]
            volume.shape, name, index, no_data=absent, number=which, padded=padded,
        )  # fmt: skip
    volumes = volumes.transpose(0, *(1 + order.index(axis) for axis in "zyx"))
    return ModelArray(volumes, axes, array.dtype, units, sha256, name, stated)


def read_models(
    path: str | Path, *, order: str = "zx", units: str | None = None,
    no_data: NoData | None = None, volume: bool = False,
) -> ModelArray:  # fmt: skip
    """The models of a `.npy` file, in a copy that later changes of the file cannot affect; `units`,
    `no_data` and `volume` as for `as_models`.

    Raises InputFileError and what `as_models` does.
    """
    path = Path(path)
    try:
        check_readable(path)
        with path.open("rb") as stream:
            start = stream.read(len(MAGIC))
        if start != MAGIC:
            kind = "an .npz archive" if start.startswith(b"PK") else repr(start)
            raise InputFileError(f"{path}: found {kind}, expected a .npy file")
        array = load_mapped(path)
        data = private_bytes(path)
        digest = hashlib.sha256(data).digest()
        if isinstance(array, np.memmap):
            array = _in_copy(data, array, path)
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror or error}") from error
    return as_models(
        array, order=order, units=units, name=str(path), sha256=digest, no_data=no_data,
        volume=volume,
    )  # fmt: skip


def _in_copy(data: bytes | mmap, array: np.memmap[Any, Any], path: Path) -> NDArray[Any]:
    """The mapped array's counterpart in a copy of the file's bytes."""
    offset = array.offset
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    if len(data) < offset + array.nbytes:
        raise InputFileError(f"{path}: was cut off while it was read")
    return np.ndarray(array.shape, array.dtype, data, offset, order=order)


def load_mapped(path: Path) -> NDArray[Any]:
    """The array of a `.npy` file, memory-mapped: for its shape and dtype only, because touching a
    sample kills the process if the file was truncated meanwhile (see `safe_read`).

    Raises InputFileError, InputDtypeError, OSError.
    """
    with path.open("rb") as stream:
        check_header_length(stream, str(path))
    try:
        with np.errstate(all="raise"):  # a shape whose product overflows
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    # NumPy evaluates a header as Python source: a broken one may raise any parser error.
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "Python objects" in first:
            raise InputDtypeError(f"{path}: dtype: found objects, expected {ACCEPTED}") from error
        raise InputFileError(f"{path}: not a whole .npy file: {first}") from error
    end, size = getattr(array, "offset", 0) + array.nbytes, path.stat().st_size
    if size > end and array.size:
        raise InputFileError(
            f"{path}: found {size - end} bytes behind the array of shape {array.shape}, expected "
            "the end: a .npy file holds one array"
        )
    return array


def check_header_length(stream: IO[bytes], name: str) -> bytes:
    """The bytes before the header of a `.npy` file: magic, version, length. Raises InputFileError
    for a header longer than NumPy accepts, which NumPy would read before it checks.
    """
    start = stream.read(len(MAGIC) + 2)
    start += stream.read(2 if start[len(MAGIC) :][:1] == b"\x01" else 4)
    length = int.from_bytes(start[len(MAGIC) + 2 :], "little")
    if start.startswith(MAGIC) and length > MAX_HEADER_BYTES:
        raise InputFileError(
            f"{name}: found a header of {length} bytes, expected at most {MAX_HEADER_BYTES}"
        )
    return start


class NpyWriter:
    """Writes one `.npy` array, version 1.0, in parts along its first axis.

    The first size of `shape` may be None: it is filled in at the end, for which the stream must be
    seekable. Otherwise nothing seeks. Raises InputDtypeError for dtypes that models cannot have;
    above all objects, which would be pickled.
    """

    def __init__(
        self, stream: BinaryIO, shape: tuple[int | None, ...], dtype: str | np.dtype[Any]
    ) -> None:
        self.dtype = np.dtype(dtype)
        check_dtype(self.dtype, "array")
        self._stream, self._sizes, self._written = stream, shape, 0
        self._open = bool(shape) and shape[0] is None
        self._start = stream.tell() if self._open else 0
        self._put_head()

    def _put_head(self) -> None:
        about = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        # NumPy leaves room for the digits of any first size.
        np.lib.format.write_array_header_1_0(self._stream, about)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array; if its first size is not known yet, of what was written so far."""
        rest = tuple(size for size in self._sizes if size is not None)
        return (self._written // math.prod(rest), *rest) if self._open else rest

    def add(self, parts: Iterable[NDArray[Any]]) -> None:
        """Append arrays in order. Raises InputShapeError for more samples than the shape has."""
        for part in parts:
            self._written += part.size
            if not self._open and self._left < 0:
                raise InputShapeError(f"array: found more samples than shape {self.shape} has")
            self._stream.write(np.ascontiguousarray(part, dtype=self.dtype).tobytes())

    @property
    def _left(self) -> int:
        return math.prod(self.shape) - self._written

    def close(self) -> None:
        """Finish the array. Raises InputShapeError unless all samples of the shape were written."""
        if self._left:
            raise InputShapeError(
                f"array: found {self._left} samples fewer than shape {self.shape} has"
            )
        if self._open:
            end = self._stream.tell()
            self._stream.seek(self._start)
            self._put_head()
            self._stream.seek(end)


def write_models(stream: BinaryIO, array: NDArray[Any]) -> None:
    """Write one array as `.npy`."""
    writer = NpyWriter(stream, array.shape, array.dtype)
    writer.add([array])
    writer.close()


def check_order(order: str, volume: bool) -> None:
    """Raise OptionError unless the order is one of volumes, or of sections."""
    if not volume and order in VOLUME_ORDERS:
        raise OptionError(
            f"order: found {order!r} for sections, expected zx or xz: for volumes say --volume "
            "(volume=True)"
        )
    check_option("order", order, VOLUME_ORDERS if volume else ORDERS)


def check_option(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise OptionError for a value that is not in `known`."""
    if value not in known:
        raise OptionError(f"{name}: found {value!r}, expected one of {known}")


def check_shape(shape: tuple[int, ...], name: str) -> str:
    """The axes of an array of models of this shape, depth before distance.

    Raises InputShapeError, EmptyInputError.
    """
    if len(shape) not in AXES_OF_NDIM:
        raise InputShapeError(
            f"{name}: shape: found {shape}, expected (nz, nx), (n, nz, nx) or "
            "(n, 1, nz, nx); 3-D models are taken with --volume (volume=True)"
        )
    if len(shape) == 4 and shape[1] != 1:
        raise InputShapeError(
            f"{name}: shape: found {shape}, expected a second axis of 1 in (n, 1, nz, nx); "
            "3-D models are taken with --volume (volume=True)"
        )
    if 0 in shape:
        raise EmptyInputError(f"{name}: shape: found {shape}, expected at least one sample")
    return AXES_OF_NDIM[len(shape)]


def check_volume(shape: tuple[int, ...], name: str) -> str:
    """The axis before the spatial ones: n for volumes of this shape, none for one.

    Raises InputShapeError, EmptyInputError.
    """
    if len(shape) not in (3, 4):
        raise InputShapeError(
            f"{name}: shape: found {shape}, expected (nz, ny, nx) or (n, nz, ny, nx) of volumes"
        )
    if 0 in shape:
        raise EmptyInputError(f"{name}: shape: found {shape}, expected at least one sample")
    return "n" if len(shape) == 4 else ""


def check_last_axis(shape: tuple[int, ...], name: str) -> None:
    """Raise InputShapeError for (n, m, 1), which may be n models or one model
    with a trailing axis.
    """
    if len(shape) == 3 and shape[2] == 1 and min(shape[:2]) > 1:
        n, m = shape[:2]
        raise InputShapeError(
            f"{name}: shape: found {shape}, which is one model of {n} x {m} or {n} models of "
            f"{m} x 1; expected {(n, m)} or {(n, 1, m, 1)}"
        )


def check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Raise InputDtypeError for a dtype that models cannot have."""
    floating = dtype.kind == "f" and dtype.itemsize in (4, 8)
    if not (floating or dtype.kind in "iu"):
        raise InputDtypeError(f"{name}: dtype: found {dtype}, expected {ACCEPTED}")


def _check_finite(array: NDArray[Any], name: str, no_data: NoData | None) -> None:
    if array.dtype.kind != "f":
        return
    rows = array if array.ndim > 2 else array[None]
    for first in range(0, len(rows), MODELS_AT_ONCE):
        part = rows[first : first + MODELS_AT_ONCE]
        bad = ~np.isfinite(part)
        if no_data is not None:
            bad &= ~find_absent(part, no_data)
        if bad.any():
            place = np.argwhere(bad)[0]
            value = part[tuple(place)]
            place[0] += first
            position = tuple(int(i) for i in (place if array.ndim > 2 else place[1:]))
            more = NAN_AS_ABSENT if np.isnan(value) else ""
            raise NonFiniteError(
                f"{name}: found {value} at index {position}, expected finite velocities{more}"
            )
