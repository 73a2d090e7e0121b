"""The local sampler's network sizes and stored weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from velcodec.formats.arrays import Float32
from velcodec.sampler.weights import Released, Weights

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

NEWEST_SAMPLER = 1
"""Number of the sampler that new archives use."""


@dataclass(frozen=True)
class SamplerWeights(Weights):
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

    SHAPES: ClassVar = {
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


SAMPLERS = Released("sampler", NEWEST_SAMPLER, SamplerWeights)


@cache
def sampler_of(number: int) -> SamplerWeights:
    """A released sampler. Raises SamplerError if it is unknown."""
    return SAMPLERS.load(number)
