"""The local sampler's network sizes and stored weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from velcodec.formats.arrays import Float32
from velcodec.formats.errors import CorruptError, InputFileError, SamplerError
from velcodec.formats.sample_coding.coding import DIGEST_BYTES, SamplerName

ORIENTATIONS = 4
"""Mirrors of the axes: bit 0 of an orientation's number mirrors x, bit 1 z."""

CHANNELS, HIDDEN = 8, 8
"""Channels of the network and hidden units of a sample's logit, per orientation."""

WINDOW = 5
INPUTS = WINDOW * WINDOW + 2
"""Differences to the surrounding samples, and two ratios of ranges."""

RANGES = 3, WINDOW, 13
"""Sides of the windows whose ranges are compared."""

FAINT = 2.0**-12
"""This share of the whole range is added to every range in a denominator, so that noise is not
amplified."""

DILATIONS = 1, 2, 4, 8, 3, 1

REACH = RANGES[-1] // 2 + sum(DILATIONS)
"""Distance in samples at which a sample can still change another's features."""

LOGIT_SCALE, LEAST_LOGIT = 4.0, -12.0
"""Factor of the network's logits, and their lower limit relative to the greatest: within a few
millionths of a cell of a sample, only that sample counts."""

GATE_ZERO = 0.02
"""Gates below this value are 0."""

NEWEST = 1
"""Number of the sampler that new archives use."""


@dataclass(frozen=True)
class SamplerWeights:
    """The weights of one orientation; `velcodec.sampler.network` explains them.

    `lift` (C, INPUTS), `convs` (layers, C, 4, C, 3, 3): out, turn, in, z, x; `out` (H, 4, C);
    `gate` (C,) and its bias; `direction` (H, 2) by x and z; `last` (H,). Plus biases.
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
    """Read the weights of a file. Raises InputFileError, CorruptError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror}") from error
    return weights_from(data, str(path))


def save_weights(weights: SamplerWeights, path: Path) -> None:
    """Write weights as a safetensors file; equal weights give equal bytes."""
    from safetensors.numpy import save

    from velcodec.formats.storage.atomic import atomic_write

    data = save({name: np.ascontiguousarray(getattr(weights, name)) for name in SHAPES})
    with atomic_write(path, force=True) as stream:
        stream.write(data)


@cache
def newest_sampler() -> SamplerName:
    """The sampler that new archives use."""
    return SamplerName(NEWEST, digest(released("sampler", NEWEST, NEWEST)))


@cache
def sampler_of(name: SamplerName) -> SamplerWeights:
    """A released sampler. Raises SamplerError if it is unknown."""
    data = released("sampler", name.number, NEWEST)
    check_digest("sampler", name, data)
    return weights_from(data, f"sampler {name.number}")


def released(kind: str, number: int, newest: int) -> bytes:
    """The file of a released sampler, `kind`-`number`. Raises SamplerError if it is unknown."""
    file = resources.files("velcodec").joinpath("data", f"{kind}-{number}.safetensors")
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise SamplerError(
            f"{kind}: found number {number}, expected 1 to {newest}: the archive was made by "
            "another version; its native grid can be decoded"
        ) from None


def check_digest(kind: str, name: SamplerName, data: bytes) -> None:
    """Raise SamplerError if the file is not the one that was named."""
    if digest(data) != name.digest:
        raise SamplerError(
            f"{kind} {name.number}: found hash {digest(data).hex()} here, the archive needs "
            f"{name.digest.hex()}; its native grid can be decoded"
        )


def digest(data: bytes) -> bytes:
    """What archives name a sampler's file by."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
