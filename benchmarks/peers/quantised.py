"""Peers that quantise velocities and code the integers losslessly."""

from __future__ import annotations

from abc import abstractmethod

import msgpack
import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.domain import EVEN, PALETTE, Domain, exact_domain
from velcodec.formats.storage.varint import decode_varint, encode_varint

from .base import (
    CannotKeepError,
    Known,
    Models,
    Peer,
    Plane,
    PlaneCodec,
    Setting,
    Stored,
    archive_of,
    geometric,
)

HALF_STEPS = geometric(1000.0, 0.5, 24)
"""m/s; half a step is the largest error."""

WHOLE = 0.5
"""m/s; half the step that preserves whole velocities."""


def half_step(setting: Setting) -> np.float16:
    """The half step as stored, in two bytes: at most the requested one."""
    if setting.kind == "lossless":
        return np.float16(WHOLE)
    half = np.float16(setting.value)
    return half if half <= setting.value else np.nextafter(half, np.float16(0))


def quantise(values: NDArray[np.float32], half: np.float16, low: float) -> Int64:
    """The nearest multiples of 2 `half` above `low`."""
    scaled = (values.astype(np.float64) - low) / (2.0 * float(half))
    return np.floor(scaled + 0.5).astype(np.int64)


def restore(integers: Int64, half: np.float16, low: float) -> NDArray[np.float32]:
    """The inverse of `quantise`, m/s."""
    return (low + 2.0 * float(half) * integers).astype(np.float32)


RAW, DOMAIN = np.float16(0), np.float16(-1)

MOST_CODES = 65536


def integers_at(stream: bytes) -> int:
    """Where the integers of a `QuantisedPlane` begin."""
    if np.frombuffer(stream[:2], np.float16)[0] != DOMAIN:
        return 2
    length, start = decode_varint(stream, 2, "domain")
    return start + length


