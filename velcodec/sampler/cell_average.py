"""Means over the cells of an output grid, for solvers that want cell averages.

A cell's value is the field at its centre, the mean of the field over the cell, or the velocity of
its mean slowness (the harmonic mean), which preserves travel times. Means are taken over a regular
grid of points, eight or more between neighbouring samples of the model.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from velcodec.formats.errors import OptionError

Average = Literal["none", "cell", "slowness"]
AVERAGES: tuple[str, ...] = get_args(Average)

PER_SAMPLE, LEAST = 8, 4
"""Points of a mean along an axis: per sample of the model, and the least per cell."""

PER_SAMPLE_OF_VOLUME = 4
"""The same of volumes, where many points lie between two samples anyway: means are within some
3 m/s (root mean square) of those over ever more points.
"""


def check_average(average: str) -> Average:
    """`average`, or OptionError if it is not one of AVERAGES."""
    for known in get_args(Average):
        if average == known:
            return known
    raise OptionError(f"average: expected one of {', '.join(AVERAGES)}, found {average!r}")


def points_along(samples: int, cells: int, per_sample: int = PER_SAMPLE) -> int:
    """Points per cell along an axis of `samples` samples and `cells` cells."""
    return max(LEAST, -(-per_sample * samples // cells))


def averaged(fine: Any, along: tuple[int, int], average: Average, place: str) -> Any:
    """Means (..., nz, nx) of values (..., nz * kz, nx * kx), an array or a tensor, over blocks of
    `along` (kz, kx). Raises OptionError, naming `place`, for the slowness of velocities that are
    not positive.
    """
    nz, nx = fine.shape[-2] // along[0], fine.shape[-1] // along[1]
    cells = fine.reshape(*fine.shape[:-2], nz, along[0], nx, along[1])
    if average == "cell":
        return cells.mean((-3, -1))
    check_positive(float(fine.min()), place)
    return 1.0 / (1.0 / cells).mean((-3, -1))


def check_positive(least: float, place: str) -> None:
    """Raise OptionError, naming `place`, unless the least velocity has a slowness."""
    if not least > 0:
        raise OptionError(
            f"{place}: average slowness: found a velocity of {least:g}, expected more than 0"
        )


def fine_shape(samples: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    """Points (kz, kx) per cell, for `cells` (nz, nx) of a model of `samples` (nz, nx)."""
    kz, kx = (points_along(*each) for each in zip(samples, cells, strict=True))
    return kz, kx
