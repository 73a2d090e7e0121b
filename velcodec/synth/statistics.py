"""Summary statistics of velocity models on a grid, for comparing generated with published sets.

Functions take models (n, nz, nx) in m/s, depth down, and return plain numbers. Used by the tests
and by the tables in docs/generator.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def dominant_levels(model: Array, share: float = 0.025) -> Array:
    """Velocities (m/s, ascending) of exactly equal samples that make up at least `share` of one
    model.
    """
    values, counts = np.unique(model, return_counts=True)
    levels: Array = values[counts >= share * model.size]
    return levels


def transitional_share(models: Array) -> float:
    """Share of samples whose velocity is not a whole number of m/s: blends of two layers."""
    return float(np.mean(np.abs(models - np.round(models)) > 1e-3))


def non_monotone_share(models: Array, tolerance: float = 1.0) -> float:
    """Share of depth profiles with a velocity decrease of more than `tolerance` m/s."""
    return float(np.mean(np.any(np.diff(models, axis=1) < -tolerance, axis=1)))


def interface_depths(profile: Array, jump: float = 0.5) -> NDArray[np.int64]:
    """Rows of one depth profile (nz,) where a layer begins: velocity changes by more than
    `jump`.
    """
    return np.flatnonzero(np.abs(np.diff(profile)) > jump) + 1


def layer_counts(models: Array) -> NDArray[np.int64]:
    """Visible layers of every model's first column, (n,): exact for sharp layered sets."""
    return np.array([len(interface_depths(model[:, 0])) + 1 for model in models])


def interface_spacings(models: Array) -> Array:
    """Distances in cells between neighbouring interfaces of the first columns, pooled."""
    return np.concatenate([np.diff(interface_depths(model[:, 0])) for model in models]).astype(
        float
    )


def thickness_spreads(models: Array) -> Array:
    """Greatest minus least thickness, in samples, of each layer that is present in all columns.

    For layers whose velocities increase with depth; `models` (n, nz, nx), result (layers,).
    """
    spreads = []
    for model in models:
        levels = np.unique(model)[1:]
        depths = (model[None] < levels[:, None, None]).sum(axis=1)
        whole = ((depths > 0) & (depths < len(model))).all(axis=1)
        thickness = np.diff(depths, axis=0)[whole[1:] & whole[:-1]]
        spreads.append(np.ptp(thickness, axis=1))
    return np.concatenate(spreads).astype(np.float64)


def strongest_offsets(models: Array) -> Array:
    """(n,) depth range in cells of the strongest interface over the columns of flat-layered models.

    The interface is the largest gap between dominant levels; its depth in a column is where the
    velocity first passes the middle of that gap.
    """
    offsets = []
    for model in models:
        levels = dominant_levels(model)
        if len(levels) < 2:
            continue
        gap = int(np.argmax(np.diff(levels)))
        deeper = model > (levels[gap] + levels[gap + 1]) / 2.0
        depth = np.where(deeper.any(axis=0), deeper.argmax(axis=0), model.shape[0])
        offsets.append(float(depth.max() - depth.min()))
    return np.array(offsets)


def to_unit(models: Array) -> Array:
    """Each model scaled to its own range, [0, 1]."""
    low = models.min(axis=(1, 2), keepdims=True)
    high = models.max(axis=(1, 2), keepdims=True)
    unit: Array = (models - low) / np.maximum(high - low, 1e-9)
    return unit


def depth_trend(models: Array, bands: int = 6) -> Array:
    """(bands,) mean of `to_unit` models in equal depth bands."""
    unit = to_unit(models)
    return np.array([band.mean() for band in np.array_split(unit, bands, axis=1)])


def gradient_quantiles(models: Array, axis: int) -> Array:
    """50, 75, 90, 95, 99 % quantiles of |difference between neighbours| of `to_unit` models."""
    return np.quantile(np.abs(np.diff(to_unit(models), axis=axis)), [0.5, 0.75, 0.9, 0.95, 0.99])


def gradient_kurtosis(models: Array, axis: int) -> float:
    """Kurtosis of the difference between neighbours of `to_unit` models: 3 for Gaussian fields,
    more with edges, 0 if nothing changes along `axis`.
    """
    step = np.diff(to_unit(models), axis=axis)
    step = step - step.mean()
    variance = float(np.mean(step**2))
    return float(np.mean(step**4)) / variance**2 if variance > 0.0 else 0.0


def lateral_spectrum(models: Array) -> Array:
    """log10 power at 1, 2 .. 10 cycles per width of `to_unit` rows minus their means (Hann window);
    NaN for models without lateral change.
    """
    unit = to_unit(models)
    rows = (unit - unit.mean(axis=2, keepdims=True)) * np.hanning(unit.shape[2])
    power = np.mean(np.abs(np.fft.rfft(rows, axis=2)) ** 2, axis=(0, 1))[1:11]
    spectrum: Array = np.log10(np.where(power > 1e-9, power, np.nan))
    return spectrum


def summary(models: Array) -> dict[str, float]:
    """The figures of the comparison table, by name. Steps between neighbours are in percent of the
    model's range.
    """
    lateral, vertical = gradient_quantiles(models, 2), gradient_quantiles(models, 1)
    unit, power = to_unit(models), lateral_spectrum(models)
    return {
        "mean, m/s": float(models.mean()),
        "sd, m/s": float(models.std()),
        "mean, of range": float(unit.mean()),
        "sd, of range": float(unit.std(axis=(1, 2)).mean()),
        "transitional samples": transitional_share(models),
        "non-monotone profiles, > 100 m/s": non_monotone_share(models, 100.0),
        "lateral step, 90 %": 100.0 * float(lateral[2]),
        "lateral step, 99 %": 100.0 * float(lateral[4]),
        "vertical step, 90 %": 100.0 * float(vertical[2]),
        "vertical step, 99 %": 100.0 * float(vertical[4]),
        "lateral power, 1 cycle (log10)": float(power[0]),
        "lateral power, 4 cycles (log10)": float(power[3]),
    }


def comparison_table(columns: dict[str, Array]) -> str:
    """A markdown table of `summary`, one column per named set of models."""
    figures = {name: summary(models) for name, models in columns.items()}
    lines = ["| | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for row in next(iter(figures.values())):
        lines.append(f"| {row} | " + " | ".join(_short(f[row]) for f in figures.values()) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    if np.isnan(value):
        return "-"
    return (
        f"{value:.0f}"
        if abs(value) >= 100
        else f"{value:.3f}"
        if abs(value) < 1
        else f"{value:.2f}"
    )
