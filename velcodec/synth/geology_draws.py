"""Random ingredients of the geology family: beds, faults, lenses, salt, water, smooth change.

It follows no data set; the ranges were chosen by looking at tiles of the usual benchmark models.
Lengths are in cells, velocities relative (0 to 1 over the beds) until the span scales them. It
evaluates nothing.
"""

from __future__ import annotations

import torch

from velcodec.synth.draws import Draws
from velcodec.synth.geology import Beds, Body, Fault, GeologyModels, Waves
from velcodec.synth.models import CELLS

_BEDS = 32


def draw_geology(draws: Draws) -> GeologyModels:
    """Every ingredient has its own chance, so that plain and crowded models both come up."""
    upper, lower = _draw_beds(draws), _draw_beds(draws)
    broken = draws.happens(0.4, 1)
    surface_depth = torch.where(broken, draws.uniform(1, low=5.0, high=60.0), -1e4)
    faults = tuple(_draw_fault(draws) for _ in range(2))
    smooth = _draw_waves(draws, 6, 20.0, 120.0)
    strength = torch.where(draws.happens(0.5, 1), draws.uniform(1) ** 2 * 0.25, 0.0)
    smooth = Waves(smooth.amplitudes * strength, smooth.wave_x, smooth.wave_z, smooth.phases)
    bodies = (_draw_lens(draws), _draw_lens(draws), _draw_salt(draws))
    wet = draws.happens(0.15, 1)
    water_depth = torch.where(wet, draws.uniform(1, low=2.0, high=50.0), -1e4)
    return GeologyModels(
        count=draws.count,
        device=draws.device,
        upper=upper,
        lower=lower,
        surface=_draw_surface(draws),
        surface_depth=surface_depth,
        faults=faults,
        smooth=smooth,
        bodies=bodies,
        water_depth=water_depth,
        water=draws.uniform(1, low=-0.3, high=0.0),
        slowest=draws.uniform(1, low=1300.0, high=3200.0),
        span=torch.exp(draws.uniform(1, low=5.0, high=7.7)),
    )


def _draw_beds(draws: Draws) -> Beds:
    """1 to 32 beds: even, uneven or thin bright ones in thick dull ones; velocities rise, wander
    or jump.
    """
    thickness = torch.exp(draws.uniform(1, low=1.2, high=4.2))
    uneven = draws.uniform(1, low=0.1, high=1.0)
    steps = thickness * torch.exp(uneven * draws.normal(_BEDS))
    seams = draws.happens(0.2, 1)
    odd = (torch.arange(_BEDS, device=draws.device) % 2 == 1)[None]
    thin = draws.uniform(1, low=0.6, high=2.5)
    steps = torch.where(seams & odd, thin, steps)
    tops = steps.cumsum(dim=1) + draws.uniform(1, low=-1.0, high=0.0) * thickness
    # Deep stacks start above the model, so that tilted and folded beds fill it.
    start = torch.where(draws.happens(0.7, 1), -40.0, 5.0)
    tops = tops + start
    normal = draws.normal(_BEDS + 1)
    wander = normal * normal.abs() ** draws.uniform(1, low=0.0, high=1.5)
    wander = torch.where(draws.happens(0.3, 1), 0.4 * wander.cumsum(dim=1), wander)
    middle = torch.cat([tops[:, :1], tops], dim=1)
    rise = torch.where(draws.happens(0.75, 1), draws.uniform(1, low=0.0, high=4.0), -0.5)
    velocity = wander + rise * middle / CELLS
    bright = torch.cat([odd.new_zeros(1, 1), odd], dim=1)[:, : _BEDS + 1]
    velocity = torch.where(
        seams, 0.1 * velocity + rise * middle / CELLS * 0.5 + bright * 1.0, velocity
    )
    seen = (middle > -15.0) & (middle < 85.0)
    low = torch.where(seen, velocity, 1e9).amin(dim=1, keepdim=True)
    high = torch.where(seen, velocity, -1e9).amax(dim=1, keepdim=True)
    single = high - low < 0.2
    velocity = torch.where(single, velocity * 0.1, (velocity - low) / (high - low).clamp(min=0.2))
    velocity = velocity.clamp(-0.2, 1.3)
    gradient = draws.normal(_BEDS + 1) * draws.happens(0.3, 1) * 0.002
    gradient = gradient + draws.happens(0.5, 1) * draws.uniform(1, low=0.0, high=0.012)
    flat = draws.happens(0.4, 1)
    fold = draws.uniform(1) ** 2 * 12.0 * torch.where(flat, 0.2, 1.0)
    order = torch.arange(1, 4, device=draws.device)
    return Beds(
        tops=tops.contiguous(),
        velocities=velocity,
        gradients=gradient,
        dip=draws.normal(1) * torch.where(flat, 2.0, 18.0),
        fan=draws.uniform(1, low=-0.35, high=0.35) * ~flat,
        amplitudes=fold * draws.uniform(3, low=-1.0, high=1.0) / order,
        wavenumbers=order * draws.uniform(3, low=0.8, high=3.2),
        phases=draws.uniform(3, high=6.2832),
    )


