"""numcodecs' codec `velcodec`: arrays of velocity models to bytes and back, to a target.

For version 2 of zarr's format, kerchunk and other users of numcodecs. Unlike most numcodecs codecs
it needs shapes: its input and output are whole arrays of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from velcodec.effort import DEFAULT_EFFORT
from velcodec.formats.extras import from_extra
from velcodec.interop.chunks import ChunkCoding, check_chunk

with from_extra("zarr"):
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_bytes


class Velcodec(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Encodes arrays (nz, nx), (n, nz, nx) or (n, 1, nz, nx), or, with `volume`, (nz, ny, nx) or
    (n, nz, ny, nx); the bytes are a `.vlat` archive.

    Options as for `velcodec.compress`; at most one of `psnr`, `max_error` (m/s) and `lossless`.
    Raises OptionError.
    """

    codec_id: ClassVar[str] = "velcodec"

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
        self._coding = ChunkCoding(psnr, max_error, lossless, units, order, effort, decoder, volume)

    def encode(self, buf: Any) -> bytes:
        """The bytes of an archive. Raises what `velcodec.compress` raises."""
        return self._coding.encode(np.asarray(buf))

    def decode(self, buf: Any, out: Any = None) -> NDArray[np.generic]:
        """The original array; written into `out`, of the same shape and dtype, if given.

        Raises what `velcodec.decompress` raises, and CorruptError for another `out`.
        """
        chunk = self._coding.decode(ensure_bytes(buf))
        if out is None:
            return chunk
        target: NDArray[np.generic] = np.asarray(out)
        check_chunk(chunk, target.shape, target.dtype)
        np.copyto(target, chunk)
        return target

    def get_config(self) -> dict[str, Any]:
        return {"id": self.codec_id, **self._coding.to_dict()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**ChunkCoding.from_dict(config).to_dict())

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._coding.to_dict().items())
        return f"{type(self).__name__}({options})"
