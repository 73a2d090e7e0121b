"""AV1 stills with the tools for screen content forced: palettes and intra block copy.

imagecodecs passes libaom no options, so this runs libaom's own programs, aomenc and aomdec.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64

from .base import CannotKeepError, Known, Models, Peer, Setting, Stored, Streams, streams_of
from .pictures import DELIMITER, shared_header_sizes, to_velocities, whole_codes
from .quantised import QuantisedPlane, integers_at

PROGRAMS = ("aomenc", "aomdec")

_STILL = (
    *("--obu", "--i420", "--monochrome", "--limit=1", "--passes=1", "--allintra"),
    *("--cpu-used=0", "--threads=1", "--quiet"),
    *("--tune-content=screen", "--enable-palette=1", "--enable-intrabc=1"),
)
"""One still picture, slowest search, which may use palettes and copies everywhere."""

MOST_BITS = 12

LEAST_BYTES = 2
"""Bytes of the least integer, before an image of integers."""


def encode_still(codes: NDArray[np.integer], bits: int, *options: str) -> bytes:
    """An AV1 still of `codes` (nz, nx) of 8, 10 or 12 bits, without the temporal delimiter, which
    is always the same. Raises CannotKeepError.
    """
    nz, nx = codes.shape
    dtype = "u1" if bits == 8 else "<u2"
    chroma = np.full(2 * -(-nz // 2) * -(-nx // 2), 1 << (bits - 1), dtype)
    with tempfile.TemporaryDirectory() as folder:
        raw, coded = Path(folder) / "raw.yuv", Path(folder) / "coded.obu"
        raw.write_bytes(codes.astype(dtype).tobytes() + chroma.tobytes())
        size = (f"--width={nx}", f"--height={nz}")
        depth = (f"--input-bit-depth={bits}", f"--bit-depth={bits}")
        profile = f"--profile={2 if bits == 12 else 0}"
        _call("aomenc", *_STILL, *size, *depth, profile, *options, "-o", str(coded), str(raw))
        stream = coded.read_bytes()
    assert stream.startswith(DELIMITER)
    return stream[len(DELIMITER) :]


def decode_still(stream: bytes, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The codes of a still, of `shape` (nz, nx)."""
    with tempfile.TemporaryDirectory() as folder:
        coded, raw = Path(folder) / "coded.obu", Path(folder) / "raw.yuv"
        coded.write_bytes(DELIMITER + stream)
        _call("aomdec", "--rawvideo", "-o", str(raw), str(coded))
        data = raw.read_bytes()
    dtype = "u1" if len(data) < 2 * shape[0] * shape[1] else "<u2"
    return np.frombuffer(data, dtype, shape[0] * shape[1]).reshape(shape).astype(np.int64)


def _call(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1:]
        raise CannotKeepError(f"{command[0]}: status {ended.returncode}, {said}")


class Av1Screen(Peer):
    """Whole m/s in 12 bits with loss, one sequence header for all; settings are the quantiser's
    level.
    """

    name = "AV1, palette + block copy, shared header"
    programs = PROGRAMS
    lossy = tuple(float(level) for level in range(63, -1, -7))
    whole = True

    def encode(self, models: Models, known: Known, setting: Setting) -> list[bytes]:
        level = f"--cq-level={int(setting.value)}"
        return [
            encode_still(whole_codes(model, known), MOST_BITS, "--end-usage=q", level)
            for model in models
        ]

    def decode(self, stored: Stored, known: Known) -> Models:
        planes = [decode_still(stream, known.shape[1:]) for stream in streams_of(stored)]
        return np.stack([to_velocities(codes, known) for codes in planes])

    def sizes(self, stored: Stored, known: Known) -> NDArray[np.float64]:
        return shared_header_sizes(streams_of(stored), [0] * known.shape[0])


class Av1Lossless(QuantisedPlane):
    """Lossless AV1 of the integers above the least (int16), of 8, 10 or 12 bits."""

    name = "quantised + AV1, palette + block copy"
    programs = PROGRAMS

    def encode_integers(self, integers: Int64) -> bytes:
        least = int(integers.min())
        most = int(integers.max()) - least
        bits = next((bits for bits in (8, 10, MOST_BITS) if most < 1 << bits), None)
        if bits is None or abs(least) > 32767:
            raise CannotKeepError(f"found {most + 1} steps, expected at most {1 << MOST_BITS}")
        return np.int16(least).tobytes() + encode_still(integers - least, bits, "--lossless=1")

    def decode_integers(self, stream: bytes, shape: tuple[int, ...]) -> Int64:
        return decode_still(stream[LEAST_BYTES:], shape) + int(
            np.frombuffer(stream[:LEAST_BYTES], np.int16)[0]
        )

    def encode_floats(self, plane: NDArray[np.float32]) -> bytes:
        raise CannotKeepError("found velocities that are no integers of 12 bits")

    def decode_floats(self, stream: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
        raise CannotKeepError("found a stream of floats")


class Av1LosslessStreams(Streams):
    """One stream for each model; sequence headers are counted once."""

    def __init__(self) -> None:
        super().__init__(Av1Lossless())
        self.name = f"{self.codec.name}, shared header"

    def sizes(self, stored: Stored, known: Known) -> NDArray[np.float64]:
        streams = streams_of(stored)
        return shared_header_sizes(streams, [integers_at(s) + LEAST_BYTES for s in streams])
