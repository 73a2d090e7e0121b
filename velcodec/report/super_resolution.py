"""Finer than what was coded: the paper's section 4.5, against a truth that the paper did not have.

Generated models are coded at 70 x 70 and rendered finer; the generator gives the exact model at
the finer grid. Beside them stand the usual upsamplings of the 70 x 70 grid itself, not compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from velcodec.decoder import NATIVE_SAMPLES
from velcodec.geometry import Float64
from velcodec.progress import Progress
from velcodec.report.coding import ARCHIVES, LATENTS, UNQUANTISED, CodedFamily
from velcodec.report.data import generated_truth
from velcodec.report.figures import METRICS, Figures, measure
from velcodec.report.upsampling import upsample

BETWEEN = 187
"""Samples of a grid whose cells are no whole part of those of the native one."""

RESOLUTIONS = (NATIVE_SAMPLES, 2 * NATIVE_SAMPLES, BETWEEN, 4 * NATIVE_SAMPLES)
CODED = (*ARCHIVES, LATENTS, UNQUANTISED)
UPSAMPLINGS = ("nearest", "bilinear", "bicubic", "lanczos")
METHODS = (*CODED, *UPSAMPLINGS)


def fine_rendering(coded: CodedFamily, method: str, i: int, res: int) -> Float64:
    """Model i of a family at res x res by one of METHODS, m/s."""
    if method in UPSAMPLINGS:
        return upsample(coded.family.models.m_s(i), res, method)
    return coded.codings[method].rendering(i, (res, res))


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
    """Means of each resolution, family ("all" the last) and method, and bytes per model of each
    archive.

    `families` are generated ones of the native grid, with all ARCHIVES.
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
            rows.append(_row(res, coded.family.name, [coded], found))
            for method, figures in found.items():
                pooled[method] += figures
        rows.append(_row(res, "all", families, pooled))
    return rows


def _row(
    res: int, name: str, families: Sequence[CodedFamily], found: dict[str, list[Figures]]
) -> dict[str, Any]:
    models = sum(len(coded.family) for coded in families)
    return {
        "resolution": res,
        "family": name,
        "models": models,
        "bytes_per_model": {
            archive: sum(coded.stored[archive].size for coded in families) / models
            for archive in (*ARCHIVES, LATENTS)
        },
        **{method: _means(figures) for method, figures in found.items()},
    }
