"""The codecs of volumes, each behind one interface."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Volume


class CannotKeepError(Exception):
    """A codec cannot keep a promise; the benchmark leaves the figure out."""


class Codec(ABC):
    """A codec of one volume. `needs` are modules that it imports.

    `within(volume, v)` codes with the codec's own parameter v: the largest error in m/s, or what is
    closest to it; coarser with greater v. `bounded` says that v bounds every error, `lossy` that
    there is a v.
    """

    name: str
    needs: tuple[str, ...] = ()
    bounded = True
    lossless = False
    lossy = True

    @abstractmethod
    def within(self, volume: Volume, value: float) -> bytes:
        """All bytes that `decode` needs beside the shape."""

    @abstractmethod
    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        """The volume, m/s."""

    def exactly(self, volume: Volume) -> bytes:
        """A stream of every bit. Raises CannotKeepError."""
        raise CannotKeepError(f"{self.name} has no lossless mode")

    def missing(self) -> list[str]:
        """Names of `needs` that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


class Sperr(Codec):
    """SPERR 3-D within a pointwise bound."""

    name = "SPERR"
    needs = ("imagecodecs",)

    def within(self, volume: Volume, value: float) -> bytes:
        import imagecodecs

        return bytes(imagecodecs.sperr_encode(volume, value, "pwe", numthreads=1))

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        import imagecodecs

        # The decoder reads slightly beyond the end: a view leaves room there.
        view = np.frombuffer(stream + bytes(64), np.uint8)[: len(stream)]
        found = imagecodecs.sperr_decode(view, shape=shape, dtype="f4", numthreads=1)
        return np.asarray(found, np.float32).reshape(shape)


class SperrMean(Sperr):
    """SPERR at a PSNR, without the outliers that a bound corrects; values are RMS errors, m/s."""

    name = "SPERR, mean error"
    bounded = False

    def within(self, volume: Volume, value: float) -> bytes:
        import imagecodecs

        span = float(volume.max() - volume.min()) or 1.0
        level = 20.0 * float(np.log10(span / value))
        return bytes(imagecodecs.sperr_encode(volume, level, "psnr", numthreads=1))


class Zfp(Codec):
    """ZFP within a tolerance, a power of two; reversible if lossless.

    Values are relative to the middle of 1500 to 4500 m/s, which saves ZFP an exponent per block.
    """

    name = "ZFP"
    needs = ("zfpy",)
    lossless = True
    _MIDDLE = np.float32(3000.0)

    def within(self, volume: Volume, value: float) -> bytes:
        import zfpy

        centred = volume - self._MIDDLE
        # ZFP stays well within its tolerance, which is raised as far as the bound allows.
        for power in range(int(np.floor(np.log2(value))) + 4, -13, -1):
            stream = zfpy.compress_numpy(centred, tolerance=2.0**power, write_header=False)
            stored = power.to_bytes(1, "big", signed=True) + bytes(stream)
            if np.abs(self.decode(stored, volume.shape) - volume).max() <= value:
                return stored
        raise CannotKeepError(f"no tolerance keeps {value} m/s")

    def exactly(self, volume: Volume) -> bytes:
        import zfpy

        return b"\x7f" + bytes(zfpy.compress_numpy(volume, write_header=False))

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        import zfpy

        kind = zfpy.dtype_to_ztype(np.dtype(np.float32))
        power = int.from_bytes(stream[:1], "big", signed=True)
        # Only the private function decodes without a header.
        if power == 127:
            return np.asarray(zfpy._decompress(stream[1:], kind, shape), np.float32)
        found = zfpy._decompress(stream[1:], kind, shape, tolerance=2.0**power)
        return np.asarray(found, np.float32) + self._MIDDLE


class Sz3(Codec):
    """SZ3 within an absolute bound, with one of its predictors."""

    needs = ("pysz",)

    def __init__(self, predictor: str, label: str) -> None:
        self.predictor, self.name = predictor, f"SZ3, {label}"

    def within(self, volume: Volume, value: float) -> bytes:
        import pysz

        config: Any = pysz.szConfig(*volume.shape)
        config.errorBoundMode = pysz.szErrorBoundMode.ABS
        config.absErrorBound = value
        config.cmprAlgo = getattr(pysz.szAlgorithm, self.predictor)
        return bytes(pysz.sz.compress(np.ascontiguousarray(volume), config)[0].tobytes())

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        import pysz

        found = pysz.sz.decompress(np.frombuffer(stream, np.uint8), np.float32, shape)
        values: Volume = found[0] if isinstance(found, tuple) else found
        return values.reshape(shape)


