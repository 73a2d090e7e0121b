"""Geology: a broader family, so that a decoder is not tied to one benchmark.

From gentle gradients and single contacts to stacks of thin folded, fanning and faulted beds under
an unconformity, with water above, lenses, salt, thin bright beds and smooth lateral change. Edges
are sharp at every resolution. geology_draws draws them; nothing here is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.synth.models import CELLS, Models

SLOWEST, FASTEST = 1000.0, 6000.0
"""Bounds of every geology model, m/s."""


@dataclass(frozen=True)
class Beds:
    """A stack of beds: `tops` (n, K), ascending cells of stratigraphic depth, and relative
    `velocities` and `gradients` per cell (n, K + 1). The stack dips by `dip` (n, 1), fans by `fan`
    (n, 1) and is folded by waves (n, W) of `amplitudes`, `wavenumbers` and `phases`.
    """

    tops: Tensor
    velocities: Tensor
    gradients: Tensor
    dip: Tensor
    fan: Tensor
    amplitudes: Tensor
    wavenumbers: Tensor
    phases: Tensor

    def at(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, P) relative velocity at cells x, z."""
        across = (x - CELLS / 2.0) / (CELLS / 2.0)
        depth = (z - CELLS / 2.0) * (1.0 + self.fan * across) + CELLS / 2.0 - self.dip * across
        for w in range(self.amplitudes.shape[1]):
            part = slice(w, w + 1)
            wave = torch.sin(across * self.wavenumbers[:, part] + self.phases[:, part])
            depth = depth - wave.mul_(self.amplitudes[:, part])
        bed = torch.searchsorted(self.tops, depth.contiguous(), right=True)
        return self.velocities.gather(1, bed) + self.gradients.gather(1, bed) * depth


@dataclass(frozen=True)
class Body:
    """A body with a star-shaped outline: centre `x`, `z`, half axes `rx`, `rz` (n, 1) in cells,
    turned by `angle` (n, 1), its radius varied by cosines of 2, 3 .. times the angle, `bumps` and
    `phases` (n, H); it is there where `exists` (n, 1) and has relative `velocity` (n, 1).
    """

    x: Tensor
    z: Tensor
    rx: Tensor
    rz: Tensor
    angle: Tensor
    bumps: Tensor
    phases: Tensor
    exists: Tensor
    velocity: Tensor

    def fill(self, value: Tensor, x: Tensor, z: Tensor) -> Tensor:
        """`value` (n, P) with the body's velocity inside it."""
        right, down = x - self.x, z - self.z
        cos, sin = torch.cos(self.angle), torch.sin(self.angle)
        a = (right * cos + down * sin) / self.rx
        b = (down * cos - right * sin) / self.rz
        outline = torch.ones_like(a)
        if self.bumps.shape[1]:
            theta = torch.atan2(b, a)
            for h in range(self.bumps.shape[1]):
                part = slice(h, h + 1)
                wave = torch.cos(theta * (h + 2.0) + self.phases[:, part])
                outline = outline + wave.mul_(self.bumps[:, part])
        inside = (a * a + b * b < outline.clamp(min=0.1) ** 2) & self.exists
        return torch.where(inside, self.velocity, value)


@dataclass(frozen=True)
class Fault:
    """Beds on the far side of the line normal . (x, z) = offset are moved by `throw` down; along
    the line lies a seam `seam` cells wide of relative velocity `velocity`. All (n, 1).
    """

    normal_x: Tensor
    normal_z: Tensor
    offset: Tensor
    throw: Tensor
    seam: Tensor
    velocity: Tensor

    def distance(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, P) signed distance in cells from the fault."""
        return x * self.normal_x + z * self.normal_z - self.offset


@dataclass(frozen=True)
class Waves:
    """A smooth field: cosines (n, W) with `amplitudes`, `wave_x`, `wave_z` (radians per cell)."""

    amplitudes: Tensor
    wave_x: Tensor
    wave_z: Tensor
    phases: Tensor

    def at(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, P) values at cells x, z."""
        total: Tensor | None = None
        for w in range(self.amplitudes.shape[1]):
            part = slice(w, w + 1)
            turn = x * self.wave_x[:, part] + (z * self.wave_z[:, part] + self.phases[:, part])
            wave = torch.cos(turn).mul_(self.amplitudes[:, part])
            total = wave if total is None else total.add_(wave)
        assert total is not None
        return total


@dataclass(frozen=True)
class GeologyModels(Models):
    """Upper beds over lower beds across the unconformity `surface` (relief like a bed), faults,
    bodies and water, scaled from relative velocity to m/s by `slowest` and `span` (n, 1).
    """

    count: int
    device: torch.device
    upper: Beds
    lower: Beds
    surface: Waves
    surface_depth: Tensor
    faults: tuple[Fault, ...]
    smooth: Waves
    bodies: tuple[Body, ...]
    water_depth: Tensor
    water: Tensor
    slowest: Tensor
    span: Tensor

    def _velocity(self, x: Tensor, z: Tensor) -> Tensor:
        moved = z.expand(self.count, -1) if z.shape[0] == 1 else z
        seams = []
        for fault in self.faults:
            distance = fault.distance(x, moved)
            moved = torch.where(distance > 0.0, moved - fault.throw, moved)
            seams.append(distance.abs_() < fault.seam)
        surface = self.surface.at(x, z).add_(self.surface_depth)
        value = torch.where(moved < surface, self.upper.at(x, moved), self.lower.at(x, moved))
        for fault, seam in zip(self.faults, seams, strict=True):
            value = torch.where(seam, fault.velocity, value)
        value = value.add_(self.smooth.at(x, z))
        for body in self.bodies:
            value = body.fill(value, x, z)
        value = torch.where(
            z < self.water_depth + 0.3 * (surface - self.surface_depth), self.water, value
        )
        return value.mul_(self.span).add_(self.slowest).clamp_(SLOWEST, FASTEST)
