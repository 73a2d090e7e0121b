"""Random numbers that depend only on (family, seed, model number, slot): a hash, not a stream.

Model 17 of a seed is the same model alone, in a batch of 10,000 and on any device, because each
number is splitmix64's finaliser applied to a counter. No global state; not cryptographic.
"""

from __future__ import annotations

import math
from copy import copy

import torch
from torch import Tensor


def _as_signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


# splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
_GAMMA = _as_signed(0x9E3779B97F4A7C15)
_SLOT_GAMMA = _as_signed(0xD1B54A32D192ED03)
_MULTIPLY_1 = _as_signed(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = _as_signed(0x94D049BB133111EB)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's int64 `>>` copies the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """splitmix64's finaliser on int64, elementwise; products wrap modulo 2^64."""
    x = (x ^ _shift_right(x, 30)) * _MULTIPLY_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLY_2
    return x ^ _shift_right(x, 31)


class Draws:
    """The random numbers of models start .. start + count - 1 of one family and seed.

    Each call takes new slots in order, so a family must make the same calls for every model. All
    tensors have the models along the first axis, float32 or int64, on `device`.
    """

    def __init__(
        self, family: int, seed: int, start: int, count: int, device: torch.device | str = "cpu"
    ) -> None:
        self.count = count
        self.device = torch.device(device)
        root = torch.tensor([_as_signed(seed)], device=self.device)
        root = mix(mix(root + _GAMMA) + _as_signed(_GAMMA * (family + 1)))
        numbers = torch.arange(start, start + count, device=self.device, dtype=torch.int64)
        self._keys = mix(root + _GAMMA * (numbers + 1))
        self._slot = 0

    def split(self, most: int) -> list[Draws]:
        """The same models in batches of at most `most`, continuing at the current slot."""
        parts = []
        for first in range(0, self.count, most):
            part = copy(self)
            part._keys = self._keys[first : first + most]
            part.count = len(part._keys)
            parts.append(part)
        return parts

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(count, *shape) numbers from the open interval (low, high)."""
        size = math.prod(shape)
        slots = torch.arange(self._slot + 1, self._slot + 1 + size, device=self.device)
        self._slot += size
        bits = _shift_right(mix(self._keys[:, None] + slots * _SLOT_GAMMA), 41)
        unit = (bits.to(torch.float32) + 0.5) * 2.0**-23
        return (low + (high - low) * unit).reshape(self.count, *shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """(count, *shape) int64 from low to high, inclusive."""
        return low + (self.uniform(*shape) * (high - low + 1)).to(torch.int64).clamp(max=high - low)

    def noise(self, *shape: int) -> Tensor:
        """(count, *shape) white noise, uniform with mean 0 and variance 1 in steps of 2^-16 of its
        span: four numbers per hash, for fields that will be filtered.
        """
        size = math.prod(shape)
        slots = torch.arange(self._slot + 1, self._slot + 2 + (size - 1) // 4, device=self.device)
        self._slot += len(slots)
        words = mix(self._keys[:, None] + slots * _SLOT_GAMMA).view(torch.int16)
        scale = math.sqrt(12.0) / 65536.0
        return ((words[:, :size].to(torch.float32) + 0.5) * scale).reshape(self.count, *shape)

    def normal(self, *shape: int) -> Tensor:
        """(count, *shape) standard normal numbers (Box-Muller)."""
        radius = torch.sqrt(-2.0 * torch.log(self.uniform(*shape)))
        return radius * torch.cos(2.0 * math.pi * self.uniform(*shape))

    def happens(self, probability: float, *shape: int) -> Tensor:
        """(count, *shape) booleans, true with `probability`."""
        return self.uniform(*shape) < probability

    def choice(self, weights: tuple[float, ...], *shape: int) -> Tensor:
        """(count, *shape) int64 indices, index i in proportion to weights[i]."""
        total = sum(weights)
        edges = torch.tensor([sum(weights[: i + 1]) / total for i in range(len(weights) - 1)])
        return torch.bucketize(self.uniform(*shape), edges.to(self.device))
