"""`siren-mixture` in exact arithmetic: the same integers on every machine, batch and device.

Sums of products run over integers small enough that float64 holds every partial sum (2^53), so
their order does not matter; what is left is elementwise and correctly rounded by IEEE 754. Sine,
hyperbolic tangent and powers of two are tables. The result is within about 1 m/s of the float
rendering, and is what correction streams are coded against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .siren_mixture import SirenMixture

POINT, WEIGHT, ACTIVATION, MAP = 2.0**16, 2.0**16, 2.0**15, 2.0**20
"""What 1.0 is in coordinates, weights, activations, and the map from the latent."""

OUTPUT = 2.0**15
"""What 1.0 is in the rendering, which is normalised to [-1, 1]."""

SINE_BITS, TANH_BITS, TANH_REACH, POWER_BITS = 14, 14, 8, 12
LARGEST = 2.0**24
"""Weights and modulations are held within this, so that no sum leaves float64."""

LEAST_POWER, MOST_POWER = -40, 10
_FINE = 1 << 96
"""What 1.0 is while the tables are made."""


@cache
def tables() -> dict[str, NDArray[np.float64]]:
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


def _rounded(values: Tensor, scale: float) -> Tensor:
    return torch.round(values.double() * scale).clamp(-LARGEST, LARGEST)


@dataclass(frozen=True)
class IntegerWeights:
    """Effective weights of B models as integers in float64; shapes as in `SirenMixture`."""

    plane: Tensor
    throw: Tensor
    warp: Tensor
    first: Tensor
    first_bias: Tensor
    hidden: list[Tensor]
    hidden_bias: list[Tensor]
    logit: Tensor
    logit_bias: Tensor
    level: Tensor
    ramp: Tensor
    jump: Tensor
    depth: Tensor
    rate: Tensor


class IntegerMixture:
    """A frozen `siren-mixture`, ready to render exactly on its device."""

    def __init__(self, decoder: SirenMixture) -> None:
        self.settings = decoder.settings
        self.sizes = decoder.part_sizes
        device = decoder.device
        self.tables = {
            name: torch.as_tensor(table, device=device) for name, table in tables().items()
        }
        turns = 1.0 / (2.0 * math.pi)
        # Arguments of sines count turns, so that a sine's period is a power of two.
        self.units = {"warp_phase": turns, "first": turns, "first_bias": turns}
        self.units |= {
            "hidden_bias": turns,
            "logit": 1 / math.log(2),
            "logit_bias": 1 / math.log(2),
        }
        self.units |= {"log_rate": 1 / math.log(2)}
        self.steps = decoder.steps.double()
        scale = torch.cat(
            [
                torch.full((size,), self.units.get(name, 1.0), dtype=torch.float64)
                for name, size in self.sizes.items()
            ]
        ).to(device)
        self.map = _rounded(decoder.modulation.double() * scale[:, None], MAP)
        self.base = {
            name: _rounded(getattr(decoder, name).double() * self.units.get(name, 1.0), WEIGHT)
            for name in (
                "fault_plane",
                "first",
                "first_bias",
                "logit",
                "logit_bias",
                "level",
                "ramp",
            )
        }
        if self.settings.strata:
            for name in ("jump", "depth", "log_rate"):
                unit = self.units.get(name, 1.0)
                self.base[name] = _rounded(getattr(decoder, name).double() * unit, WEIGHT)
        self.warp_first = _rounded(decoder.warp_first.double() * turns, WEIGHT)
        self.warp_bias = _rounded(decoder.warp_bias.double() * turns, WEIGHT)
        self.hidden = [_rounded(w.double() * turns, WEIGHT) for w in decoder.hidden]
        self.hidden_bias = [_rounded(b.double() * turns, WEIGHT) for b in decoder.hidden_bias]
        self.gate_in = [_rounded(g, ACTIVATION) for g in decoder.gate_in]
        self.gate_out = [_rounded(g.double() * turns, ACTIVATION) for g in decoder.gate_out]

    def weights(self, coefficients: Tensor, step: Tensor) -> IntegerWeights:
        """Effective weights from integers (B, latent_size) and step indices (B,)."""
        c, batch = self.settings, len(step)
        sums = coefficients.double().clamp(-LARGEST / 16, LARGEST / 16) @ self.map.T
        scaled = torch.round(sums * (self.steps[step] * (WEIGHT / MAP))[:, None])
        split = scaled.clamp(-LARGEST, LARGEST).split(list(self.sizes.values()), dim=1)
        m = dict(zip(self.sizes, split, strict=True))
        base = self.base

        def shifted(name: str, *shape: int) -> Tensor:
            return (base[name] + m[name].view(batch, *shape)).clamp(-LARGEST, LARGEST)

        hidden = []
        for w, out, into, g in zip(
            self.hidden, self.gate_out, self.gate_in, m["gate"].chunk(c.hidden_layers, 1),
            strict=True,
        ):  # fmt: skip
            driven = torch.round(out * g[:, None, :] / WEIGHT).clamp(-LARGEST / 4, LARGEST / 4)
            shift = torch.round((driven @ into) * (WEIGHT / (ACTIVATION * ACTIVATION)))
            hidden.append((w + shift).clamp(-LARGEST, LARGEST))
        shifts = m["hidden_bias"].chunk(c.hidden_layers, dim=1)
        strata = [m["jump"], m["depth"], m["log_rate"]]
        if c.strata:
            strata = [
                shifted("jump", -1),
                shifted("depth", -1),
                self._power(shifted("log_rate", -1)),
            ]
        return IntegerWeights(
            shifted("fault_plane", c.faults, 3),
            m["fault_throw"].view(batch, c.faults, 2),
            m["warp"].view(batch, 2, c.warp_features),
            shifted("first", c.width, 2),
            shifted("first_bias", -1),
            hidden,
            [b + s for b, s in zip(self.hidden_bias, shifts, strict=True)],
            shifted("logit", c.components, c.width),
            shifted("logit_bias", -1),
            shifted("level", -1),
            shifted("ramp", -1),
            *strata,
        )

    def _power(self, exponent: Tensor) -> Tensor:
        """2^x as an integer in units of 1 / MAP, from x in units of 1 / WEIGHT, at most 2^4."""
        exponent = exponent.clamp(LEAST_POWER * WEIGHT, MOST_POWER * WEIGHT)
        whole = torch.floor(exponent / WEIGHT)
        place = torch.floor((exponent - whole * WEIGHT) * ((1 << POWER_BITS) / WEIGHT))
        scale = self.tables["scale"][(whole - LEAST_POWER).long()]
        return torch.floor(self.tables["power"][place.long()] * scale)

    def _sine(self, turns: Tensor, unit: float) -> Tensor:
        """Sine of `turns` / `unit` turns, in units of 1 / ACTIVATION."""
        place = torch.floor(turns * ((1 << SINE_BITS) / unit))
        return self.tables["sine"][torch.remainder(place, 1 << SINE_BITS).long()]

    def _tanh(self, argument: Tensor, unit: float) -> Tensor:
        place = torch.floor(argument * ((1 << TANH_BITS) / (2 * TANH_REACH * unit)))
        place = (place + (1 << (TANH_BITS - 1))).clamp(0, (1 << TANH_BITS) - 1)
        return self.tables["tanh"][place.long()]

    def render(self, points: Tensor, w: IntegerWeights) -> Tensor:
        """Values (B, P), integers in units of 1 / OUTPUT held within [-1, 1], at points (B, P, 2)
        given as integers in units of 1 / POINT.
        """
        c = self.settings
        if c.faults:
            place = points @ w.plane[..., :2].mT + w.plane[..., None, :, 2] * POINT
            moved = self._tanh(place, POINT * WEIGHT) @ w.throw
            points = points + torch.round(moved * (POINT / (ACTIVATION * WEIGHT)))
        points = points.clamp(-4 * POINT, 4 * POINT)
        if c.warp_features:
            phase = points @ self.warp_first.T + self.warp_bias * POINT
            moved = self._sine(phase, POINT * WEIGHT) @ w.warp.mT
            points = points + torch.round(moved * (POINT / (ACTIVATION * WEIGHT)))
        points = points.clamp(-4 * POINT, 4 * POINT)
        h = self._sine(points @ w.first.mT + w.first_bias[:, None] * POINT, POINT * WEIGHT)
        for weight, bias in zip(w.hidden, w.hidden_bias, strict=True):
            h = self._sine(h @ weight.mT + bias[:, None] * ACTIVATION, ACTIVATION * WEIGHT)
        logit = h @ w.logit.mT + w.logit_bias[:, None] * ACTIVATION
        logit = torch.floor(logit * (1 / ACTIVATION))
        share = self._power(logit - logit.amax(-1, keepdim=True))
        share = torch.floor(share * ACTIVATION / share.sum(-1, keepdim=True))
        value = (share @ w.level[..., None] + h @ w.ramp[..., None])[..., 0]
        if c.strata:
            below = points[..., 1:] - torch.round(w.depth * (POINT / WEIGHT))[:, None]
            side = self._tanh(below * w.rate[:, None], POINT * MAP)
            value = value + (side @ w.jump[..., None])[..., 0]
        return torch.round(value * (OUTPUT / (ACTIVATION * WEIGHT))).clamp(-OUTPUT, OUTPUT)