def _draw_waves(draws: Draws, waves: int, shortest: float, longest: float) -> Waves:
    length = shortest * (longest / shortest) ** draws.uniform(waves)
    turn = 6.2832 * draws.uniform(waves)
    number = 6.2832 / length
    amplitude = draws.normal(waves) * (length / longest)
    phase = draws.uniform(waves, high=6.2832)
    return Waves(amplitude, number * torch.cos(turn), number * torch.sin(turn), phase)


def _draw_surface(draws: Draws) -> Waves:
    """The relief of an unconformity: mostly gentle, in x only."""
    waves = _draw_waves(draws, 3, 25.0, 160.0)
    relief = draws.uniform(1) ** 2 * 10.0
    return Waves(
        waves.amplitudes * relief, waves.wave_x, torch.zeros_like(waves.wave_z), waves.phases
    )


def _draw_fault(draws: Draws) -> Fault:
    angle = draws.uniform(1, low=-1.1, high=1.1)
    x, z = draws.uniform(1, low=0.0, high=CELLS), draws.uniform(1, low=0.0, high=CELLS)
    side = torch.where(draws.happens(0.5, 1), 1.0, -1.0)
    cos, sin = torch.cos(angle) * side, -torch.sin(angle) * side
    slips = draws.happens(0.35, 1)
    throw = torch.where(slips, draws.uniform(1, low=-15.0, high=15.0), 0.0)
    seam = draws.happens(0.12, 1) * draws.uniform(1, low=0.4, high=1.2)
    return Fault(cos, sin, cos * x + sin * z, throw, seam, draws.uniform(1, low=-0.2, high=1.2))


def _draw_lens(draws: Draws) -> Body:
    none = draws.uniform(0)
    return Body(
        x=draws.uniform(1, low=0.0, high=CELLS),
        z=draws.uniform(1, low=0.0, high=CELLS),
        rx=torch.exp(draws.uniform(1, low=1.2, high=3.2)),
        rz=torch.exp(draws.uniform(1, low=0.0, high=1.8)),
        angle=0.3 * draws.normal(1),
        bumps=none,
        phases=none,
        exists=draws.happens(0.12, 1),
        velocity=draws.uniform(1, low=-0.4, high=1.4),
    )


def _draw_salt(draws: Draws) -> Body:
    """A large body, its edge smooth to rugged, often reaching beyond the model."""
    rugged = draws.uniform(1, low=0.05, high=0.45)
    order = torch.arange(2, 8, device=draws.device)
    return Body(
        x=draws.uniform(1, low=-15.0, high=85.0),
        z=draws.uniform(1, low=-15.0, high=85.0),
        rx=torch.exp(draws.uniform(1, low=2.3, high=4.0)),
        rz=torch.exp(draws.uniform(1, low=2.0, high=3.8)),
        angle=draws.uniform(1, high=3.1416),
        bumps=rugged * draws.normal(6) / order**0.7,
        phases=draws.uniform(6, high=6.2832),
        exists=draws.happens(0.25, 1),
        velocity=draws.uniform(1, low=0.9, high=2.5),
    )
