"""The usual interpolations of a model's samples, to compare with renderings of stored models.

They are separable: weights along z, then along x. Sample i lies at i + 1/2 cells, as everywhere
(`velcodec.geometry`). Kernels repeat the outermost sample; the spline is point-mirrored about it.
No torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from velcodec.formats.arrays import Float64
from velcodec.geometry import cell_centres

LANCZOS_LOBES = 3


def _box(t: Float64) -> Float64:
    return np.where((t >= -0.5) & (t < 0.5), 1.0, 0.0)


def _hat(t: Float64) -> Float64:
    return np.maximum(0.0, 1.0 - np.abs(t))


def _keys(t: Float64) -> Float64:
    """Keys (1981), a = -1/2: exact for quadratics."""
    s = np.abs(t)
    inner = (1.5 * s - 2.5) * s * s + 1.0
    outer = ((-0.5 * s + 2.5) * s - 4.0) * s + 2.0
    return np.where(s < 1.0, inner, np.where(s < 2.0, outer, 0.0))


def _lanczos(t: Float64) -> Float64:
    lobes = LANCZOS_LOBES
    return np.where(np.abs(t) < lobes, np.sinc(t) * np.sinc(t / lobes), 0.0)


def _spline(t: Float64) -> Float64:
    """The cubic B-spline."""
    s = np.abs(t)
    inner = (3.0 * s - 6.0) * s * s + 4.0
    return np.where(s < 1.0, inner, np.maximum(0.0, 2.0 - s) ** 3) / 6.0


KERNELS: dict[str, tuple[Callable[[Float64], Float64], int]] = {
    "nearest": (_box, 1),
    "bilinear": (_hat, 1),
    "bicubic": (_keys, 2),
    "lanczos": (_lanczos, LANCZOS_LOBES),
}
"""Kernels by name, with their reach in samples."""

SPLINE = "spline"
"""The natural cubic B-spline through the samples."""


def positions(samples: int, cells: int) -> Float64:
    """Positions in cells, (wanted,), of the cell centres of a grid over an axis of `samples`."""
    return (cell_centres(cells) + 1.0) / 2.0 * samples


def weights(samples: int, at: Float64, method: str) -> Float64:
    """Weights (P, samples) of each sample of an axis at positions `at` (P,) in cells."""
    if method == SPLINE:
        return _spline_weights(samples, at)
    kernel, reach = KERNELS[method]
    weight = np.zeros((len(at), samples))
    rows, first = np.arange(len(at)), np.floor(at - 0.5).astype(np.int64)
    for k in range(1 - reach, reach + 1):
        np.add.at(weight, (rows, (first + k).clip(0, samples - 1)), kernel(at - 0.5 - first - k))
    # Lanczos weights do not sum to exactly 1.
    return weight / weight.sum(1, keepdims=True)


def _spline_weights(samples: int, at: Float64) -> Float64:
    """As `weights`: the basis at `at` times the map from samples to coefficients."""
    centres = positions(samples, samples)

    def basis(where: Float64) -> Float64:
        values = _spline(where[:, None] - centres)
        # Coefficients are point-mirrored about the outermost one, so that the ends are natural.
        for k in (1, 2):
            for end, inner, beyond in ((0, k, -k), (samples - 1, samples - 1 - k, samples - 1 + k)):
                share = _spline(where - 0.5 - beyond)
                values[:, end] += 2.0 * share
                values[:, min(max(inner, 0), samples - 1)] -= share
        return values

    through: Any = basis(centres)
    solved: Float64 = np.linalg.solve(through.T, basis(at).T)
    return solved.T


def interpolate(model: Float64, z: Float64, x: Float64, method: str) -> Float64:
    """One [z, x] model at positions z (P,) and x (Q,) in its cells, (P, Q), in its units.

    Clamped to the model's range, like renderings: all but nearest and bilinear overshoot at edges.
    """
    along_z = weights(model.shape[0], z, method)
    along_x = weights(model.shape[1], x, method)
    return (along_z @ model @ along_x.T).clip(model.min(), model.max())


def upsample_volume(volume: Float64, shape: tuple[int, int, int], method: str) -> Float64:
    """A volume (nz, ny, nx) at another `shape` over the same extent, clamped as `interpolate`."""
    values = volume
    for axis, cells in enumerate(shape):
        along = weights(volume.shape[axis], positions(volume.shape[axis], cells), method)
        values = np.moveaxis(np.tensordot(along, values, (1, axis)), 0, axis)
    return values.clip(volume.min(), volume.max())


def upsample(model: Float64, res: int, method: str) -> Float64:
    """One [z, x] model at res x res over the same extent, cell centres aligned."""
    nz, nx = model.shape
    return interpolate(model, positions(nz, res), positions(nx, res), method)
