"""Masks of absent samples: fill models before coding; evaluate masks at any grid and point.

A point, or a sample of another grid, is absent if the nearest sample of the model's grid is; ties
go to the lower index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Float64, Int64

Absent = NDArray[np.bool_]


def filled(model: NDArray[np.generic], absent: Absent) -> NDArray[np.generic]:
    """The model with each absent sample replaced by the nearest present one: cheap to code."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(absent, return_distances=False, return_indices=True)
    return np.asarray(model)[tuple(nearest)]


def at_grid(absent: Absent, grid: tuple[int, ...]) -> Absent:
    """Which samples of a rendering, (nz, nx) or (nz, ny, nx), are absent."""
    if grid == absent.shape:
        return absent
    places = (nearest_samples(n, m) for n, m in zip(absent.shape, grid, strict=True))
    return absent[np.ix_(*places)]


def nearest_samples(samples: int, cells: int) -> Int64:
    """The sample nearest to the centre of each of `cells` cells along an axis."""
    # The centre of cell j of m is (2 j + 1) n / (2 m); sample i reaches from i to i + 1.
    nearest: Int64 = -(-(2 * np.arange(cells) + 1) * samples // (2 * cells)) - 1
    return nearest


def at_cells(absent: Absent, cells: Float64) -> Absent:
    """Which of the points at cell coordinates (x, z), (P, 2), or (x, y, z), (P, 3), are absent."""
    return absent[tuple(nearest_to(cells).T[::-1])]


def nearest_to(cells: Float64) -> Int64:
    """The numbers of the samples nearest to points, along each axis, (P, axes)."""
    return np.maximum(np.ceil(cells).astype(np.int64) - 1, 0)
