"""Pictures of inversions: models, errors and the misfit; need matplotlib (`plot` extra)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.extras import needed
from velcodec.fwi.inversion import GRID, LATENT, Inversion


def draw_inversion(
    models: Mapping[str, NDArray[np.floating]], inversion: Inversion, stream: BinaryIO
) -> None:
    """Write a PNG: the truth, the start and both results, [z, x] in m/s, by the names `truth`,
    `start`, `grid` and `latent`; below, the misfit of both methods and the errors.

    Raises MissingExtraError without matplotlib.
    """
    figures = needed("matplotlib.figure", "plot", "pictures of inversions")
    truth = models["truth"]
    errors = {name: model - truth for name, model in models.items() if name != "truth"}
    worst = float(np.percentile(np.abs(np.stack(list(errors.values()))), 98))
    g = inversion.field.geometry
    across, down = g.nx * g.dx_m / 1e3, g.nz * g.dz_m / 1e3
    look = {"extent": (0.0, across, down, 0.0), "interpolation": "nearest", "aspect": "equal"}
    speeds = {"cmap": "viridis", "vmin": float(truth.min()), "vmax": float(truth.max())}
    figure = figures.Figure(figsize=(11, 4.6), layout="constrained", dpi=100)
    panels: Any = figure.subplots(2, 4)
    for axis, (name, model) in zip(panels[0], models.items(), strict=True):
        image = axis.imshow(model, **speeds, **look)
        axis.set_title(name, fontsize="medium")
    figure.colorbar(image, ax=panels[0].tolist(), label="m/s", pad=0.01)
    for axis, (name, error) in zip(panels[1, 1:], errors.items(), strict=True):
        image = axis.imshow(error, cmap="RdBu_r", vmin=-worst, vmax=worst, **look)
        title = f"{name}: mean error {np.abs(error).mean():.0f} m/s"
        axis.set_title(title, fontsize="medium")
    figure.colorbar(image, ax=panels[1].tolist(), label="error, m/s", extend="both", pad=0.01)
    for row in panels:
        for axis in row[1:]:
            axis.set_yticklabels([])
    for axis in panels[0]:
        axis.set_xticklabels([])
    for axis in panels[1, 1:]:
        axis.set_xlabel("x, km")
    panels[0, 0].set_ylabel("depth, km")
    _draw_misfits(panels[1, 0], inversion)
    figure.savefig(stream, format="png")


def _draw_misfits(axis: Any, inversion: Inversion) -> None:
    """Least misfit so far in each band, by the shot-gradients used."""
    for method in (LATENT, GRID):
        steps = [step for step in inversion.history if step.method == method]
        for number, band in enumerate(dict.fromkeys(step.band for step in steps)):
            some = [step for step in steps if step.band == band]
            axis.semilogy(
                [step.used for step in some],
                np.minimum.accumulate([step.misfit for step in some]),
                color={LATENT: "tab:blue", GRID: "tab:orange"}[method],
                label=method if number == 0 else None,
            )
    axis.set_title("relative misfit in each band", fontsize="medium")
    axis.set_xlabel("shot-gradients")
    axis.legend(fontsize="small")
