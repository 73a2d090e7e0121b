"""One chunk of an array as the bytes of an archive: what zarr's and numcodecs' codecs share.

A chunk is one model (nz, nx), or models (n, nz, nx) or (n, 1, nz, nx), whole: what is promised of
its samples holds for what was written. It knows neither library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.api import Coding, Description, decompress, encode
from velcodec.encode.target import Target, plain_number
from velcodec.formats.container.header import UNITS
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.errors import CorruptError, OptionError
from velcodec.formats.files.npy import ORDERS, as_models

FITS = ("lm", "adam", "amortised")

MEMORY, FORTRAN = "memory_order", "F"
"""The note that an archive has of a chunk whose samples lie in memory in Fortran's order."""


@dataclass(frozen=True)
class ChunkCoding:
    """How every chunk is stored; options as for `velcodec.compress`, and like there one promise:
    35 dB where nothing else is asked for. Raises OptionError.

    Nothing in it is about the machine: it is stored beside the chunks and read on another one.
    """

    psnr: float | None = None
    max_error: float | None = None
    lossless: bool = False
    units: str | None = None
    order: str = "zx"
    fit: str = "lm"
    decoder: str | None = None

    def __post_init__(self) -> None:
        for name in ("psnr", "max_error"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, plain_number(value, name))
        if not isinstance(self.lossless, bool):
            raise OptionError(f"lossless: expected true or false, found {self.lossless!r}")
        if not (self.decoder is None or isinstance(self.decoder, str)):
            raise OptionError(f"decoder: expected a name, hash or path, found {self.decoder!r}")
        for name, known in (("units", UNITS), ("order", ORDERS), ("fit", FITS)):
            value = getattr(self, name)
            if value not in known and not (name == "units" and value is None):
                raise OptionError(f"{name}: expected one of {known}, found {value!r}")
        Target(self.psnr, self.max_error, self.lossless)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what is as it is by default is left out."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChunkCoding:
        """The inverse of `to_dict`. Raises OptionError for what it does not know."""
        unknown = sorted(data.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise OptionError(f"codec velcodec: found {', '.join(unknown)}, which it does not know")
        return cls(**data)

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise InputShapeError, InputDtypeError or EmptyInputError where chunks of this shape and
        dtype hold no models.
        """
        as_models(np.broadcast_to(np.uint8(0), shape), name="chunk", padded=True)  # no memory
        as_models(np.zeros((1, 1), dtype), name="chunk")

    def encode(self, chunk: NDArray[Any]) -> bytes:
        """The bytes of an archive; what order its samples have in memory is noted in it, since
        zarr's format 2 tells its arrays of Fortran order from others by that alone.

        Raises what `velcodec.compress` raises.
        """
        user = {MEMORY: FORTRAN} if in_fortran_order(chunk) else {}
        about = Description(units=self.units, order=self.order, user=user)
        how = Coding(Target(self.psnr, self.max_error, self.lossless), self.fit, self.decoder)
        # A chunk is no file of models: edges are padded with the fill value, which is no velocity.
        return encode(chunk, about, how, advise=False, padded=True).data

    def decode(self, data: bytes) -> NDArray[np.generic]:
        """The chunk as it went in: shape, dtype, order of axes, order in memory.

        Raises what `velcodec.decompress` raises.
        """
        noted = VlatReader(data).header.user.get(MEMORY)
        found = decompress(data, decoder=self.decoder)
        return np.asarray(found, order="F" if noted == FORTRAN else "C")


def in_fortran_order(chunk: NDArray[Any]) -> bool:
    """Whether an array's first axis is the fastest in memory, and only that can be said of it."""
    return chunk.flags.f_contiguous and not chunk.flags.c_contiguous


def check_chunk(chunk: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise CorruptError unless a chunk that was read is what its place in an array needs."""
    native = dtype.newbyteorder("=")
    if chunk.shape != shape or chunk.dtype.newbyteorder("=") != native:
        raise CorruptError(
            f"chunk: found {chunk.dtype} {chunk.shape}, expected {dtype} {shape} as the array has"
        )
