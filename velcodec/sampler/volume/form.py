"""Sizes and stored weights of the volumes' sampler."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from velcodec.formats.arrays import Float32
from velcodec.sampler.weights import Released, Weights

ORIENTATIONS = 8
"""Mirrors of the axes: bit 0 of an orientation's number mirrors x, bit 1 y, bit 2 z."""

CHANNELS, HIDDEN = 4, 4
"""Channels of the network and hidden units of a sample's logit, per orientation."""

WINDOW = 5
INPUTS = WINDOW**3 + 2
"""Differences to the surrounding samples, and two ratios of ranges."""

RANGES = 3, WINDOW, 9
"""Sides of the windows whose ranges are compared."""

TAPS = 7
"""A layer's stencil: the sample, then the ones before and after it along x, y and z."""

DILATIONS = 1, 2, 4, 1

REACH = RANGES[-1] // 2 + sum(DILATIONS)
"""Distance in samples at which a sample can still change another's features."""


@dataclass(frozen=True)
class VolumeWeights(Weights):
    """The weights of one orientation; `velcodec.sampler.volume.network` explains them.

    `lift` (C, INPUTS), `layers` (L, C, 8, C, 7): out, turn, in, tap; `out` (H, 8, C); `gate` (C,)
    and its bias; `direction` (H, 3) by x, y and z; `last` (H,). Plus biases.
    """

    lift: Float32
    lift_bias: Float32
    layers: Float32
    layer_bias: Float32
    out: Float32
    out_bias: Float32
    gate: Float32
    gate_bias: Float32
    direction: Float32
    last: Float32

    SHAPES: ClassVar = {
        "lift": (CHANNELS, INPUTS),
        "lift_bias": (CHANNELS,),
        "layers": (len(DILATIONS), CHANNELS, ORIENTATIONS, CHANNELS, TAPS),
        "layer_bias": (len(DILATIONS), CHANNELS),
        "out": (HIDDEN, ORIENTATIONS, CHANNELS),
        "out_bias": (HIDDEN,),
        "gate": (CHANNELS,),
        "gate_bias": (1,),
        "direction": (HIDDEN, 3),
        "last": (HIDDEN,),
    }


NEWEST_VOLUME_SAMPLER = 1
"""The sampler that new archives of volumes use."""

VOLUME_SAMPLERS = Released("volume-sampler", NEWEST_VOLUME_SAMPLER, VolumeWeights)


@cache
def volume_sampler_of(number: int) -> VolumeWeights:
    """A released sampler of volumes. Raises SamplerError if it is unknown."""
    return VOLUME_SAMPLERS.load(number)


def mirrored_taps(orientation: int) -> list[int]:
    """The taps of a stencil in an orientation: before and after change places."""
    taps = [0]
    for axis in range(3):
        pair = [1 + 2 * axis, 2 + 2 * axis]
        taps += pair[::-1] if orientation >> axis & 1 else pair
    return taps


def signs() -> Float32:
    """(8, 3) signs of x, y and z in each orientation."""
    turns = range(ORIENTATIONS)
    return np.array([[-1 if g >> axis & 1 else 1 for axis in range(3)] for g in turns], np.float32)
