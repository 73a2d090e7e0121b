"""Where samples lie: the one place that defines axes and cell centres.

- Arrays are [z, x], depth down. Points are (x, z), x first, in metres or in a domain.
- Sample i of n along an axis lies at origin + i d (metres), the centre of a cell d wide. The
  model's extent runs over whole cells: from origin - d/2 to origin + (n - 1/2) d.
- The decoder's domain maps that extent to [-1, 1] on both axes; sample i is at (2 i + 1)/n - 1.
  A rendering at N samples puts its sample j at (2 j + 1)/N - 1 of the same extent, so renderings
  at different resolutions show the same geology at the same place.
- Cell coordinates (tiling, sampling) run from 0 to n over the extent; sample i is at i + 1/2.

It never holds velocities and never imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from velcodec.formats.arrays import Float64
from velcodec.formats.errors import (
    InputDtypeError,
    InputShapeError,
    NonFiniteError,
    PointsOutsideError,
)

GROUND_FIELDS = ("dx_m", "dz_m", "origin_x_m", "origin_z_m", "dy_m", "origin_y_m")
"""Fields that say, for each model, where its samples lie; where they do not, its layout does."""

ACROSS = {"z": ("y", "x"), "y": ("z", "x"), "x": ("z", "y")}
"""The axes down and across of a volume's section through a sample of each axis."""

# Points this far (in cells) beyond the extent are rounding, not a mistake.
EDGE_TOLERANCE_CELLS = 1e-6


def cell_centres(n: int) -> Float64:
    """Domain coordinates in (-1, 1) of the n samples of an axis, shape (n,)."""
    return (2.0 * np.arange(n) + 1.0) / n - 1.0


def grid_points(nz: int, nx: int) -> Float64:
    """Domain points (x, z) of an [nz, nx] grid, shape (nz * nx, 2), in the array's order."""
    z, x = np.meshgrid(cell_centres(nz), cell_centres(nx), indexing="ij")
    return np.stack([x.ravel(), z.ravel()], axis=1)


@dataclass(frozen=True)
class Geometry:
    """A model's grid in the ground: samples per axis, spacing and origin in metres."""

    nz: int
    nx: int
    dx_m: float
    dz_m: float
    origin_x_m: float = 0.0
    origin_z_m: float = 0.0

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(x first, x last, z first, z last) in metres: the outer edges of the outer cells."""
        x, z = self.origin_x_m - self.dx_m / 2, self.origin_z_m - self.dz_m / 2
        return x, x + self.nx * self.dx_m, z, z + self.nz * self.dz_m

    def axes(self, nz: int | None = None, nx: int | None = None) -> tuple[Float64, Float64]:
        """Positions (z, x) in metres of the rows and columns of an [nz, nx] rendering (default: the
        model's samples).
        """
        return (
            self.origin_z_m + _cells_along(self.nz, nz or self.nz) * self.dz_m,
            self.origin_x_m + _cells_along(self.nx, nx or self.nx) * self.dx_m,
        )

    def first_sample(self, nz: int, nx: int) -> tuple[float, float]:
        """Position (z, x) in metres of the first sample of an [nz, nx] rendering."""
        return (
            self.origin_z_m + (0.5 * (self.nz / nz) - 0.5) * self.dz_m,
            self.origin_x_m + (0.5 * (self.nx / nx) - 0.5) * self.dx_m,
        )

    def sample_points(self, nz: int | None = None, nx: int | None = None) -> Float64:
        """Points (x, z) in metres of an [nz, nx] rendering (default: the model's samples), shape
        (nz * nx, 2), in the array's order.
        """
        domain = grid_points(nz or self.nz, nx or self.nx)
        cells = (domain + 1.0) / 2.0 * (self.nx, self.nz)
        spacing, origin = (self.dx_m, self.dz_m), (self.origin_x_m, self.origin_z_m)
        return (cells - 0.5) * spacing + origin

    def to_cells(self, points: ArrayLike) -> Float64:
        """Points (x, z) in metres, shape (P, 2), to cell coordinates within [0, n].

        Raises InputShapeError (not (P, 2)), InputDtypeError (not numbers), NonFiniteError,
        PointsOutsideError (beyond the extent).
        """
        metres = check_points(points)
        spacing, origin = (self.dx_m, self.dz_m), (self.origin_x_m, self.origin_z_m)
        with np.errstate(over="ignore"):  # then it is outside
            cells = (metres - origin) / spacing + 0.5
        last = np.array([self.nx, self.nz], dtype=np.float64)
        outside = (cells < -EDGE_TOLERANCE_CELLS) | (cells > last + EDGE_TOLERANCE_CELLS)
        if outside.any():
            row = int(np.flatnonzero(outside.any(axis=1))[0])
            x0, x1, z0, z1 = self.extent
            raise PointsOutsideError(
                f"point {row} at (x, z) = ({metres[row, 0]:g}, {metres[row, 1]:g}) m is outside "
                f"the model: expected x in [{x0:g}, {x1:g}] and z in [{z0:g}, {z1:g}]"
            )
        return np.clip(cells, 0.0, last)


def _cells_along(n: int, wanted: int) -> Float64:
    """Positions of `wanted` rendered samples along an axis, in units of its n samples."""
    return (np.arange(wanted, dtype=np.float64) + 0.5) * (n / wanted) - 0.5


def check_points(points: Any, axes: str = "xz") -> Float64:
    """`points` as float64 of shape (P, 2), or (P, 3) for axes "xyz"; or InputShapeError,
    InputDtypeError, NonFiniteError.
    """
    expected = f"shape (P, {len(axes)}) with columns {', '.join(axes)}"
    try:
        given = np.asarray(points)
    except ValueError as error:  # rows of different lengths
        raise InputShapeError(f"points: expected {expected}: {error}") from error
    if given.dtype.kind not in "iuf":
        raise InputDtypeError(f"points: found {given.dtype}, expected numbers of metres")
    metres = given.astype(np.float64)
    if metres.ndim != 2 or metres.shape[1] != len(axes):
        raise InputShapeError(f"points: expected {expected}, found {metres.shape}")
    if not np.isfinite(metres).all():
        row = int(np.flatnonzero(~np.isfinite(metres).all(axis=1))[0])
        raise NonFiniteError(f"points: row {row} is {metres[row].tolist()}, expected finite metres")
    return metres
