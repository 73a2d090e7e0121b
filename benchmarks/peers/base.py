"""The interface of the benchmark's codecs, `Peer`, and parts that several of them share."""

from __future__ import annotations

import importlib.util
import math
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Models = NDArray[np.float32]
"""(n, nz, nx), m/s."""

Plane = NDArray[np.float32]
"""(nz, nx), m/s."""

Stored = list[bytes] | bytes
"""One stream for each model, or one archive of all."""

SLOWEST, FASTEST = 1500.0, 4500.0
"""m/s; the range that codecs assume: that of OpenFWI's labels."""


class CannotKeepError(Exception):
    """A codec cannot satisfy a setting; the benchmark omits the row."""


@dataclass(frozen=True)
class Setting:
    """A codec's target.

    "lossy": the codec's own parameter. "bound": the largest allowed error, m/s. "lossless": every
    bit.
    """

    kind: Literal["lossy", "bound", "lossless"]
    value: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind == "lossless" else f"{self.value:.6g}"


@dataclass(frozen=True)
class Known:
    """What a codec knows at no cost: shape (n, nz, nx) and range, m/s."""

    shape: tuple[int, int, int]
    low: float = SLOWEST
    high: float = FASTEST

    @classmethod
    def of(cls, models: Models) -> Known:
        """The usual range, widened to whole m/s if models exceed it (in favour of peers)."""
        count, nz, nx = models.shape
        low, high = math.floor(float(models.min())), math.ceil(float(models.max()))
        return cls((count, nz, nx), min(SLOWEST, low), max(FASTEST, high))

    def with_shape(self, shape: tuple[int, ...]) -> Known:
        """The same range at another (n, nz, nx)."""
        count, nz, nx = shape
        return Known((count, nz, nx), self.low, self.high)

    def to_codes(self, values: NDArray[np.floating], top: int) -> NDArray[np.int64]:
        """Values as integers 0 to `top` over the range, rounded to nearest."""
        scaled = (np.asarray(values, np.float64) - self.low) * (top / (self.high - self.low))
        return np.rint(scaled).clip(0, top).astype(np.int64)

    def to_values(self, codes: NDArray[np.integer], top: int) -> NDArray[np.float32]:
        """The inverse of `to_codes`, m/s."""
        return (self.low + codes.astype(np.float64) * ((self.high - self.low) / top)).astype("f4")


class Peer(ABC):
    """A codec. `lossy` are the settings of its curve, in order of increasing bytes.

    `needs` are required modules and `programs` required commands; `fewest` is the least number of
    models; `whole` says that settings are integers; `ideal` that sizes are code lengths, not bytes.
    """

    name: str
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    lossy: tuple[float, ...] = ()
    bounded: bool = False
    lossless: bool = False
    whole: bool = False
    fewest: ClassVar[int] = 1
    ideal: ClassVar[bool] = False

    @abstractmethod
    def encode(self, models: Models, known: Known, setting: Setting) -> Stored:
        """All bytes that `decode` needs beside `known`. Raises CannotKeepError."""

    @abstractmethod
    def decode(self, stored: Stored, known: Known) -> Models:
        """The decoded models."""

    def sizes(self, stored: Stored, known: Known) -> NDArray[np.float64]:
        """Bytes of each model, (n,); an archive's bytes are divided equally."""
        if isinstance(stored, bytes):
            return np.full(known.shape[0], len(stored) / known.shape[0])
        return np.array([len(stream) for stream in stored], dtype=np.float64)

    def missing(self) -> list[str]:
        """Names of `needs` and `programs` that are not installed."""
        modules = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return modules + [name for name in self.programs if shutil.which(name) is None]

    def between(self, few: float, many: float) -> float | None:
        """A setting between two, or None."""
        middle = math.sqrt(few * many)
        if not self.whole:
            return middle
        middle = round(middle)
        if middle in (few, many):
            middle = round((few + many) / 2)
        return None if middle in (few, many) else middle


class PlaneCodec(ABC):
    """A codec of one 2-D plane; `Streams` and `Mosaic` make peers of it. Fields as in `Peer`."""

    name: str
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    lossy: tuple[float, ...] = ()
    bounded: bool = False
    lossless: bool = False
    whole: bool = False

    @abstractmethod
    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        """All bytes that `decode` needs beside the plane's shape and range."""

    @abstractmethod
    def decode(self, stream: bytes, known: Known) -> Plane:
        """The plane of shape known.shape[1:], m/s."""


class _OfPlanes(Peer):
    def __init__(self, codec: PlaneCodec) -> None:
        self.codec = codec
        self.needs, self.programs = codec.needs, codec.programs
        self.lossy, self.whole = codec.lossy, codec.whole
        self.bounded, self.lossless = codec.bounded, codec.lossless


class Streams(_OfPlanes):
    """One stream for each model."""

    def __init__(self, codec: PlaneCodec) -> None:
        super().__init__(codec)
        self.name = codec.name

    def encode(self, models: Models, known: Known, setting: Setting) -> list[bytes]:
        return [self.codec.encode(model, known, setting) for model in models]

    def decode(self, stored: Stored, known: Known) -> Models:
        return np.stack([self.codec.decode(stream, known) for stream in streams_of(stored)])


class Mosaic(_OfPlanes):
    """All models side by side in one plane, sharing headers and adaptive contexts."""

    def __init__(self, codec: PlaneCodec) -> None:
        super().__init__(codec)
        self.name = f"{codec.name}, mosaic"

    def encode(self, models: Models, known: Known, setting: Setting) -> bytes:
        plane = to_mosaic(models)
        return self.codec.encode(plane, known.with_shape((1, *plane.shape)), setting)

    def decode(self, stored: Stored, known: Known) -> Models:
        count, nz, nx = known.shape
        rows, columns = mosaic_grid(count)
        one = known.with_shape((1, rows * nz, columns * nx))
        return from_mosaic(self.codec.decode(archive_of(stored), one), known.shape)


def mosaic_grid(count: int) -> tuple[int, int]:
    """(rows, columns), nearly square, with few empty places."""
    most = math.isqrt(count)
    rows = min(range(max(1, most // 2), most + 1), key=lambda rows: (-count % rows, -rows))
    return rows, -(-count // rows)


def to_mosaic(models: Models) -> Plane:
    """(n, nz, nx) to one plane; empty places repeat the last model, the cheapest filling."""
    count, nz, nx = models.shape
    rows, columns = mosaic_grid(count)
    places = np.minimum(np.arange(rows * columns), count - 1)
    grid = models[places].reshape(rows, columns, nz, nx)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3)).reshape(rows * nz, columns * nx)


def from_mosaic(plane: Plane, shape: tuple[int, int, int]) -> Models:
    """The inverse of `to_mosaic`: models (n, nz, nx)."""
    count, nz, nx = shape
    rows, columns = mosaic_grid(count)
    grid = plane.reshape(rows, nz, columns, nx).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grid).reshape(rows * columns, nz, nx)[:count]


def streams_of(stored: Stored) -> list[bytes]:
    """`stored`, which must be one stream for each model."""
    assert not isinstance(stored, bytes)
    return stored


def archive_of(stored: Stored) -> bytes:
    """`stored`, which must be one archive."""
    assert isinstance(stored, bytes)
    return stored


def geometric(first: float, last: float, count: int) -> tuple[float, ...]:
    """`count` numbers from first to last in geometric progression."""
    return tuple(float(value) for value in np.geomspace(first, last, count))
