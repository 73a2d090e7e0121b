"""Whether the latent's answer is to be trusted, judged by that of the grid.

A decoder that cannot draw a geology explains the data worse than the grid does, or by an unlikely
model; noise hides the first. Thresholds are chosen on generated models alone
(`benchmarks/fwi_tables.py`).
"""

from __future__ import annotations

MISFIT_RATIO = 4.0
"""A latent whose misfit is more than this times the grid's is not trusted, both without the part
of the noise.
"""

LEAST_EXCESS = 5e-3
"""A grid's misfit is not told from that of the noise within this share of it."""

MOST_ENERGY = 6.5
"""Nor is a latent of more energy trusted: 99 % of the models of every family of the generator are
fitted by less (`benchmarks/uncertainty.py`).
"""


def misfit_ratio(misfit: float, grid_misfit: float, noise_misfit: float) -> float:
    """The latent's misfit over the grid's, both without the part of the noise."""
    grid = max(grid_misfit - noise_misfit, LEAST_EXCESS * noise_misfit, 1e-12)
    return (misfit - noise_misfit) / grid


def is_trusted(misfit: float, grid_misfit: float, noise_misfit: float, energy: float) -> bool:
    """Whether the latent explains the data about as well as the grid, by a likely model."""
    ratio = misfit_ratio(misfit, grid_misfit, noise_misfit)
    return ratio <= MISFIT_RATIO and energy <= MOST_ENERGY
