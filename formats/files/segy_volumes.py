"""3-D surveys in SEG-Y: which trace stands at which inline and crossline, and where they lie.

Inlines run along y, crosslines along x: the array is (inlines, crosslines, samples), axes yxz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputFileError, InputShapeError
from velcodec.formats.files.form import Ground, Hints

EVEN = 1e-3
"""Of a step: coordinates are whole multiples of the scalar."""

LENGTH = (0, 1)
"""Coordinate units: not stated, or a length; others are angles."""


@dataclass(frozen=True)
class Survey:
    """The traces of a 3-D survey: numbers along y and x, and the number of the trace at each place,
    in the order of inlines, then crosslines.
    """

    ny: int
    nx: int
    order: NDArray[np.intp]


def survey_of(segyio: Any, source: Any, file: str) -> Survey | None:
    """The survey of a file, or None for a single line.

    Raises InputShapeError unless there is one trace for each pair of an inline and a crossline.
    """
    field, count = segyio.TraceField, int(source.tracecount)
    numbers = [
        np.asarray(source.attributes(each)[:]) for each in (field.INLINE_3D, field.CROSSLINE_3D)
    ]
    (inlines, at_y), (crosslines, at_x) = (np.unique(n, return_inverse=True) for n in numbers)
    ny, nx = len(inlines), len(crosslines)
    if min(ny, nx) < 2 or count <= max(ny, nx):
        return None
    place = at_y * nx + at_x
    if count != ny * nx or len(np.unique(place)) != count:
        raise InputShapeError(
            f"{file}: found {count} traces at {ny} inlines and {nx} crosslines, expected one for "
            "each pair of them"
        )
    for name, lines in (("inlines", inlines), ("crosslines", crosslines)):
        if len(np.unique(np.diff(lines))) > 1:
            raise InputFileError(
                f"{file}: {name}: found numbers from {lines[0]} to {lines[-1]} in uneven steps, "
                "expected even ones: lines are missing"
            )
    return Survey(ny, nx, np.argsort(place, kind="stable"))


def ground_across(
    segyio: Any, source: Any, survey: Survey, metres: float, scale: NDArray[Any], file: str,
    hints: Hints,
) -> Ground:  # fmt: skip
    """Spacing along x and y from the CDP, group or source coordinates, and the origin where lines
    run along the coordinates' own axes. `metres` is the unit of length, `scale` the factor of each
    trace's coordinates.

    Raises InputFileError for coordinates that are angles, or no even grid, unless the caller states
    both spacings.
    """
    field, stated = segyio.TraceField, None not in (hints.ground.dx_m, hints.ground.dy_m)
    angles = set(source.attributes(field.CoordinateUnits)[:].tolist()) - set(LENGTH)
    problem = f"angles (units {min(angles)})" if angles else ""
    for x_field, y_field in (
        (field.CDP_X, field.CDP_Y),
        (field.GroupX, field.GroupY),
        (field.SourceX, field.SourceY),
    ):
        place = [
            (source.attributes(each)[:] * scale * metres)[survey.order].reshape(
                survey.ny, survey.nx
            )
            for each in (x_field, y_field)
        ]
        if not any(np.ptp(each) for each in place):
            continue
        if angles or stated:
            break
        grid = np.stack(place, axis=-1)
        along_y = (grid[-1, 0] - grid[0, 0]) / (survey.ny - 1)
        along_x = (grid[0, -1] - grid[0, 0]) / (survey.nx - 1)
        rows, columns = np.mgrid[: survey.ny, : survey.nx][..., None]
        expected = grid[0, 0] + rows * along_y + columns * along_x
        dy, dx = (float(np.hypot(*each)) for each in (along_y, along_x))
        tolerance = max(EVEN * min(dx, dy), float(scale.max()) * metres)
        if min(dx, dy) > 0 and np.abs(grid - expected).max() <= tolerance:
            straight = along_x[1] == 0 and along_y[0] == 0 and along_x[0] > 0 and along_y[1] > 0
            x, y = (float(each) for each in grid[0, 0]) if straight else (None, None)
            return Ground(
                dx_m=float(f"{dx:.9g}"), origin_x_m=x, dy_m=float(f"{dy:.9g}"), origin_y_m=y
            )
        problem = problem or "no even grid"
    if problem and not stated:
        raise InputFileError(
            f"{file}: coordinates: found {problem}, expected an even grid in metres or feet; state "
            "the spacing with --dx and --dy"
        )
    return Ground()
