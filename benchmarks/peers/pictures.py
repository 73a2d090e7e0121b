"""Peers made for pictures: JPEG XL with loss, and AV1 stills (AVIF without its container)."""

from __future__ import annotations

import functools
import struct

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.storage.varint import decode_varint

from .base import (
    CannotKeepError,
    Known,
    Models,
    Peer,
    Plane,
    PlaneCodec,
    Setting,
    Stored,
    geometric,
    streams_of,
)


class JpegXl(PlaneCodec):
    """JPEG XL, 16 bits, effort 7; settings are its distance."""

    name = "JPEG XL"
    needs = ("imagecodecs",)
    lossy = geometric(25.0, 0.05, 24)
    _top = 65535

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        import imagecodecs

        return bytes(
            imagecodecs.jpegxl_encode(
                known.to_codes(plane, self._top).astype(np.uint16),
                distance=setting.value,
                effort=7,
                usecontainer=False,
                numthreads=1,
            )
        )

    def decode(self, stream: bytes, known: Known) -> Plane:
        import imagecodecs

        codes = np.asarray(imagecodecs.jpegxl_decode(stream, numthreads=1))
        return known.to_values(codes.reshape(known.shape[1:]), self._top)


class Av1(Peer):
    """libaom's still pictures, 12 bits and one channel, behind one sequence header for all.

    Frames are independent and hold their own quality, so that each model may have its own. Codes
    are whole m/s where the range fits, so that whole velocities can come back exactly. The AVIF
    container says nothing but shape and lengths: it is rebuilt from the shape and not counted, nor
    is the temporal delimiter, which is the same two bytes everywhere.
    """

    name = "AV1, shared header"
    needs = ("imagecodecs",)
    lossy = tuple(float(quality) for quality in (*range(0, 96, 5), 99))
    whole = True

    def encode(self, models: Models, known: Known, setting: Setting) -> list[bytes]:
        return [_stream(_codes(model, known), int(setting.value)) for model in models]

    def decode(self, stored: Stored, known: Known) -> Models:
        return np.stack([_from_stream(stream, known) for stream in streams_of(stored)])

    def sizes(self, stored: Stored, known: Known) -> NDArray[np.float64]:
        """Of the archive of the header and all frames, whose units hold their own lengths."""
        streams = streams_of(stored)
        header = streams[0][: _unit_end(streams[0], 0)]
        if any(not stream.startswith(header) for stream in streams):
            raise CannotKeepError("sequence headers differ")
        frames = [len(stream) - len(header) for stream in streams]
        return np.array(frames) + len(header) / len(streams)


_DELIMITER = b"\x12\x00"


def _top(known: Known) -> int:
    return min(4095, round(known.high - known.low))


def _codes(model: Plane, known: Known) -> NDArray[np.uint16]:
    return known.to_codes(model, _top(known)).astype(np.uint16)


def _avif(codes: NDArray[np.uint16], quality: int) -> tuple[bytes, bytes]:
    """The container up to its data, and the data."""
    import imagecodecs

    # The quality of grey input is ignored (always lossless): three equal channels, stored as one.
    stream = bytes(
        imagecodecs.avif_encode(
            np.repeat(codes[..., None], 3, axis=2),
            level=quality,
            speed=0,
            codec="aom",
            bitspersample=12,
            pixelformat="yuv400",
            numthreads=1,
        )
    )
    start = stream.index(b"mdat") + 4
    return stream[:start], stream[start:]


def _stream(codes: NDArray[np.uint16], quality: int) -> bytes:
    _, data = _avif(codes, quality)
    assert data.startswith(_DELIMITER)
    return data[len(_DELIMITER) :]


def _from_stream(stream: bytes, known: Known) -> Plane:
    import imagecodecs

    data = _DELIMITER + stream
    container, length_at = _container(*known.shape[1:])
    head = bytearray(container)
    struct.pack_into(">I", head, length_at, len(data))
    struct.pack_into(">I", head, len(head) - 8, len(data) + 8)
    codes = np.asarray(imagecodecs.avif_decode(bytes(head) + data, numthreads=1))
    if codes.ndim == 3:
        codes = codes[..., 1]
    return known.to_values(codes, _top(known))


@functools.cache
def _container(nz: int, nx: int) -> tuple[bytes, int]:
    """The container of a blank picture, and where it holds the length of the data."""
    container, _ = _avif(np.zeros((nz, nx), np.uint16), 50)
    locations = container.index(b"iloc") - 4
    (size,) = struct.unpack_from(">I", container, locations)
    return container, locations + size - 4


def _unit_end(stream: bytes, start: int) -> int:
    """Where the unit at `start` ends: a byte of header, its length, and that many bytes."""
    length, at = decode_varint(stream, start + 1, "AV1")
    return at + length
