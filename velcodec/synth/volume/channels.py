"""Thin beds into which meandering rivers cut channels, filled with other rock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.models import CELLS
from velcodec.synth.volume.base import Volume, sine
from velcodec.synth.volume.layers import Folds, Horizons, Layers, draw_jitters, whole
from velcodec.synth.volume.numbers import Numbers


@dataclass(frozen=True)
class Channel:
    """A channel cut from stratigraphic depth `top` down to `depth` cells below, half as wide as
    `width`, with a parabolic floor. It runs along `direction` (x, y), `offset` cells beside the
    middle, with `meanders` of amplitude, wavelength (cells) and phase (turns). `velocity` in m/s.
    """

    top: float
    depth: float
    width: float
    direction: tuple[float, float]
    offset: float
    meanders: tuple[tuple[float, float, float], ...]
    velocity: float

    def floor(self, x: Tensor, y: Tensor) -> Tensor:
        """Depth of the floor in cells below the top, 0 beyond the banks."""
        half = CELLS / 2.0
        along = (x - half) * self.direction[0] + (y - half) * self.direction[1]
        across = (y - half) * self.direction[0] - (x - half) * self.direction[1] - self.offset
        for amplitude, wavelength, phase in self.meanders:
            across = across - sine(along / wavelength + phase) * amplitude
        share = across / self.width
        return (1.0 - share * share).clamp(min=0.0) * self.depth


@dataclass(frozen=True)
class Channelled(Volume):
    """Layers with channels, the deepest first."""

    layers: Layers
    channels: tuple[Channel, ...]

    def velocity(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        value = self.layers.velocity(x, y, z)
        below = z - self.layers.horizons.shared(x, y)
        for channel in self.channels:
            inside = (below >= channel.top) & (below < channel.floor(x, y) + channel.top)
            value = value.masked_fill_(inside, channel.velocity)
        return value


def draw_channels(numbers: Numbers) -> Channelled:
    """8 to 20 beds that dip and undulate gently, with 3 to 9 channels."""
    beds = numbers.integer(8, 20)
    steps = [math.exp(0.5 * numbers.normal()) for _ in range(beds)]
    scale, depth, depths = CELLS / sum(steps), 0.0, list[float]()
    for step in steps[:-1]:
        depth += step * scale
        depths.append(depth)
    slowest = numbers.uniform(LOW, 2300.0)
    rise = numbers.uniform(600.0, 2000.0)
    wander = numbers.uniform(100.0, 350.0)
    velocities = whole(
        [slowest + rise * d / CELLS + wander * numbers.normal() for d in (0.0, *depths)]
    )
    relief = (
        Folds(0.0, 1.0, (1.0, 0.0), 0.0, 3.0 * numbers.normal(), 3.0 * numbers.normal()),
        numbers.lattice((18.0, 18.0), numbers.uniform(0.0, 1.5)),
    )
    # Jitters would let a bed's own surface leave the channels' levels; thin beds need none.
    jitters = draw_jitters(numbers, beds - 1) if numbers.happens(0.3) else ()
    layers = Layers(velocities, Horizons(tuple(depths), relief, jitters))
    channels = [_draw_channel(numbers, layers) for _ in range(numbers.integer(3, 9))]
    return Channelled(layers, tuple(sorted(channels, key=lambda each: -each.top)))


def _draw_channel(numbers: Numbers, layers: Layers) -> Channel:
    top = numbers.uniform(4.0, 64.0)
    turn = numbers.uniform(high=2.0 * math.pi)
    host = layers.velocities[sum(depth <= top for depth in layers.horizons.depths)]
    contrast = numbers.sign() * numbers.uniform(150.0, 700.0)
    if not LOW <= host + contrast <= HIGH:
        contrast = -contrast
    (velocity,) = whole([host + contrast])
    wavelength = numbers.uniform(25.0, 60.0)
    return Channel(
        top=top,
        depth=numbers.uniform(2.0, 7.0),
        width=numbers.uniform(3.0, 9.0),
        direction=(math.cos(turn), math.sin(turn)),
        offset=numbers.uniform(-28.0, 28.0),
        meanders=(
            (numbers.uniform(2.0, 10.0), wavelength, numbers.uniform()),
            (numbers.uniform(0.5, 3.0), wavelength * numbers.uniform(0.3, 0.6), numbers.uniform()),
        ),
        velocity=velocity,
    )
