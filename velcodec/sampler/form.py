"""The form of the local sampler: the sizes of its network, and the weights as they are stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import CorruptError, InputFileError, SamplerError
from velcodec.formats.sample_coding.stream import DIGEST_BYTES, SamplerName

Float32 = NDArray[np.float32]

ORIENTATIONS = 4
"""Each of the axes as it is or mirrored: bit 0 of an orientation's number mirrors x, bit 1 z."""

CHANNELS, HIDDEN = 8, 8
"""Channels of the network, and hidden units of a sample's logit, in each orientation."""

WINDOW = 5
INPUTS = WINDOW * WINDOW + 2
"""Differences to the samples around, and two ratios of ranges."""

RANGES = 3, WINDOW, 13
"""Sides of the windows whose ranges are compared."""

FAINT = 2.0**-12
"""Differences are told from none where they are a sensible part of this share of the whole range:
added to every range that others are divided by, so that noise is not blown up."""

DILATIONS = 1, 2, 4, 8, 3, 1

REACH = RANGES[-1] // 2 + sum(DILATIONS)
"""How many samples away a sample can change another one's features."""

LOGIT_SCALE, LEAST_LOGIT = 4.0, -12.0
"""Logits are so many times what the network gives, and no more than 12 below the greatest: closer
to a sample than a few millionths of a cell nothing else counts."""

GATE_ZERO = 0.02
"""Gates below this share are 0."""

NEWEST = 1
"""Number of the sampler that new archives name."""


@dataclass(frozen=True)
class SamplerWeights:
    """The weights of one orientation; `velcodec.sampler.network` says what they do.

    `lift` (C, INPUTS), `convs` (layers, C, 4, C, 3, 3): out, turn, in, z, x; `out` (H, 4, C);
    `gate` (C,) and its bias; `direction` (H, 2) by x and z; `last` (H,). Biases beside them.
    """

    lift: Float32
    lift_bias: Float32
    convs: Float32
    conv_bias: Float32
    out: Float32
    out_bias: Float32
    gate: Float32
    gate_bias: Float32
    direction: Float32
    last: Float32


SHAPES: dict[str, tuple[int, ...]] = {
    "lift": (CHANNELS, INPUTS),
    "lift_bias": (CHANNELS,),
    "convs": (len(DILATIONS), CHANNELS, ORIENTATIONS, CHANNELS, 3, 3),
    "conv_bias": (len(DILATIONS), CHANNELS),
    "out": (HIDDEN, ORIENTATIONS, CHANNELS),
    "out_bias": (HIDDEN,),
    "gate": (CHANNELS,),
    "gate_bias": (1,),
    "direction": (HIDDEN, 2),
    "last": (HIDDEN,),
}


def weights_from(data: bytes, place: str) -> SamplerWeights:
    """Weights from the bytes of a safetensors file. Raises CorruptError, naming `place`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise CorruptError(f"{place}: sampler: {error}") from error
    for name, shape in SHAPES.items():
        found = tensors[name].shape if name in tensors else None
        if found != shape:
            raise CorruptError(f"{place}: sampler: {name}: found {found}, expected {shape}")
    return SamplerWeights(
        **{each.name: tensors[each.name].astype(np.float32) for each in fields(SamplerWeights)}
    )


def read_weights(path: Path) -> SamplerWeights:
    """Weights of a file. Raises InputFileError, CorruptError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror}") from error
    return weights_from(data, str(path))


def save_weights(weights: SamplerWeights, path: Path) -> None:
    """Write weights as a safetensors file, the same bytes for the same weights."""
    from safetensors.numpy import save

    from velcodec.formats.storage.atomic import atomic_write

    data = save({name: np.ascontiguousarray(getattr(weights, name)) for name in SHAPES})
    with atomic_write(path, force=True) as stream:
        stream.write(data)


def _file(number: int) -> bytes:
    file = resources.files("velcodec").joinpath("data", f"sampler-{number}.safetensors")
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise SamplerError(
            f"sampler: found number {number}, expected 1 to {NEWEST}: the archive was made by "
            "another version; its native grid can be decoded"
        ) from None


@cache
def newest_sampler() -> SamplerName:
    """The sampler that new archives name."""
    return SamplerName(NEWEST, _digest(_file(NEWEST)))


@cache
def sampler_of(name: SamplerName) -> SamplerWeights:
    """A released sampler. Raises SamplerError for one that is not known here."""
    data = _file(name.number)
    if _digest(data) != name.digest:
        raise SamplerError(
            f"sampler {name.number}: found hash {_digest(data).hex()} here, the archive needs "
            f"{name.digest.hex()}; its native grid can be decoded"
        )
    return weights_from(data, f"sampler {name.number}")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
