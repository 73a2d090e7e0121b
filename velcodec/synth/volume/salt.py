"""Salt bodies that pierce folded sediments, under water or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.models import CELLS
from velcodec.synth.volume.base import Lattice, Volume, sine
from velcodec.synth.volume.layers import Horizons, Layers, draw_jitters, draw_relief, whole
from velcodec.synth.volume.numbers import Numbers


@dataclass(frozen=True)
class Blob:
    """An ellipsoid of `centre` and half axes `radii` (x, y, z) in cells, turned about z so that its
    first axis lies along `direction` (x, y).
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    direction: tuple[float, float]

    def level(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """1 at the centre, 0 on the surface, negative beyond."""
        cos, sin = self.direction
        right, back = x - self.centre[0], y - self.centre[1]
        a = (right * cos + back * sin) * (1.0 / self.radii[0])
        b = (back * cos - right * sin) * (1.0 / self.radii[1])
        c = (z - self.centre[2]) * (1.0 / self.radii[2])
        return 1.0 - (a * a + b * b) - c * c


@dataclass(frozen=True)
class Ripple:
    """A plane wave of `amplitude` with `turns` (x, y, z) per cell and `phase` in turns."""

    amplitude: float
    turns: tuple[float, float, float]
    phase: float

    def at(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The wave at cells x, y, z."""
        flat = x * self.turns[0] + y * self.turns[1] + self.phase
        deep = z * self.turns[2]
        # The sine of a sum: sines are taken of columns and of depths, not of every sample.
        return sine(flat) * (sine(deep + 0.25) * self.amplitude) + sine(flat + 0.25) * (
            sine(deep) * self.amplitude
        )


@dataclass(frozen=True)
class Salted(Volume):
    """Layers whose velocity may rise by `gradient` (m/s per cell below the shared relief), `blobs`
    of salt with a surface roughened by `ripples`, and water above `floor` cells (0: none).
    """

    layers: Layers
    gradient: float
    blobs: tuple[Blob, ...]
    ripples: tuple[Ripple, ...]
    salt: float
    floor: float
    seabed: Lattice

    def velocity(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        value = self.layers.velocity(x, y, z)
        if self.gradient:
            deep = z - self.layers.horizons.shared(x, y)
            value = (value + deep * self.gradient).clamp(LOW, HIGH)
        level = self.blobs[0].level(x, y, z)
        for blob in self.blobs[1:]:
            level = level.maximum(blob.level(x, y, z))
        for ripple in self.ripples:
            level = level + ripple.at(x, y, z)
        value = value.masked_fill_(level > 0.0, self.salt)
        if self.floor:
            value = value.masked_fill_(z < self.seabed.at(x, y) + self.floor, LOW)
        return value


def draw_salt(numbers: Numbers) -> Salted:
    """6 to 12 layers, a stem and a cap of salt and perhaps a second body, water in half."""
    count = numbers.integer(6, 12)
    spacing = CELLS / count
    depths = [k * spacing + numbers.uniform(-0.3, 0.3) * spacing for k in range(1, count)]
    slowest, rise = numbers.uniform(1550.0, 2100.0), numbers.uniform(900.0, 1700.0)
    velocities = whole(
        [slowest + rise * d / CELLS + 120.0 * numbers.normal() for d in (0.0, *depths)]
    )
    relief = draw_relief(numbers, spacing)
    layers = Layers(velocities, Horizons(tuple(depths), relief, draw_jitters(numbers, count - 1)))
    gradient = numbers.uniform(2.0, 10.0) if numbers.happens(0.5) else 0.0
    blobs = _draw_dome(numbers)
    if numbers.happens(0.4):
        blobs = (*blobs, *_draw_dome(numbers))
    ripples = tuple(_draw_ripple(numbers) for _ in range(8))
    return Salted(
        layers=layers,
        gradient=gradient,
        blobs=blobs,
        ripples=ripples,
        salt=float(round(numbers.uniform(4350.0, HIGH))),
        floor=numbers.uniform(4.0, 16.0) if numbers.happens(0.5) else 0.0,
        seabed=numbers.lattice((14.0, 14.0), 1.2),
    )


def _draw_dome(numbers: Numbers) -> tuple[Blob, ...]:
    """A stem and a cap that overhangs it."""
    x, y = numbers.uniform(8.0, 62.0), numbers.uniform(8.0, 62.0)
    turn = numbers.uniform(high=math.pi)
    direction = (math.cos(turn), math.sin(turn))
    top, wide = numbers.uniform(12.0, 45.0), numbers.uniform(6.0, 13.0)
    stem = Blob(
        centre=(x, y, top + 45.0),
        radii=(wide, wide * numbers.uniform(0.6, 1.6), 45.0),
        direction=direction,
    )
    cap = Blob(
        centre=(x + 3.0 * numbers.normal(), y + 3.0 * numbers.normal(), top + 6.0),
        radii=(wide * numbers.uniform(1.0, 2.6), wide * numbers.uniform(1.0, 2.0),
               numbers.uniform(5.0, 11.0)),
        direction=direction,
    )  # fmt: skip
    return stem, cap


def _draw_ripple(numbers: Numbers) -> Ripple:
    """A wave of 9 to 45 cells in any direction."""
    wavelength = 9.0 * 5.0 ** numbers.uniform()
    up = numbers.uniform(-1.0, 1.0)
    turn, flat = numbers.uniform(high=2.0 * math.pi), math.sqrt(1.0 - up * up)
    turns = (flat * math.cos(turn), flat * math.sin(turn), up)
    return Ripple(
        amplitude=0.2 * (wavelength / 45.0) ** 0.8 * numbers.normal(),
        turns=(turns[0] / wavelength, turns[1] / wavelength, turns[2] / wavelength),
        phase=numbers.uniform(),
    )
