"""zarr's codec `velcodec`: arrays of velocity models coded to a target.

    zarr.create_array(
        store, shape=(n, 70, 70), chunks=(100, 70, 70), dtype="float32",
        serializer=VelcodecCodec(max_error=10.0), compressors=None,
    )

Every chunk is a separate `.vlat` archive. The target holds for samples written together: writing
part of a chunk decodes the rest and encodes it again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from velcodec.effort import DEFAULT_EFFORT
from velcodec.formats.extras import from_extra
from velcodec.interop.chunks import ChunkCoding, check_chunk

with from_extra("zarr"):
    from zarr.abc.codec import ArrayBytesCodec
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

if TYPE_CHECKING:
    from zarr.core.common import JSON

NAME = "velcodec"


@dataclass(frozen=True)
class VelcodecCodec(ArrayBytesCodec):
    """Serializer of chunks (nz, nx), (n, nz, nx) or (n, 1, nz, nx) of velocities, or, with
    `volume`, (nz, ny, nx) or (n, nz, ny, nx).

    Options as for `velcodec.compress`; at most one of `psnr`, `max_error` (m/s) and `lossless`.
    They are stored in the array's metadata. Raises OptionError.
    """

    is_fixed_size = False

    coding: ChunkCoding

    def __init__(
        self,
        *,
        psnr: float | None = None,
        max_error: float | None = None,
        lossless: bool = False,
        units: str | None = None,
        order: str = "zx",
        effort: int = DEFAULT_EFFORT,
        decoder: str | None = None,
        volume: bool = False,
    ) -> None:
        coding = ChunkCoding(psnr, max_error, lossless, units, order, effort, decoder, volume)
        object.__setattr__(self, "coding", coding)

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        configuration: Any = data.get("configuration") or {}
        return cls(**ChunkCoding.from_dict(configuration).to_dict())

    def to_dict(self) -> dict[str, JSON]:
        return {"name": NAME, "configuration": self.coding.to_dict()}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse an array whose chunks cannot hold models, before it is created."""
        chunk = getattr(chunk_grid, "chunk_shape", shape)
        self.coding.check(tuple(chunk), dtype.to_native_dtype())

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        data = self.coding.encode(chunk_array.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        chunk = self.coding.decode(chunk_bytes.to_bytes())
        check_chunk(chunk, chunk_spec.shape, dtype)
        native = np.ascontiguousarray(chunk, dtype=dtype)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(native)

    # In a thread, so that the event loop can read and write other chunks meanwhile.
    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before the chunk is encoded."""
        raise NotImplementedError