class QuantisedPlane(PlaneCodec):
    """Half a step (float16), then the integers. A half step of RAW means raw float32, one of DOMAIN
    the domain in which velcodec codes velocities that are not whole m/s, then its integers.
    """

    lossy = HALF_STEPS
    bounded = lossless = True

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        return self.pack(plane, known.low, setting)

    def decode(self, stream: bytes, known: Known) -> Plane:
        return self.unpack(stream, known.low, known.shape[1:])

    def pack(self, values: NDArray[np.float32], low: float, setting: Setting) -> bytes:
        """A stream of a plane, or of a stack of planes if the codec supports it."""
        half = half_step(setting)
        integers = quantise(values, half, low)
        if setting.kind == "lossless" and not np.array_equal(restore(integers, half, low), values):
            return self._pack_exactly(values)
        return half.tobytes() + self.encode_integers(integers)

    def _pack_exactly(self, values: NDArray[np.float32]) -> bytes:
        domain = exact_domain([values])
        if domain.span > MOST_CODES or domain.kind not in (EVEN, PALETTE):
            return RAW.tobytes() + self.encode_floats(values)
        codes = np.searchsorted(domain.samples(np.arange(domain.span), values.dtype), values)
        listed = msgpack.packb(domain.to_list())
        head = DOMAIN.tobytes() + encode_varint(len(listed)) + listed
        return head + self.encode_integers(codes.astype(np.int64))

    def unpack(self, stream: bytes, low: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The values, of `shape`."""
        half = np.frombuffer(stream[:2], np.float16)[0]
        if half == RAW:
            return self.decode_floats(stream[2:], shape)
        at = integers_at(stream)
        integers = self.decode_integers(stream[at:], shape)
        if half != DOMAIN:
            return restore(integers, half, low)
        _, start = decode_varint(stream, 2, "domain")
        domain = Domain.from_list(msgpack.unpackb(stream[start:at]))
        return domain.samples(integers, np.dtype(np.float32)).astype(np.float32)

    @abstractmethod
    def encode_integers(self, integers: Int64) -> bytes:
        """An array of integers of any shape."""

    @abstractmethod
    def decode_integers(self, stream: bytes, shape: tuple[int, ...]) -> Int64:
        """The inverse of `encode_integers`."""

    @abstractmethod
    def encode_floats(self, plane: NDArray[np.float32]) -> bytes:
        """Velocities that are not whole m/s, losslessly."""

    @abstractmethod
    def decode_floats(self, stream: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The inverse of `encode_floats`."""


class JpegXlLossless(QuantisedPlane):
    """Lossless JPEG XL of the integers above the least (int16)."""

    needs = ("imagecodecs",)

    def __init__(self, effort: int) -> None:
        self.effort = effort
        self.name = f"quantised + JPEG XL, effort {effort}"

    def encode_integers(self, integers: Int64) -> bytes:
        least = int(integers.min())
        above = integers - least
        if above.max() > 65535 or abs(least) > 32767:
            raise CannotKeepError("the steps do not fit 16 bits")
        dtype = np.uint8 if above.max() < 256 else np.uint16
        return np.int16(least).tobytes() + _jpegxl(above.astype(dtype), self.effort)

    def decode_integers(self, stream: bytes, shape: tuple[int, ...]) -> Int64:
        least = int(np.frombuffer(stream[:2], np.int16)[0])
        return _from_jpegxl(stream[2:]).astype(np.int64).reshape(shape) + least

    def encode_floats(self, plane: NDArray[np.float32]) -> bytes:
        return _jpegxl(plane, self.effort)

    def decode_floats(self, stream: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return _from_jpegxl(stream).astype(np.float32).reshape(shape)


def _jpegxl(plane: NDArray[np.generic], effort: int) -> bytes:
    import imagecodecs

    return bytes(
        imagecodecs.jpegxl_encode(
            plane, lossless=True, effort=effort, usecontainer=False, numthreads=1
        )
    )


def _from_jpegxl(stream: bytes) -> NDArray[np.generic]:
    import imagecodecs

    return np.asarray(imagecodecs.jpegxl_decode(stream, numthreads=1))


class DeltaZstd(QuantisedPlane):
    """Differences down each column (along the first row), zigzag, byte planes, zstd 19.

    Also takes stacks of planes: `DeltaZstdStack`.
    """

    name = "quantised + delta + zstd"
    needs = ("zstandard",)

    def encode_integers(self, integers: Int64) -> bytes:
        down = np.diff(integers, axis=-2, prepend=0)
        down[..., 0, 1:] -= down[..., 0, :-1].copy()
        folded = (2 * down) ^ (down >> 63)
        width = 1 if folded.max() < 256 else 2 if folded.max() < 65536 else 4
        return bytes([width]) + _zstd(_byte_planes(folded.astype(f"<u{width}")))

    def decode_integers(self, stream: bytes, shape: tuple[int, ...]) -> Int64:
        width = stream[0]
        found = _from_byte_planes(_from_zstd(stream[1:], int(np.prod(shape)) * width), width)
        folded = found.view(f"<u{width}").astype(np.int64).reshape(shape)
        down = (folded >> 1) ^ -(folded & 1)
        down[..., 0, :] = np.cumsum(down[..., 0, :], axis=-1)
        return np.cumsum(down, axis=-2)

    def encode_floats(self, plane: NDArray[np.float32]) -> bytes:
        plain, planes = _zstd(plane.tobytes()), _zstd(_byte_planes(plane))
        return b"\0" + plain if len(plain) <= len(planes) else b"\1" + planes

    def decode_floats(self, stream: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
        raw = _from_zstd(stream[1:], int(np.prod(shape)) * 4)
        found = _from_byte_planes(raw, 4) if stream[0] else np.frombuffer(raw, np.uint8)
        return found.view(np.float32).reshape(shape)


class DeltaZstdStack(Peer):
    """The same with all models in one zstd frame."""

    name = "quantised + delta + zstd, stack"
    needs = DeltaZstd.needs
    lossy = HALF_STEPS
    bounded = lossless = True

    def encode(self, models: Models, known: Known, setting: Setting) -> bytes:
        return DeltaZstd().pack(models, known.low, setting)

    def decode(self, stored: Stored, known: Known) -> Models:
        return DeltaZstd().unpack(archive_of(stored), known.low, known.shape)


def _byte_planes(values: NDArray[np.generic]) -> bytes:
    return np.frombuffer(values.tobytes(), np.uint8).reshape(-1, values.itemsize).T.tobytes()


def _from_byte_planes(data: bytes, width: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(width, -1).T).reshape(-1)


def _zstd(data: bytes) -> bytes:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, write_content_size=False, write_checksum=False, format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def _from_zstd(data: bytes, size: int) -> bytes:
    import zstandard

    frames = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    return frames.decompress(data, max_output_size=size)
