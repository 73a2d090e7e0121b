"""Where samples lie: the one place that defines axes and cell centres.

- Arrays are [z, x], depth down. Points are (x, z), x first, in metres or in a domain. Volumes are
  [z, y, x], and their points (x, y, z).
- Sample i of n along an axis lies at origin + i d (metres), the centre of a cell d wide. The
  model's extent runs over whole cells: from origin - d/2 to origin + (n - 1/2) d.
- The decoder's domain maps that extent to [-1, 1] on both axes; sample i is at (2 i + 1)/n - 1.
  A rendering at N samples puts its sample j at (2 j + 1)/N - 1 of the same extent, so renderings
  at different resolutions show the same geology at the same place.
- Cell coordinates (tiling, sampling) run from 0 to n over the extent; sample i is at i + 1/2.

It never holds velocities and never imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """A model's grid in the ground: samples per axis, spacing and origin in metres. A section has
    no `ny`; grids are (nz, nx) and points (x, z), of volumes (nz, ny, nx) and (x, y, z). `z_name`
    and `z_units` say what z is; if it is time, its figures are in milliseconds.
    """

    nz: int
    nx: int
    dx_m: float
    dz_m: float
    origin_x_m: float = 0.0
    origin_z_m: float = 0.0
    ny: int | None = None
    dy_m: float = 10.0
    origin_y_m: float = 0.0
    z_name: str = "depth"
    z_units: str = "m"

    @property
    def names(self) -> str:
        """The axes in the order of grids: zx or zyx."""
        return "zx" if self.ny is None else "zyx"

    @property
    def grid(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return (self.nz, self.nx) if self.ny is None else (self.nz, self.ny, self.nx)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Metres between samples along each axis, in the order of grids."""
        return tuple(getattr(self, f"d{name}_m") for name in self.names)

    @property
    def origin(self) -> tuple[float, ...]:
        """Position in metres of the first sample, in the order of grids."""
        return tuple(getattr(self, f"origin_{name}_m") for name in self.names)

    def section(self, axis: str) -> Geometry:
        """The geometry of a volume's sections through a sample of this axis: [z, x] at a y, [z, y]
        at an x and [y, x] at a z, as if they were a model's. That of a section itself.
        """
        if self.ny is None:
            return self
        down, across = ACROSS[axis]
        sizes = dict(zip(self.names, self.grid, strict=True))
        steps = dict(zip(self.names, self.spacing, strict=True))
        first = dict(zip(self.names, self.origin, strict=True))
        return Geometry(
            sizes[down], sizes[across], steps[across], steps[down], first[across], first[down],
            z_name=self.z_name, z_units=self.z_units,
        )  # fmt: skip

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(x first, x last, z first, z last) in metres: the outer edges of the outer cells."""
        x, z = self.origin_x_m - self.dx_m / 2, self.origin_z_m - self.dz_m / 2
        return x, x + self.nx * self.dx_m, z, z + self.nz * self.dz_m

    def axes(self, *grid: int) -> tuple[Float64, ...]:
        """Positions in metres along each axis of a rendering at `grid` (default: the model's
        samples).
        """
        return tuple(
            first + _cells_along(n, wanted) * step
            for first, n, wanted, step in zip(
                self.origin, self.grid, grid or self.grid, self.spacing, strict=True
            )
        )

    def first_sample(self, *grid: int) -> tuple[float, ...]:
        """Position in metres along each axis of the first sample of a rendering at `grid`."""
        return tuple(
            first + (0.5 * (n / wanted) - 0.5) * step
            for first, n, wanted, step in zip(
                self.origin, self.grid, grid, self.spacing, strict=True
            )
        )

    def rendered(self, *grid: int) -> Geometry:
        """The geometry of a rendering at `grid`, over the same extent."""
        changes: dict[str, Any] = {}
        along = zip(
            self.names, grid, self.grid, self.spacing, self.first_sample(*grid), strict=True
        )
        for name, wanted, n, step, first in along:
            changes |= {f"n{name}": wanted, f"d{name}_m": step * n / wanted}
            changes[f"origin_{name}_m"] = first
        return replace(self, **changes)

    def sample_points(self, *grid: int) -> Float64:
        """Points (x, z) or (x, y, z) in metres of a rendering at `grid` (default: the model's
        samples), shape (samples, axes), in the array's order.
        """
        along = np.meshgrid(*self.axes(*grid), indexing="ij")
        return np.stack([each.ravel() for each in reversed(along)], axis=1)

    def to_cells(self, points: ArrayLike) -> Float64:
        """Points (x, z) or (x, y, z) in metres, shape (P, axes), to cell coordinates within [0, n].

        Raises InputShapeError (another shape), InputDtypeError (not numbers), NonFiniteError,
        PointsOutsideError (beyond the extent).
        """
        names = self.names[::-1]
        metres = check_points(points, names)
        spacing, origin = np.array(self.spacing[::-1]), np.array(self.origin[::-1])
        with np.errstate(over="ignore"):  # then it is outside
            cells = (metres - origin) / spacing + 0.5
        last = np.array(self.grid[::-1], dtype=np.float64)
        outside = (cells < -EDGE_TOLERANCE_CELLS) | (cells > last + EDGE_TOLERANCE_CELLS)
        if outside.any():
            row = int(np.flatnonzero(outside.any(axis=1))[0])
            found = ", ".join(f"{metre:g}" for metre in metres[row])
            least = origin - spacing / 2
            ends = zip(names, least, least + last * spacing, strict=True)
            ranges = [f"{name} in [{a:g}, {b:g}]" for name, a, b in ends]
            raise PointsOutsideError(
                f"point {row} at ({', '.join(names)}) = ({found}) m is outside the model: expected "
                f"{', '.join(ranges[:-1])} and {ranges[-1]}"
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
