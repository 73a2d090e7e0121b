"""Positions of samples in metres, as coordinates of an xarray data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from velcodec.archive.archive import Archive
from velcodec.interop.shared import on_one_ground

ATTRIBUTES = {
    "z": {"long_name": "depth", "units": "m", "positive": "down", "axis": "Z"},
    "y": {"long_name": "distance along y", "units": "m", "axis": "Y"},
    "x": {"long_name": "distance", "units": "m", "axis": "X"},
}


def positions(archive: Archive, grid: Sequence[int]) -> dict[str, Any]:
    """Positions z, y of volumes, and x of samples at `grid`; if models differ, each model's first
    position and spacing.
    """
    ground = archive.geometry(0)
    if on_one_ground(archive):
        along = zip(ground.names, ground.axes(*grid), strict=True)
        return {name: (name, metres, ATTRIBUTES[name]) for name, metres in along}
    grounds = [archive.geometry(number).rendered(*grid) for number in range(len(archive))]
    columns = {
        "first": np.array([each.origin for each in grounds]),
        "step": np.array([each.spacing for each in grounds]),
    }
    return {
        f"{name}_{what}": ("model", values[:, axis], {"units": "m"})
        for axis, name in enumerate(ground.names)
        for what, values in columns.items()
    }
