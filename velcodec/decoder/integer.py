"""`siren-mixture` in exact arithmetic: the same integers on every machine, batch and device.

Sums of products run over integers, either modulo 2^32 or so small that float64 holds every partial
sum (2^53), so their order does not matter; what is left is elementwise and correctly rounded by
IEEE 754. Sine, hyperbolic tangent and powers of two are tables. The result is within about 1 m/s of
the float rendering, and is what correction streams are coded against. It is always made on the CPU,
in compiled loops (`velcodec.decoder.integer_kernel`): the streams are decoded there too.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from velcodec.coordinates import Float64
from velcodec.threads import in_parallel, share_out

from .frozen import FrozenMixture
from .padding import LEAST_POINTS, filled, filled_up
from .trunk import TrunkWeights, split_parts

Int32 = NDArray[np.int32]

POINT, WEIGHT, ACTIVATION, MAP = 2.0**16, 2.0**16, 2.0**15, 2.0**20
"""What 1.0 is in coordinates, weights, activations, and the map from the latent."""

OUTPUT = 2.0**15
"""What 1.0 is in the rendering, which is normalised to [-1, 1]."""

SINE_BITS, TANH_BITS, TANH_REACH, POWER_BITS = 14, 14, 8, 12
LARGEST = 2.0**24
"""Weights and modulations are held within this, so that no sum leaves float64."""

LEAST_POWER, MOST_POWER = -40, 10
NOWHERE = -(2.0**50)
"""Logit of a component that fills up."""

_FINE = 1 << 96
"""What 1.0 is while the tables are made."""


@cache
def tables() -> dict[str, Float64]:
    """Sine of a turn, tanh over its reach, 2^x for x in [0, 1), each rounded to whole numbers, and
    powers of two. Made in integers, since machines' own functions differ in the last bit.
    """
    quarter = [_sine_of(k) for k in range((1 << SINE_BITS) // 4 + 1)]
    half = quarter + quarter[-2::-1]
    sine = half[:-1] + [-value for value in half[:-1]]
    positive = _tanh_over(1 << (TANH_BITS - 1))
    tanh = [-positive[k] for k in range(len(positive) - 1, 0, -1)] + positive[:-1]
    step = _exponential(_LN_2 >> POWER_BITS)
    power, value = [], _FINE
    for _ in range(1 << POWER_BITS):
        power.append(_round(value * int(MAP), _FINE))
        value = value * step // _FINE
    scale = [2.0**k for k in range(LEAST_POWER, MOST_POWER + 1)]
    named = {"sine": sine, "tanh": tanh, "power": power, "scale": scale}
    return {name: np.array(values, dtype=np.float64) for name, values in named.items()}


_LN_2 = sum(_FINE // (k << k) for k in range(1, 110))


def _round(value: int, unit: int) -> int:
    """`value` / `unit` to the nearest whole number."""
    return (2 * value + unit) // (2 * unit)


def _exponential(x: int) -> int:
    """e^x in units of 1 / _FINE, |x| at most 1."""
    total, term, k = 0, _FINE, 0
    while term:
        total, k = total + term, k + 1
        term = term * x // (_FINE * k) if x >= 0 else -(term * -x // (_FINE * k))
    return total


def _sine_of(k: int) -> int:
    """Sine of k / 2^SINE_BITS turns in units of 1 / ACTIVATION, rounded; for a quarter turn."""
    x = _TURN * k >> SINE_BITS
    total, term, n = 0, x, 1
    while term:
        total, n = total + term, n + 2
        size = abs(term) * x // _FINE * x // (_FINE * (n - 1) * n)
        term = -size if term > 0 else size
    return _round(total * int(ACTIVATION), _FINE)


def _arctangent_of_inverse(n: int) -> int:
    return sum((-1) ** k * (_FINE // ((2 * k + 1) * n ** (2 * k + 1))) for k in range(90))


_TURN = 8 * (4 * _arctangent_of_inverse(5) - _arctangent_of_inverse(239))
"""Two pi, by Machin's formula."""


def _tanh_over(steps: int) -> list[int]:
    """Tanh at 0 to TANH_REACH in so many steps, in units of 1 / ACTIVATION, rounded."""
    # e^(-2 x) falls by one factor a step.
    factor = _FINE * _FINE // _exponential(2 * TANH_REACH * _FINE // steps)
    found, decay = [], _FINE
    for _ in range(steps + 1):
        found.append(_round((_FINE - decay) * int(ACTIVATION), _FINE + decay))
        decay = decay * factor // _FINE
    return found


def _rounded(values: NDArray[np.floating], scale: float) -> Float64:
    return _held(np.rint(values.astype(np.float64) * scale))


def _held(values: Float64, largest: float = LARGEST) -> Float64:
    return np.clip(values, -largest, largest)


def _wrapped(values: Float64) -> Int32:
    """Whole numbers modulo 2^32."""
    return np.ascontiguousarray(values).astype(np.int64).astype(np.int32)


IntegerWeights = TrunkWeights[Float64, Int32]
"""Whole numbers, whatever the dtype."""


