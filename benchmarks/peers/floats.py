"""Peers for floating-point fields with a bound: SZ3 and ZFP."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import CannotKeepError, Known, Plane, PlaneCodec, Setting, geometric

SHRINK = 0.999


class Sz3(PlaneCodec):
    """SZ3 within an absolute bound, the shortest of four predictors."""

    name = "SZ3"
    needs = ("pysz",)
    lossy = geometric(1500.0, 0.5, 24)
    bounded = True
    _predictors = ("LORENZO_REG", "INTERP_LORENZO", "INTERP", "NOPRED")

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        asked = setting.value * (SHRINK if setting.kind == "bound" else 1.0)
        streams = [self._encode(plane, asked, predictor) for predictor in self._predictors]
        return min(streams, key=len)

    def _encode(self, plane: Plane, bound: float, predictor: str) -> bytes:
        import pysz

        config: Any = pysz.szConfig(*plane.shape)
        config.errorBoundMode = pysz.szErrorBoundMode.ABS
        config.absErrorBound = bound
        config.cmprAlgo = getattr(pysz.szAlgorithm, predictor)
        return bytes(pysz.sz.compress(np.ascontiguousarray(plane), config)[0].tobytes())

    def decode(self, stream: bytes, known: Known) -> Plane:
        import pysz

        shape = known.shape[1:]
        found = pysz.sz.decompress(np.frombuffer(stream, np.uint8), np.float32, shape)
        values: NDArray[np.float32] = found[0] if isinstance(found, tuple) else found
        return values.reshape(shape)


class Zfp(PlaneCodec):
    """ZFP within a tolerance, a power of two that is stored in a byte before the stream.

    Values are relative to the middle of the range, which saves ZFP an exponent per block.
    """

    name = "ZFP"
    needs = ("zfpy",)
    lossy = tuple(2.0**power for power in range(13, -4, -1))
    bounded = True

    def encode(self, plane: Plane, known: Known, setting: Setting) -> bytes:
        import zfpy

        most = setting.value if setting.kind == "bound" else math.inf
        centred = np.ascontiguousarray(plane - _middle(known))
        # ZFP stays well within its tolerance, which is raised as far as the bound allows.
        start = 13 if setting.kind == "bound" else round(math.log2(setting.value))
        for power in range(start, -13, -1):
            stream = zfpy.compress_numpy(centred, tolerance=2.0**power, write_header=False)
            stored = power.to_bytes(1, "big", signed=True) + bytes(stream)
            if most == math.inf or np.abs(self.decode(stored, known) - plane).max() <= most:
                return stored
        raise CannotKeepError(f"no tolerance keeps {most} m/s")

    def decode(self, stream: bytes, known: Known) -> Plane:
        import zfpy

        tolerance = 2.0 ** int.from_bytes(stream[:1], "big", signed=True)
        kind = zfpy.dtype_to_ztype(np.dtype(np.float32))
        # Only the private function decodes without a header.
        found = zfpy._decompress(stream[1:], kind, known.shape[1:], tolerance=tolerance)
        return np.asarray(found, np.float32) + _middle(known)


def _middle(known: Known) -> np.float32:
    return np.float32((known.low + known.high) / 2.0)
