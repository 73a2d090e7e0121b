"""The random numbers of one volume, as Python numbers: hashes of (family, seed, number, slot)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from velcodec.synth.draws import Draws
from velcodec.synth.volume.base import Lattice, lattice_size

_AT_ONCE = 256
_FIRST = 1 << 16
"""Families of volumes are numbered from here, apart from those of models."""


class Numbers:
    """Numbers of volume `number` of a family and seed, one after the other."""

    def __init__(self, family: int, seed: int, number: int, device: torch.device) -> None:
        self.device = device
        self._draws = Draws(_FIRST + family, seed, number, 1)
        self._ready: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """From the open interval (low, high)."""
        if not self._ready:
            self._ready = self._draws.uniform(_AT_ONCE)[0].tolist()
        return low + (high - low) * self._ready.pop()

    def uniforms(self, count: int, low: float = 0.0, high: float = 1.0) -> list[float]:
        """`count` from (low, high)."""
        return [self.uniform(low, high) for _ in range(count)]

    def integer(self, low: int, high: int) -> int:
        """From low to high, inclusive."""
        return min(low + int(self.uniform() * (high - low + 1)), high)

    def happens(self, probability: float) -> bool:
        """True with `probability`."""
        return self.uniform() < probability

    def sign(self) -> float:
        """-1 or 1."""
        return 1.0 if self.happens(0.5) else -1.0

    def normal(self) -> float:
        """From the standard normal distribution."""
        radius = math.sqrt(-2.0 * math.log(self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def choice(self, weights: Sequence[float]) -> int:
        """An index, in proportion to `weights`."""
        left = self.uniform() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0.0:
                return index
        return len(weights) - 1

    def lattice(self, spacing: Sequence[float], amplitude: float) -> Lattice:
        """A random field of mean 0 and standard deviation about `amplitude`, smooth over
        `spacing` cells along (z, y, x) or (y, x).
        """
        shape = [lattice_size(each) for each in spacing]
        # A cubic B-spline of white coefficients has 0.48 of their variance along each axis.
        gain = amplitude / 0.48 ** (len(shape) / 2)
        coefficients: Tensor = self._draws.noise(*shape)[0] * gain
        return Lattice(coefficients.to(self.device), tuple(spacing))
