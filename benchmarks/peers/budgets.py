"""A codec's best result within a budget of bytes per model, from measured points.

Nothing is interpolated. A budget is kept in one of two ways, whichever gives the greater mean PSNR:
all models at one setting with a mean size within the budget, or, if each model is a stream, each at
its best setting with every size within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .measure import Point

ONE_SETTING = "one setting"
OWN_SETTINGS = "own settings"


@dataclass(frozen=True)
class Best:
    """A codec's result within a budget: means over the models."""

    codec: str
    file: str
    budget: float
    psnr: float
    ssim: float
    bytes_per_model: float
    choice: str


def best(points: Sequence[Point], budget: float) -> Best | None:
    """The best result from the lossy points of one codec and file, or None if none keeps the
    budget.
    """
    choices = [*_one_setting(points, budget), *_own_settings(points, budget)]
    return max(choices, key=lambda one: (one.psnr, one.ssim, -one.bytes_per_model), default=None)


def _one_setting(points: Sequence[Point], budget: float) -> list[Best]:
    return [
        Best(
            point.codec,
            point.file,
            budget,
            float(point.psnr.mean()),
            float(point.ssim.mean()),
            point.bytes_per_model,
            ONE_SETTING,
        )
        for point in points
        if point.bytes_per_model <= budget
    ]


def _own_settings(points: Sequence[Point], budget: float) -> list[Best]:
    streams = [point for point in points if not point.archive]
    if not streams:
        return []
    sizes = np.stack([point.sizes for point in streams])
    psnr = np.stack([point.psnr for point in streams])
    ssim = np.stack([point.ssim for point in streams])
    if not np.all(sizes.min(axis=0) <= budget):
        return []
    chosen = np.where(sizes <= budget, psnr, -np.inf).argmax(axis=0)[None]
    mean_psnr, mean_ssim, mean_size = (
        float(np.take_along_axis(values, chosen, axis=0).mean()) for values in (psnr, ssim, sizes)
    )
    first = streams[0]
    return [Best(first.codec, first.file, budget, mean_psnr, mean_ssim, mean_size, OWN_SETTINGS)]
