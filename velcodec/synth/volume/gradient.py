"""Smooth volumes: a trend with depth, soft-edged shapes over each other, texture and lenses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.models import CELLS
from velcodec.synth.volume.base import Lattice, Volume, step
from velcodec.synth.volume.numbers import Numbers
from velcodec.synth.volume.salt import Blob


@dataclass(frozen=True)
class Shape:
    """Where the field `form` exceeds `above`: `level`, reached over `soft` of the form's values."""

    form: Lattice
    above: float
    soft: float
    level: float


@dataclass(frozen=True)
class Smooth(Volume):
    """Relative velocity: `trend` (x, y, z) from edge to edge about the middle, plus `shapes` over a
    background of 0, the later ones on top, plus `textures`, plus `lenses` with a strength each;
    held within `slowest` and `fastest` m/s by a smooth curve.
    """

    trend: tuple[float, float, float]
    shapes: tuple[Shape, ...]
    textures: tuple[Lattice, ...]
    lenses: tuple[tuple[Blob, float], ...]
    slowest: float
    fastest: float

    def velocity(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        right, back, down = ((each * (2.0 / CELLS) - 1.0) for each in (x, y, z))
        flat = right * self.trend[0] + back * self.trend[1]
        content = (x + y + z) * 0.0
        for shape in self.shapes:
            inside = step(shape.form.at(x, y, z) - shape.above, shape.soft)
            content = content + inside * (shape.level - content)
        for texture in self.textures:
            content = content + texture.at(x, y, z)
        for lens, strength in self.lenses:
            content = content + step(lens.level(x, y, z) - 0.5, 0.5) * strength
        value = content + flat + down * self.trend[2]
        share = value / (value * value + 1.0).sqrt()
        return share * (0.5 * (self.fastest - self.slowest)) + 0.5 * (self.fastest + self.slowest)


def draw_gradient(numbers: Numbers) -> Smooth:
    """From plain gradients to crowded volumes like Style-A's: each part has its own chance."""
    shapes = tuple(_draw_shape(numbers) for _ in range(numbers.integer(0, 5)))
    textures = []
    if numbers.happens(0.6):
        strength = numbers.uniform(0.02, 0.2)
        for spacing in (24.0, 12.0, 6.0):
            across = spacing * numbers.uniform(1.0, 1.8)
            textures.append(numbers.lattice((spacing, across, across), strength))
            strength *= numbers.uniform(0.3, 0.6)
    lenses = tuple(_draw_lens(numbers) for _ in range(numbers.integer(0, 4)))
    return Smooth(
        trend=(0.12 * numbers.normal(), 0.12 * numbers.normal(), numbers.uniform(0.5, 1.3)),
        shapes=shapes,
        textures=tuple(textures),
        lenses=lenses,
        slowest=numbers.uniform(LOW, 1700.0),
        fastest=numbers.uniform(3900.0, HIGH),
    )


def _draw_shape(numbers: Numbers) -> Shape:
    deep = numbers.uniform(7.0, 16.0)
    across, back = deep * numbers.uniform(0.8, 2.5), deep * numbers.uniform(0.8, 2.5)
    form = numbers.lattice((deep, back, across), 1.0)
    # The form changes by about 1 over the shortest spacing: an edge 2 to 6 cells wide.
    soft = numbers.uniform(1.5, 4.0) / min(deep, across, back)
    level = numbers.sign() * numbers.uniform(0.15, 0.9)
    return Shape(form, numbers.uniform(-0.4, 1.2), soft, level)


def _draw_lens(numbers: Numbers) -> tuple[Blob, float]:
    turn = numbers.uniform(high=math.pi)
    wide = numbers.uniform(5.0, 22.0)
    x, y, z = numbers.uniforms(3, 4.0, 66.0)
    lens = Blob(
        (x, y, z),
        (wide, wide * numbers.uniform(0.4, 1.0), wide * numbers.uniform(0.15, 0.6)),
        (math.cos(turn), math.sin(turn)),
    )
    return lens, numbers.sign() * numbers.uniform(0.15, 0.7)
