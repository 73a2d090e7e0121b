"""Run a codec at a promise and check what it decodes to."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from velcodec.metrics import psnr

from .cases import Case, Volume
from .codecs import CannotKeepError, Codec, Velcodec

ROUNDING = 5e-4
"""m/s; what float32 may add to an error at 4500 m/s."""

SHRINK = 0.98
"""If rounding breaks a bound, the next try has this share of it."""

HALVINGS = 6
"""Trials of a bisection for a PSNR."""

NEAR, FAR = (0.4, 8.0), (0.7, 24.0)
"""Where the parameter lies that gives a PSNR, over the RMS error: of codecs that promise a mean
error, and of those that promise a bound.
"""


@dataclass(frozen=True)
class Figure:
    """A codec at a promise on all volumes of a case. Speeds are MB of float32 per CPU second."""

    case: str
    kind: str
    codec: str
    promise: str
    bits_per_sample: float
    psnr_db: float
    max_error: float
    encode_mb_s: float
    decode_mb_s: float

    def to_row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass
class _Sums:
    samples: int = 0
    size: int = 0
    squares: float = 0.0
    worst: float = 0.0
    encode: float = 0.0
    decode: float = 0.0


@dataclass(frozen=True)
class Coded:
    """A volume's stream, what it decodes to, and CPU seconds."""

    stream: bytes
    decoded: Volume
    encode: float
    decode: float


def keeps(codec: Codec, promise: str) -> bool:
    """Whether a codec has such a promise; any but a lossless one can be brought to a PSNR."""
    if promise == "lossless":
        return codec.lossless
    return codec.lossy if promise.endswith(" dB") else codec.bounded


def bounded(codec: Codec, volume: Volume, bound: float) -> Coded:
    """The volume within a bound. Raises CannotKeepError if a decoded sample leaves it."""
    for asked in (bound, bound * SHRINK, bound * SHRINK**2):
        found = _coded(codec, volume, lambda asked=asked: codec.within(volume, asked))
        if _worst(volume, found.decoded) <= bound + ROUNDING:
            return found
    raise CannotKeepError(f"{codec.name} leaves {bound} m/s")


def exact(codec: Codec, volume: Volume) -> Coded:
    """The volume bit for bit. Raises CannotKeepError if it is not."""
    found = _coded(codec, volume, lambda: codec.exactly(volume))
    if found.decoded.tobytes() != volume.tobytes():
        raise CannotKeepError(f"{codec.name} is not lossless")
    return found


def at_psnr(codec: Codec, volume: Volume, decibels: float) -> Coded:
    """The fewest bytes that reach a PSNR over 3000 m/s. Raises CannotKeepError if none does."""
    if isinstance(codec, Velcodec):
        found = _coded(codec, volume, lambda: codec.at_psnr(volume, decibels))
        if psnr(volume, found.decoded) < decibels:
            raise CannotKeepError(f"{codec.name} leaves {decibels} dB")
        return found
    rms = 3000.0 * 10.0 ** (-decibels / 20.0)
    fine, coarse = (share * rms for share in (FAR if codec.bounded else NEAR))
    best: Coded | None = None
    for _ in range(HALVINGS):
        asked = float(np.sqrt(fine * coarse))
        found = _coded(codec, volume, lambda asked=asked: codec.within(volume, asked))
        if psnr(volume, found.decoded) >= decibels:
            fine = asked
            if best is None or len(found.stream) < len(best.stream):
                best = found
        else:
            coarse = asked
    if best is None:
        raise CannotKeepError(f"{codec.name} does not reach {decibels} dB")
    return best


def measure(codec: Codec, case: Case, promise: str) -> Figure:
    """A codec on all volumes of a case; `promise` is "5 m/s", "lossless" or "35 dB". Raises
    CannotKeepError.
    """
    sums = _Sums()
    for volume in case.volumes:
        if promise == "lossless":
            found = exact(codec, volume)
        elif promise.endswith(" dB"):
            found = at_psnr(codec, volume, float(promise[:-3]))
        else:
            found = bounded(codec, volume, float(promise[:-4]))
        error = np.abs(found.decoded.astype(np.float64) - volume)
        sums.samples += volume.size
        sums.size += len(found.stream)
        sums.squares += float(np.square(error).sum())
        sums.worst = max(sums.worst, float(error.max()))
        sums.encode += found.encode
        sums.decode += found.decode
    mean = sums.squares / sums.samples
    megabytes = 4e-6 * sums.samples
    return Figure(
        case=case.name,
        kind=case.kind,
        codec=codec.name,
        promise=promise,
        bits_per_sample=8.0 * sums.size / sums.samples,
        psnr_db=100.0 if mean == 0.0 else min(100.0, 20.0 * float(np.log10(3000.0 / mean**0.5))),
        max_error=sums.worst,
        encode_mb_s=megabytes / max(sums.encode, 1e-9),
        decode_mb_s=megabytes / max(sums.decode, 1e-9),
    )


def _coded(codec: Codec, volume: Volume, encode: Any) -> Coded:
    shape = volume.shape[0], volume.shape[1], volume.shape[2]
    started = time.process_time()
    stream = encode()
    between = time.process_time()
    decoded = codec.decode(stream, shape)
    return Coded(stream, decoded, between - started, time.process_time() - between)


def _worst(volume: Volume, decoded: Volume) -> float:
    return float(np.abs(decoded.astype(np.float64) - volume).max())