class ShuffledZstd(Codec):
    """zstd 19 of shuffled bytes: of float32 if lossless, else of integers of a step of twice the
    bound, minus the one above.
    """

    name = "zstd 19, shuffled"
    needs = ("zstandard",)
    lossless = True

    def within(self, volume: Volume, value: float) -> bytes:
        step = np.float32(2.0 * value * 0.9999)
        least = np.float32(volume.min())
        codes = np.rint((volume.astype(np.float64) - least) / step).astype(np.int32)
        down = np.diff(codes, axis=0, prepend=0)
        folded = ((2 * down) ^ (down >> 31)).astype("<u4")
        width = 2 if folded.max() < 1 << 16 else 4
        planes = _shuffled(folded.astype(f"<u{width}"))
        return bytes([width]) + step.tobytes() + least.tobytes() + _zstd(planes)

    def exactly(self, volume: Volume) -> bytes:
        return b"\0" + _zstd(_shuffled(volume))

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        import zstandard

        width = stream[0]
        body = stream[9:] if width else stream[1:]
        size = int(np.prod(shape)) * (width or 4)
        data = zstandard.ZstdDecompressor().decompress(body, max_output_size=size)
        bytes_ = np.frombuffer(data, np.uint8).reshape(width or 4, -1).T.copy()
        if not width:
            return bytes_.view("<f4").reshape(shape)
        folded = bytes_.view(f"<u{width}").astype(np.int64).reshape(shape)
        codes = np.cumsum((folded >> 1) ^ -(folded & 1), axis=0)
        step, least = np.frombuffer(stream[1:9], np.float32).astype(np.float64)
        return (least + step * codes).astype(np.float32)


class Blosc2(Codec):
    """Blosc2: zstd 9 of shuffled bytes; lossless."""

    name = "Blosc2"
    needs = ("imagecodecs",)
    lossless = True
    bounded = lossy = False

    def within(self, volume: Volume, value: float) -> bytes:
        raise CannotKeepError("Blosc2 is lossless")

    def exactly(self, volume: Volume) -> bytes:
        import imagecodecs

        return bytes(
            imagecodecs.blosc2_encode(
                volume, level=9, compressor="zstd", shuffle="shuffle", typesize=4, numthreads=1
            )
        )

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        import imagecodecs

        found = imagecodecs.blosc2_decode(stream, numthreads=1)
        return np.frombuffer(found, np.float32).reshape(shape)


class Tthresh(Codec):
    """TTHRESH (in WebAssembly: slow) at an RMS error in m/s, which is all that it promises."""

    name = "TTHRESH"
    needs = ("numcodecs_wasm_tthresh",)
    bounded = False

    def within(self, volume: Volume, value: float) -> bytes:
        codec = _tthresh()(eb_mode="rmse", eb_rmse=value)
        with _quiet():
            return bytes(np.asarray(codec.encode(volume)).tobytes())

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        codec, out = _tthresh()(eb_mode="rmse", eb_rmse=1.0), np.empty(shape, np.float32)
        with _quiet():
            codec.decode(np.frombuffer(stream, np.uint8), out=out)
        return out


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what a compiled library prints; its failure is a CannotKeepError."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    except Exception as error:
        raise CannotKeepError(str(error)) from error
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _tthresh() -> Any:
    from numcodecs_wasm_tthresh import Tthresh as Found

    return Found


class Velcodec(Codec):
    """velcodec's archive of the volume, header, index and checksums included."""

    name = "velcodec"
    lossless = True

    def __init__(self, effort: int | None = None) -> None:
        self.options = {} if effort is None else {"effort": effort}
        self.name = "velcodec" if effort is None else f"velcodec, effort {effort}"

    def _compress(self, volume: Volume, **promise: Any) -> bytes:
        import velcodec

        kept: Any = velcodec.compress
        return bytes(kept(volume, volume=True, units="m/s", **promise, **self.options))

    def within(self, volume: Volume, value: float) -> bytes:
        return self._compress(volume, max_error=value)

    def at_psnr(self, volume: Volume, decibels: float) -> bytes:
        """The archive that promises a PSNR."""
        return self._compress(volume, psnr=decibels)

    def exactly(self, volume: Volume) -> bytes:
        return self._compress(volume, lossless=True)

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Volume:
        import velcodec

        return np.asarray(velcodec.decompress(stream), np.float32).reshape(shape)

    def missing(self) -> list[str]:
        import inspect

        import velcodec

        known = inspect.signature(velcodec.compress).parameters
        return [] if "volume" in known else ["velcodec.compress(volume=True)"]


def codecs() -> list[Codec]:
    """All codecs, ours first."""
    return [
        Velcodec(),
        Sperr(),
        SperrMean(),
        Zfp(),
        Sz3("INTERP_LORENZO", "interpolation"),
        Sz3("LORENZO_REG", "Lorenzo"),
        ShuffledZstd(),
        Blosc2(),
        Tthresh(),
    ]


def _shuffled(values: NDArray[np.generic]) -> bytes:
    flat = np.ascontiguousarray(values)
    return np.frombuffer(flat.tobytes(), np.uint8).reshape(-1, flat.itemsize).T.tobytes()


def _zstd(data: bytes) -> bytes:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, write_content_size=False, write_checksum=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)
