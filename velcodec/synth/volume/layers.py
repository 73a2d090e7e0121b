"""Layers between surfaces: the flat and folded families, and what others break or pierce."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from velcodec.synth.layered import FLAT_JITTER, HIGH, LOW
from velcodec.synth.models import CELLS
from velcodec.synth.volume.base import Lattice, Volume, sine, step
from velcodec.synth.volume.numbers import Numbers

_RELIEF, _JITTER = 0.274, 0.445
"""Standard deviations of CurveVel's nodes: the shared relief's in spacings of the layers, that of
each interface in cells."""


@dataclass(frozen=True)
class Folds:
    """Parallel folds that plunge: a sine of `amplitude` and `wavelength` (cells) across `axis` (x,
    y), `phase` in turns at the middle, `plunge` in cells from the middle to an edge along the axis
    and `tilt` likewise across it.
    """

    amplitude: float
    wavelength: float
    axis: tuple[float, float]
    phase: float
    tilt: float
    plunge: float

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """Depth in cells at cells x, y."""
        half = CELLS / 2.0
        across = (x - half) * self.axis[0] + (y - half) * self.axis[1]
        along = (y - half) * self.axis[0] - (x - half) * self.axis[1]
        wave = sine(across / self.wavelength + self.phase) * self.amplitude
        return wave + across * (self.tilt / half) + along * (self.plunge / half)


@dataclass(frozen=True)
class Horizons:
    """Interfaces: `depths` in cells plus shared `relief` plus a jitter of each interface's own."""

    depths: tuple[float, ...]
    relief: tuple[Folds | Lattice, ...] = ()
    jitters: tuple[Lattice, ...] = ()

    def shared(self, x: Tensor, y: Tensor) -> Tensor:
        """The relief that all interfaces share, in cells at cells x, y."""
        total = (x + y) * 0.0
        for part in self.relief:
            total = total + part.at(x, y)
        return total

    def at(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Depth in cells of each interface at cells x, y; none rises above the one before."""
        shared, found = self.shared(x, y), list[Tensor]()
        for number, depth in enumerate(self.depths):
            surface = shared + depth
            if self.jitters:
                surface = surface + self.jitters[number].at(x, y)
            if found:
                surface = surface.maximum(found[-1])
            found.append(surface)
        return found


@dataclass(frozen=True)
class Layers(Volume):
    """Constant layers of `velocities` (m/s) between horizons, sharp or `blended` over a cell."""

    velocities: tuple[float, ...]
    horizons: Horizons
    blended: bool = False

    def velocity(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        value = (x + y + z) * 0.0 + self.velocities[0]
        surfaces = self.horizons.at(x, y)
        for above, below, surface in zip(
            self.velocities[:-1], self.velocities[1:], surfaces, strict=True
        ):
            if self.blended:
                value = value + step(z - surface) * (below - above)
            else:
                value = value.masked_fill_(z >= surface, below)
        return value


def draw_velocities(numbers: Numbers, count: int, ordered: bool) -> tuple[float, ...]:
    """`count` whole velocities of U[1500, 4500] m/s, as FlatVel has them."""
    values = [float(round(v)) for v in numbers.uniforms(count, LOW, HIGH)]
    return tuple(sorted(values) if ordered else values)


def draw_relief(numbers: Numbers, spacing: float) -> tuple[Folds | Lattice, ...]:
    """The relief of CurveVel for layers `spacing` cells apart, the folds of CurveFault, or both."""
    kind = numbers.integer(0, 2)
    relief: list[Folds | Lattice] = []
    if kind != 1:
        relief.append(numbers.lattice((9.0, 9.0), _RELIEF * spacing * (1.0 if kind == 0 else 0.4)))
    if kind != 0:
        relief.append(draw_folds(numbers, numbers.happens(0.5)))
    return tuple(relief)


def draw_folds(numbers: Numbers, short: bool) -> Folds:
    """The folds of CurveFault-A, or of B (`short`), about an axis of any direction."""
    turn, sign = numbers.uniform(high=2.0 * math.pi), numbers.sign()
    low, high = (2.0, 6.0) if short else (4.0, 9.5)
    shortest, longest = (22.0, 45.0) if short else (50.0, 68.0)
    return Folds(
        amplitude=sign * numbers.uniform(low, high),
        wavelength=numbers.uniform(shortest, longest),
        axis=(math.cos(turn), math.sin(turn)),
        phase=sign * (0.42 + 0.2 * numbers.normal()) / (2.0 * math.pi),
        tilt=sign * numbers.uniform(-1.0, 8.0),
        plunge=3.0 * numbers.normal(),
    )


def draw_jitters(numbers: Numbers, count: int) -> tuple[Lattice, ...]:
    """How each of `count` interfaces differs from the shared relief."""
    return tuple(numbers.lattice((9.0, 9.0), _JITTER) for _ in range(count))


def draw_flat(numbers: Numbers) -> Layers:
    """FlatVel's layers: 4 to 8, half of the volumes faster with depth, half in any order."""
    layers = numbers.integer(4, 8)
    spacing = CELLS / (layers - 1)
    shift = numbers.uniform(-0.5, 0.5) * spacing
    depths = [
        k * spacing + shift + numbers.uniform(-FLAT_JITTER, FLAT_JITTER) for k in range(1, layers)
    ]
    velocities = draw_velocities(numbers, layers, numbers.happens(0.5))
    return Layers(velocities, Horizons(tuple(depths)))


def draw_folded(numbers: Numbers) -> Layers:
    """CurveVel's layers under one relief or plunging folds."""
    layers = numbers.integer(4, 8)
    spacing = CELLS / (layers - 1)
    relief = draw_relief(numbers, spacing)
    depths = tuple(k * spacing for k in range(1, layers))
    velocities = draw_velocities(numbers, layers, numbers.happens(0.5))
    return Layers(velocities, Horizons(depths, relief, draw_jitters(numbers, layers - 1)))


def whole(values: Sequence[float]) -> tuple[float, ...]:
    """Velocities rounded to whole m/s within the range of the published sets."""
    return tuple(min(max(float(round(v)), LOW), HIGH) for v in values)
