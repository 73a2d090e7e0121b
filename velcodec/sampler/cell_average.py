"""Means over the cells of an output grid, for solvers that want what a cell holds.

A cell's value is one of: the field at its centre; the mean of the field over the cell; the velocity
of the mean slowness over it (the harmonic mean), which keeps travel times. Means are taken over
points evenly spread in the cell, so close that there are eight or more between neighbouring
samples of the model.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from velcodec.formats.errors import OptionError

Average = Literal["none", "cell", "slowness"]
AVERAGES: tuple[str, ...] = get_args(Average)

PER_SAMPLE, LEAST = 8, 4
"""Points of a mean along an axis: for each sample of the model, and for each cell at least."""


def check_average(average: str) -> Average:
    """`average`, or OptionError where it is none of AVERAGES."""
    for known in get_args(Average):
        if average == known:
            return known
    raise OptionError(f"average: expected one of {', '.join(AVERAGES)}, found {average!r}")


def points_along(samples: int, cells: int) -> int:
    """Points of a mean along an axis of a model of so many samples, in each of `cells` cells."""
    return max(LEAST, -(-PER_SAMPLE * samples // cells))


def averaged(fine: Any, along: tuple[int, int], average: Average, place: str) -> Any:
    """Means (..., nz, nx) of values (..., nz * kz, nx * kx), an array or a tensor, over kz x kx
    neighbours, as `along` gives them. Raises OptionError for a slowness of velocities that are not
    positive, naming `place`.
    """
    nz, nx = fine.shape[-2] // along[0], fine.shape[-1] // along[1]
    cells = fine.reshape(*fine.shape[:-2], nz, along[0], nx, along[1])
    if average == "cell":
        return cells.mean((-3, -1))
    least = float(fine.min())
    if not least > 0:
        raise OptionError(
            f"{place}: average slowness: found a velocity of {least:g}, expected more than 0"
        )
    return 1.0 / (1.0 / cells).mean((-3, -1))


def fine_shape(samples: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    """Points (kz, kx) of a mean in each of `cells` (nz, nx) of a model of `samples` (nz, nx)."""
    kz, kx = (points_along(*each) for each in zip(samples, cells, strict=True))
    return kz, kx
