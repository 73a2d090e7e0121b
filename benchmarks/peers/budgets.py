"""A codec's best result within a budget of bytes per model, from measured points.

Nothing is interpolated. A budget is kept in one of two ways, whichever gives the greater mean PSNR:
all models at one setting with a mean size within the budget, or, if each model is a stream, each at
its best setting with every size within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from velcodec.metrics import PSNR_CAP

from .external import External
from .measure import Point

ONE_SETTING = "one setting"
OWN_SETTINGS = "own settings"
ELSEWHERE = "elsewhere"
"""The choice was made where the figures come from."""


@dataclass(frozen=True)
class Best:
    """A codec's result within a budget: means over the models. `ssim` is None if unknown."""

    codec: str
    file: str
    budget: float
    psnr: float
    ssim: float | None
    bytes_per_model: float
    choice: str


def best(points: Sequence[Point], budget: float) -> Best | None:
    """The best result from the lossy points of one codec and file, or None if none keeps the
    budget.
    """
    choices = [*_one_setting(points, budget), *_own_settings(points, budget)]
    return max(
        choices, key=lambda one: (one.psnr, one.ssim or 0.0, -one.bytes_per_model), default=None
    )


def best_external(rows: Sequence[External], budgets: Sequence[float]) -> list[Best]:
    """Likewise for external figures of one file; lossless ones have the greatest PSNR there is."""
    known = [(psnr, row) for row in rows if (psnr := _decibels(row)) is not None]
    found = []
    for codec in dict.fromkeys(row.label for _, row in known):
        own = [(psnr, row) for psnr, row in known if row.label == codec]
        for budget in budgets:
            within = [(psnr, row) for psnr, row in own if row.bytes_per_model <= budget]
            if within:
                psnr, row = max(within, key=lambda one: (one[0], -one[1].bytes_per_model))
                size = row.bytes_per_model
                found.append(Best(codec, row.file, budget, psnr, None, size, ELSEWHERE))
    return found


def _decibels(row: External) -> float | None:
    return PSNR_CAP if row.setting.kind == "lossless" else row.psnr


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
