"""Finer than what was fitted: the paper's section 4.5, against a truth that the paper did not have.

Generated models are fitted at 70 x 70 and rendered finer; the generator gives the exact model at
the finer grid. Beside them stand the usual upsamplings of the 70 x 70 grid itself, not compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from velcodec.coordinates import Float64
from velcodec.decoder import NATIVE_SAMPLES
from velcodec.progress import Progress

from .coding import CodedFamily
from .data import generated_truth
from .figures import METRICS, Figures, measure

RESOLUTIONS = (NATIVE_SAMPLES, 2 * NATIVE_SAMPLES, 4 * NATIVE_SAMPLES)
UPSAMPLINGS = ("nearest", "bilinear", "bicubic")
METHODS = ("unquantised", "stored", *UPSAMPLINGS)


def upsample(model: Float64, res: int, method: str) -> Float64:
    """One [z, x] model at res x res, cell centres aligned as in `velcodec.coordinates`.

    Kept within the model's own range, as renderings are: bicubic overshoots at edges. Bicubic is
    that of Keys (1981) with a = -1/2, which keeps linear ramps; torch takes it with `antialias`,
    which changes nothing else on the way up, and a = -3/4 without.
    """
    options: dict[str, bool] = {}
    if method != "nearest":
        options = {"align_corners": False, "antialias": method == "bicubic"}
    grid = torch.from_numpy(np.ascontiguousarray(model))[None, None]
    fine = F.interpolate(grid, size=(res, res), mode=method, **options)[0, 0]
    return fine.clamp(float(model.min()), float(model.max())).numpy()


def fine_rendering(coded: CodedFamily, method: str, i: int, res: int) -> Float64:
    """Model i of a family at res x res by one of METHODS, m/s."""
    coding = coded.codings.get(method)
    if coding is None:
        return upsample(coded.family.models.m_s(i), res, method)
    return coding.rendering(i, (res, res))


def measure_family(
    coded: CodedFamily, res: int, update: Callable[[], None]
) -> dict[str, list[Figures]]:
    """Figures of every model of a generated family at res x res, by method."""
    truth = generated_truth(coded.family.name, len(coded.family)).render(res, res)
    found: dict[str, list[Figures]] = {method: [] for method in METHODS}
    for i, exact in enumerate(truth.double().numpy()):
        for method, figures in found.items():
            figures.append(measure(exact, fine_rendering(coded, method, i, res)))
        update()
    return found


def _means(figures: Sequence[Figures]) -> dict[str, float]:
    return {name: float(np.mean([getattr(one, name) for one in figures])) for name in METRICS}


def super_resolution_table(
    families: Sequence[CodedFamily], on_progress: Progress
) -> list[dict[str, Any]]:
    """Means of each resolution, family ("all" the last) and method.

    `families` are generated ones, fitted at the native grid.
    """
    rows: list[dict[str, Any]] = []
    done, total = 0, len(RESOLUTIONS) * sum(len(coded.family) for coded in families)

    def update() -> None:
        nonlocal done
        done += 1
        on_progress(done, total, "super-resolution")

    for res in RESOLUTIONS:
        pooled: dict[str, list[Figures]] = {method: [] for method in METHODS}
        for coded in families:
            found = measure_family(coded, res, update)
            rows.append(_row(res, coded.family.name, found))
            for method, figures in found.items():
                pooled[method] += figures
        rows.append(_row(res, "all", pooled))
    return rows


def _row(res: int, family: str, found: dict[str, list[Figures]]) -> dict[str, Any]:
    return {
        "resolution": res,
        "family": family,
        "models": len(found["stored"]),
        **{method: _means(figures) for method, figures in found.items()},
    }
