"""Peers for pictures: lossy JPEG XL, and AV1 stills (AVIF without its container)."""

from __future__ import annotations

import functools
import struct

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.storage.varint import decode_varint

from .base import (
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

    Frames are independent and each has its own quality. Codes are whole m/s if the range fits, so
    that whole velocities can be exact. The AVIF container holds only shape and lengths: it is
    rebuilt from the shape and not counted, nor is the temporal delimiter, which is always the same
    two bytes.
    """

    name = "AV1, shared header"
    needs = ("imagecodecs",)
    lossy = tuple(float(quality) for quality in (*range(0, 96, 5), 99))
    whole = True

    def encode(self, models: Models, known: Known, setting: Setting) -> list[bytes]:
        return [_stream(whole_codes(model, known), int(setting.value)) for model in models]

    def decode(self, stored: Stored, known: Known) -> Models:
        return np.stack([_from_stream(stream, known) for stream in streams_of(stored)])

    def sizes(self, stored: Stored, known: Known) -> NDArray[np.float64]:
        """Bytes of the archive of the header and all frames, whose units contain their lengths."""
        return shared_header_sizes(streams_of(stored), [0] * known.shape[0])


DELIMITER = b"\x12\x00"
"""The temporal delimiter that begins AV1 streams."""


def shared_header_sizes(streams: list[bytes], starts: list[int]) -> NDArray[np.float64]:
    """Bytes of each stream, (n,), whose sequence header begins at its start: each header once, and
    a byte for each stream to choose one if there are several.
    """
    headers = [
        stream[start : _unit_end(stream, start)]
        for stream, start in zip(streams, starts, strict=True)
    ]
    different = set(headers)
    shared = sum(map(len, different)) / len(streams) + (len(different) > 1)
    return np.array([len(s) - len(h) + shared for s, h in zip(streams, headers, strict=True)])


def _top(known: Known) -> int:
    return min(4095, round(known.high - known.low))


def whole_codes(model: Plane, known: Known) -> NDArray[np.uint16]:
    """Codes of 12 bits: whole m/s if the range fits."""
    return known.to_codes(model, _top(known)).astype(np.uint16)


def to_velocities(codes: NDArray[np.integer], known: Known) -> Plane:
    """The inverse of `whole_codes`, m/s."""
    return known.to_values(codes, _top(known))


def _avif(codes: NDArray[np.uint16], quality: int) -> tuple[bytes, bytes]:
    """The container up to its data, and the data."""
    import imagecodecs

    # Quality is ignored for grey input (always lossless): use three equal channels, stored as one.
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
    assert data.startswith(DELIMITER)
    return data[len(DELIMITER) :]


def _from_stream(stream: bytes, known: Known) -> Plane:
    import imagecodecs

    data = DELIMITER + stream
    container, length_at = _container(*known.shape[1:])
    head = bytearray(container)
    struct.pack_into(">I", head, length_at, len(data))
    struct.pack_into(">I", head, len(head) - 8, len(data) + 8)
    codes = np.asarray(imagecodecs.avif_decode(bytes(head) + data, numthreads=1))
    if codes.ndim == 3:
        codes = codes[..., 1]
    return to_velocities(codes, known)


@functools.cache
def _container(nz: int, nx: int) -> tuple[bytes, int]:
    """The container of a blank picture, and the position of the data's length in it."""
    container, _ = _avif(np.zeros((nz, nx), np.uint16), 50)
    locations = container.index(b"iloc") - 4
    (size,) = struct.unpack_from(">I", container, locations)
    return container, locations + size - 4


def _unit_end(stream: bytes, start: int) -> int:
    """End of the unit at `start`: a header byte, its length, and that many bytes."""
    length, at = decode_varint(stream, start + 1, "AV1")
    return at + length
