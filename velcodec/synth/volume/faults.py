"""Layers broken by dipping fault planes of any strike, along which rock slipped.

A fault moves the rock on one side of a plane; of several, the youngest applies first. Its throw may
die out along the strike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from velcodec.synth.fault_draws import KINDS
from velcodec.synth.layered import HIGH, LOW
from velcodec.synth.models import CELLS
from velcodec.synth.volume.base import Volume, step
from velcodec.synth.volume.layers import Horizons, Layers, draw_folds, draw_jitters, draw_relief
from velcodec.synth.volume.numbers import Numbers


@dataclass(frozen=True)
class Fault:
    """A fault plane: rock where normal . (x, y, z) >= offset has moved by `slip` (x, y, z).

    The slip falls to zero `reach` cells along the strike from the point `centre` cells along it.
    Reach 0: it does not fall.
    """

    normal: tuple[float, float, float]
    offset: float
    slip: tuple[float, float, float]
    centre: float
    reach: float

    def distance(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """Signed distance in cells from the plane."""
        across = x * self.normal[0] + y * self.normal[1] - self.offset
        return across + z * self.normal[2]

    def restored(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the rock that is now at x, y, z was before the slip."""
        along_x, along_y, along_z = self.slip
        if not self.reach:
            return x - along_x, y - along_y, z - along_z
        flat = math.hypot(*self.normal[:2])
        along = (y * (self.normal[0] / flat) - x * (self.normal[1] / flat) - self.centre) * (
            1.0 / self.reach
        )
        share = (1.0 - along * along).clamp(min=0.0)
        return x - share * along_x, y - share * along_y, z - share * along_z


@dataclass(frozen=True)
class Faulted(Volume):
    """Layers cut by faults, sharp or blended as the layers are."""

    layers: Layers
    faults: tuple[Fault, ...]

    def velocity(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return self._after(x, y, z, 0)

    def _after(self, x: Tensor, y: Tensor, z: Tensor, fault: int) -> Tensor:
        """The velocity with the faults from number `fault` on."""
        if fault == len(self.faults):
            return self.layers.velocity(x, y, z)
        own = self.faults[fault]
        still = self._after(x, y, z, fault + 1)
        moved = self._after(*own.restored(x, y, z), fault + 1)
        distance = own.distance(x, y, z)
        if self.layers.blended:
            return still + step(distance) * (moved - still)
        return moved.where(distance >= 0.0, still)


def draw_faulted(numbers: Numbers) -> Faulted:
    """3 to 8 layers, flat or folded, one to three faults; all sharp."""
    layers = numbers.integer(3, 8)
    faults = tuple(draw_fault(numbers) for _ in range(1 + numbers.choice((0.45, 0.35, 0.2))))
    return Faulted(_draw_layers(numbers, layers, blended=False), faults)


def draw_blended(numbers: Numbers) -> Faulted:
    """FlatFault-A and CurveFault-A: 2 to 4 layers and one fault, all blended over a cell."""
    layers = 2 + numbers.choice((0.15, 0.33, 0.52))
    return Faulted(_draw_layers(numbers, layers, blended=True), (draw_fault(numbers),))


def draw_fault(numbers: Numbers) -> Fault:
    """A fault of the measured kinds, of any strike, with some slip along the strike."""
    _, up, steepest, gentlest, first, last = KINDS[numbers.choice([kind[0] for kind in KINDS])]
    angle = math.radians(numbers.uniform(steepest, gentlest))
    crossing = numbers.uniform(first, last) - CELLS / 2.0
    throw = numbers.uniform(5.0, 10.0) * (-1.0 if up else 1.0)
    turn = numbers.uniform(high=2.0 * math.pi)
    cos, sin = math.cos(turn), math.sin(turn)
    normal = (math.cos(angle) * cos, math.cos(angle) * sin, -math.sin(angle))
    half = CELLS / 2.0
    point = (half + crossing * cos, half + crossing * sin, half)
    offset = sum(n * p for n, p in zip(normal, point, strict=True))
    heave, shear = throw * math.tan(angle), 3.0 * numbers.normal()
    slip = (heave * cos - shear * sin, heave * sin + shear * cos, throw)
    centre = half * (cos - sin) + numbers.uniform(-half, half)
    reach = numbers.uniform(35.0, 90.0) if numbers.happens(0.4) else 0.0
    return Fault(normal, offset, slip, centre, reach)


def _draw_layers(numbers: Numbers, layers: int, blended: bool) -> Layers:
    """Layers each at least 60 / layers thick, the rest split unevenly, the upper half slower than
    3000 m/s and the lower faster, as FlatFault has them.
    """
    shares = [math.exp(2.0 * numbers.normal()) for _ in range(layers)]
    thinnest, slack = 60.0 / layers, max(60.0 / layers - 5.0, 0.0) / sum(shares)
    depths, depth = list[float](), 0.0
    for share in shares[:-1]:
        depth += thinnest + slack * share
        depths.append(depth)
    middle, upper = (LOW + HIGH) / 2.0, layers // 2
    velocities = numbers.uniforms(upper, LOW, middle)
    velocities += numbers.uniforms(layers - upper, middle, HIGH)
    horizons = Horizons(tuple(depths))
    if numbers.happens(0.5):
        folded = draw_folds(numbers, layers > 4)
        relief = (folded,) if blended else draw_relief(numbers, thinnest)
        horizons = Horizons(tuple(depths), relief, draw_jitters(numbers, layers - 1))
    return Layers(tuple(sorted(float(round(v)) for v in velocities)), horizons, blended)
