"""One chunk of an array as an archive's bytes: shared by the zarr and numcodecs codecs.

A chunk is one model (nz, nx), or models (n, nz, nx) or (n, 1, nz, nx); with `volume` (nz, ny, nx)
or (n, nz, ny, nx). The target holds for the
samples as written. Depends on neither library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.api import decompress, encode
from velcodec.effort import DEFAULT_EFFORT, effort_of
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target, plain_number
from velcodec.formats.container.header import UNITS, VOLUME_ORDERS
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.errors import CorruptError, InputShapeError, OptionError
from velcodec.formats.extras import need_torch
from velcodec.formats.files.npy import ORDERS, as_models
from velcodec.resolution import LARGE_CELLS

MEMORY, FORTRAN = "memory_order", "F"
"""Key and value that mark an archive of a chunk in Fortran memory order."""


@dataclass(frozen=True)
class ChunkCoding:
    """How every chunk is coded. Options as for `velcodec.compress`, with one target: 35 dB by
    default. Raises OptionError.

    Independent of the machine: it is stored beside the chunks and read elsewhere.
    """

    psnr: float | None = None
    max_error: float | None = None
    lossless: bool = False
    units: str | None = None
    order: str = "zx"
    effort: int = DEFAULT_EFFORT
    decoder: str | None = None
    volume: bool = False

    def __post_init__(self) -> None:
        for name in ("psnr", "max_error"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, plain_number(value, name))
        if not isinstance(self.lossless, bool):
            raise OptionError(f"lossless: expected true or false, found {self.lossless!r}")
        if not (self.decoder is None or isinstance(self.decoder, str)):
            raise OptionError(f"decoder: expected a name, hash or path, found {self.decoder!r}")
        if not isinstance(self.volume, bool):
            raise OptionError(f"volume: expected true or false, found {self.volume!r}")
        orders = ("zx", *VOLUME_ORDERS) if self.volume else ORDERS
        for name, known in (("units", UNITS), ("order", orders)):
            value = getattr(self, name)
            if value not in known and not (name == "units" and value is None):
                raise OptionError(f"{name}: expected one of {known}, found {value!r}")
        effort_of(self.effort)
        Target(self.psnr, self.max_error, self.lossless)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; defaults are left out."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ChunkCoding:
        """The inverse of `to_dict`. Raises OptionError for an unknown key."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(data.keys() - set(known))
        if unknown:
            raise OptionError(
                f"codec velcodec: found {', '.join(unknown)}, expected only {', '.join(known)}"
            )
        return cls(**data)

    def check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise InputShapeError, InputDtypeError or EmptyInputError if chunks of this shape and
        dtype cannot hold models.
        """
        _check_size(shape)
        none = np.broadcast_to(np.uint8(0), shape)  # takes no memory
        order = "zyx" if self.volume else "zx"
        as_models(none, name="chunk", padded=True, volume=self.volume, order=order)
        as_models(np.zeros((1, 1), dtype), name="chunk")

    def encode(self, chunk: NDArray[Any]) -> bytes:
        """The bytes of an archive, which records the memory order: zarr's format 2 recognises
        arrays in Fortran order by that alone.

        Raises what `velcodec.compress` raises, and InputShapeError for more samples than are
        decoded unasked.
        """
        need_torch("codec velcodec: encoding")
        _check_size(chunk.shape)
        user = {MEMORY: FORTRAN} if in_fortran_order(chunk) else {}
        description = Description(units=self.units, order=self.order, user=user, volume=self.volume)
        target = Target(self.psnr, self.max_error, self.lossless)
        coding = Coding(target, self.effort, self.decoder)
        # Chunks at the array's edge are padded with the fill value, which is no velocity.
        return encode(chunk, description, coding, advise=False, padded=True).data

    def decode(self, data: bytes) -> NDArray[np.generic]:
        """The chunk with its original shape, dtype, axis order and memory order.

        Raises what `velcodec.decompress` raises.
        """
        noted = VlatReader(data).header.user.get(MEMORY)
        models = decompress(data, decoder=self.decoder)
        return np.asarray(models, order="F" if noted == FORTRAN else "C")


def _check_size(shape: tuple[int, ...]) -> None:
    if prod(shape) > LARGE_CELLS:
        raise InputShapeError(
            f"chunk: found shape {shape}, expected at most {LARGE_CELLS:,} samples, which are read "
            "together"
        )


def in_fortran_order(chunk: NDArray[Any]) -> bool:
    """Whether an array is in Fortran order and not also in C order."""
    return chunk.flags.f_contiguous and not chunk.flags.c_contiguous


def check_chunk(chunk: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise CorruptError unless a decoded chunk has the shape and dtype that its array needs."""
    native = dtype.newbyteorder("=")
    if chunk.shape != shape or chunk.dtype.newbyteorder("=") != native:
        raise CorruptError(
            f"chunk: found {chunk.dtype} {chunk.shape}, expected {dtype} {shape} like the array"
        )
