"""Wavelet peers: SPERR and JPEG 2000."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from .base import (
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

BITS_PER_SAMPLE = geometric(0.03, 6.0, 22)

TOP = 65535

SHRINK = 0.98
"""If rounding breaks a bound, the next try uses this share of it."""


class Sperr(PlaneCodec):
    """SPERR at a fixed rate, or within a pointwise bound; shape and dtype are not stored."""

    name = "SPERR"
    needs = ("imagecodecs",)
    lossy = BITS_PER_SAMPLE
    bounded = True

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        if setting.kind != "bound":
            return _sperr(plane, setting.value, "bpp")
        return _within(plane, setting.value)

    def decode(self, stream: bytes, known: Known) -> Plane:
        return _from_sperr(stream, known.shape[1:])


class SperrPsnr(Sperr):
    """SPERR at one PSNR for every model; settings are root mean square errors over its range."""

    name = "SPERR, equal PSNR"
    lossy = geometric(0.9, 0.001, 24)
    bounded = False

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        return _sperr(plane, -20.0 * math.log10(setting.value), "psnr")


class Sperr3d(Peer):
    """All models as one volume. SPERR's header stays: decoding a volume needs it."""

    name = "SPERR, volume"
    needs = ("imagecodecs",)
    lossy = BITS_PER_SAMPLE
    bounded = True
    fewest: ClassVar[int] = 2

    def encode(self, models: Models, known: Known, setting: Setting) -> bytes:
        if setting.kind != "bound":
            return _sperr(models, setting.value, "bpp")
        return _within(models, setting.value)

    def decode(self, stored: Stored, known: Known) -> Models:
        return _from_sperr(archive_of(stored), known.shape)


def _within(values: Models | Plane, bound: float) -> bytes:
    for asked in (bound, bound * SHRINK, bound * SHRINK * SHRINK):
        stream = _sperr(values, asked, "pwe")
        back = _from_sperr(stream, values.shape)
        if np.abs(values.astype(np.float64) - back).max() <= bound:
            break
    return stream


def _sperr(values: Models | Plane, level: float, mode: str) -> bytes:
    import imagecodecs

    header = values.ndim == 3
    return bytes(
        imagecodecs.sperr_encode(
            np.ascontiguousarray(values), level, mode, header=header, numthreads=1
        )
    )


def _from_sperr(stream: bytes, shape: tuple[int, ...]) -> Models:
    import imagecodecs

    # The decoder reads slightly beyond the end: a view leaves room there, which is not counted.
    view = np.frombuffer(stream + bytes(64), np.uint8)[: len(stream)]
    volume = len(shape) == 3
    found = imagecodecs.sperr_decode(view, shape=shape, dtype="f4", header=volume, numthreads=1)
    return np.asarray(found).reshape(shape)


class Jpeg2000(PlaneCodec):
    """OpenJPEG, 16 bits, the irreversible 9/7 wavelet; settings are its PSNR."""

    name = "JPEG 2000"
    needs = ("imagecodecs",)
    lossy = tuple(float(decibels) for decibels in range(10, 80, 3))

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        import imagecodecs

        return bytes(
            imagecodecs.jpeg2k_encode(
                known.to_codes(plane, TOP).astype(np.uint16),
                level=setting.value,
                codecformat="j2k",
                reversible=False,
                resolutions=5,
                numthreads=1,
            )
        )

    def decode(self, stream: bytes, known: Known) -> Plane:
        import imagecodecs

        codes = np.asarray(imagecodecs.jpeg2k_decode(stream, numthreads=1))
        return known.to_values(codes.reshape(known.shape[1:]), TOP)