class IntegerMixture:
    """A frozen `siren-mixture`, ready to render exactly."""

    def __init__(self, frozen: FrozenMixture) -> None:
        self.settings = c = frozen.settings
        turns, powers = 1.0 / (2.0 * math.pi), 1 / math.log(2)
        # Arguments of sines count turns, so that a sine's period is a power of two.
        units = {"first": turns, "first_bias": turns, "hidden_bias": turns}
        units |= {"logit": powers, "logit_bias": powers, "log_rate": powers}
        self.steps = frozen.steps.astype(np.float64)
        scale = np.concatenate(
            [np.full(size, units.get(name, 1.0)) for name, size in c.part_sizes.items()]
        )
        given = {name: value.astype(np.float64) for name, value in frozen.weights.items()}
        self.map = _rounded(given["modulation"] * scale[:, None], MAP).T.copy()
        names = ["fault_plane", "first", "first_bias", "logit", "logit_bias", "level", "ramp"]
        names += ["jump", "depth", "log_rate"] if c.strata else []
        self.base = {name: _rounded(given[name] * units.get(name, 1.0), WEIGHT) for name in names}
        self.warp_first = _wrapped(_rounded(given["warp_first"] * turns, WEIGHT))
        self.warp_bias = _wrapped(_rounded(given["warp_bias"] * turns, WEIGHT) * POINT)

        def layers(name: str, unit: float, one: float) -> list[Float64]:
            return [_rounded(given[f"{name}.{i}"] * unit, one) for i in range(c.hidden_layers)]

        self.hidden = layers("hidden", turns, WEIGHT)
        self.hidden_bias = layers("hidden_bias", turns, WEIGHT)
        self.gate_in = layers("gate_in", 1.0, ACTIVATION)
        self.gate_out = layers("gate_out", turns, ACTIVATION)

    def weights(
        self, coefficients: NDArray[np.integer], step: NDArray[np.integer]
    ) -> IntegerWeights:
        """Effective weights from integers (B, latent_size) and step indices (B,)."""
        c, batch, base = self.settings, len(step), self.base
        sums = _held(coefficients.astype(np.float64), LARGEST / 16) @ self.map
        scaled = _held(np.rint(sums * (self.steps[step] * (WEIGHT / MAP))[:, None]))
        m = split_parts(scaled, c)
        w, k = c.width, c.components
        wide, deep = filled_up(w), filled_up(k)

        def shifted(name: str, *shape: int) -> Float64:
            return _held(base[name] + m[name].reshape(batch, *shape))

        hidden = np.zeros((batch, c.hidden_layers, wide, wide), np.int32)
        hidden_bias = np.zeros((batch, c.hidden_layers, wide), np.int32)
        for i in range(c.hidden_layers):
            gate = m["gate"][:, i * c.gates : (i + 1) * c.gates]
            driven = _held(np.rint(self.gate_out[i] * gate[:, None] / WEIGHT), LARGEST / 4)
            moved = driven.reshape(batch * w, c.gates) @ self.gate_in[i]
            shift = np.rint(moved.reshape(batch, w, w) * (WEIGHT / (ACTIVATION * ACTIVATION)))
            hidden[:, i, :w, :w] = _held(self.hidden[i] + shift)
            bias = self.hidden_bias[i] + m["hidden_bias"][:, i * w : (i + 1) * w]
            hidden_bias[:, i, :w] = _wrapped(bias * ACTIVATION)
        jump, depth, rate = m["jump"], m["depth"], m["log_rate"]
        if c.strata:
            jump, depth = shifted("jump", c.strata), shifted("depth", c.strata)
            rate = _power(shifted("log_rate", c.strata))
        return IntegerWeights(
            shifted("fault_plane", c.faults, 3),
            np.ascontiguousarray(m["fault_throw"]).reshape(batch, c.faults, 2),
            np.ascontiguousarray(m["warp"]).reshape(batch, 2, c.warp_features),
            _wrapped(filled(shifted("first", w, 2), wide, 2)),
            _wrapped(filled(shifted("first_bias", w) * POINT, wide)),
            hidden,
            hidden_bias,
            filled(shifted("logit", k, w), deep, wide),
            filled(shifted("logit_bias", k) * ACTIVATION, deep, value=NOWHERE),
            filled(shifted("level", k), deep),
            filled(shifted("ramp", w), wide),
            *(np.ascontiguousarray(each) for each in (jump, depth, rate)),
        )

    def render(self, points: Int32, weights: IntegerWeights) -> Float64:
        """Values (B, P), whole numbers in units of 1 / OUTPUT held within [-1, 1], at points (x, z)
        (B, 2, P) in units of 1 / POINT.
        """
        from .integer_kernel import evaluate

        values = np.empty((len(points), points.shape[-1]))
        lookup, warp = compiled_tables(), (self.warp_first, self.warp_bias)

        def work(rows: slice, columns: slice) -> None:
            own = IntegerWeights(*(each[rows] for each in weights))
            part = columns.start, columns.stop
            evaluate(*lookup, points[rows], *warp, *own, *part, values[rows])

        in_parallel(work, share_out(*values.shape, len(values), LEAST_POINTS))
        return values


@cache
def compiled_tables() -> tuple[Int32, Int32, Int32]:
    """Sine, hyperbolic tangent and powers of two as the compiled loops look them up."""
    sine, tanh, power = (tables()[name].astype(np.int32) for name in ("sine", "tanh", "power"))
    return sine, tanh, power


def _power(exponent: Float64) -> Float64:
    """2^x as an integer in units of 1 / MAP, from x in units of 1 / WEIGHT, at most 2^10."""
    exponent = np.clip(exponent, LEAST_POWER * WEIGHT, MOST_POWER * WEIGHT)
    whole = np.floor(exponent / WEIGHT)
    place = np.floor((exponent - whole * WEIGHT) * ((1 << POWER_BITS) / WEIGHT))
    scale = tables()["scale"][(whole - LEAST_POWER).astype(np.int64)]
    return np.floor(tables()["power"][place.astype(np.int64)] * scale)
