"""Pictures of generated models, each on its own velocity range; need matplotlib (`plot` extra).

`python -m velcodec.synth.picture FILE.png` writes the one of models in docs/generator.md, and
`python -m velcodec.synth.picture --volumes FILE.png` that of volumes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.synth import FAMILIES, VOLUME_FAMILIES, draw, volumes

COLUMNS = 5


def draw_picture(path: str | Path, columns: int = 10, seed: int = 1) -> None:
    """Write `columns` models of every family, 140 x 140, each on its own velocity range."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns + 1.4, len(FAMILIES)))
    axes = figure.subplots(len(FAMILIES), columns)
    for row, family in zip(axes, FAMILIES, strict=True):
        models = draw(family, seed, 0, columns).render(140, 140).numpy()
        for axis, model in zip(row, models, strict=True):
            _show(axis, model)
        row[0].set_ylabel(family, rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(
        left=0.115, right=0.995, bottom=0.005, top=0.995, wspace=0.05, hspace=0.05
    )
    figure.savefig(path, dpi=68, pil_kwargs={"optimize": True})


def draw_volumes_picture(path: str | Path, columns: int = 3, seed: int = 1) -> None:
    """Write the sections x-z, y-z and x-y through the middle of `columns` volumes of every family,
    128 samples a side, each volume on its own velocity range.
    """
    from matplotlib.figure import Figure

    rows = len(VOLUME_FAMILIES)
    figure = Figure(figsize=(3.15 * columns + 1.0, rows * 1.0 + 0.25))
    axes: Any = figure.subplots(rows, 3 * columns)
    for row, family in zip(axes, VOLUME_FAMILIES, strict=True):
        for number, volume in enumerate(volumes(family, columns, seed)):
            middle = [size // 2 for size in volume.shape]
            sections = volume[:, middle[1]], volume[:, :, middle[2]], volume[middle[0]]
            for axis, section in zip(row[3 * number : 3 * number + 3], sections, strict=True):
                _show(axis, section, (float(volume.min()), float(volume.max())))
        row[0].set_ylabel(family, rotation=0, ha="right", va="center", fontsize=9)
    for axis, name in zip(axes[0], ["x-z", "y-z", "x-y"] * columns, strict=True):
        axis.set_title(name, fontsize=8, pad=2)
    figure.subplots_adjust(
        left=0.075, right=0.997, bottom=0.004, top=0.965, wspace=0.05, hspace=0.05
    )
    figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})


def draw_models(models: NDArray[np.float32], names: Sequence[str], stream: BinaryIO) -> None:
    """Write a PNG of `models` (n, nz, nx), at most five in a row, each under its name."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(2 * columns, 2.2 * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel()[len(models) :]:
        axis.set_axis_off()
    for axis, model, name in zip(axes.ravel(), models, names, strict=False):
        _show(axis, model)
        axis.set_title(name, fontsize="small")
    figure.savefig(stream, format="png")


def _show(
    axis: Any, model: NDArray[np.float32], ends: tuple[float | None, float | None] = (None, None)
) -> None:
    axis.imshow(
        model, cmap="viridis", interpolation="nearest", aspect="auto", vmin=ends[0], vmax=ends[1]
    )
    axis.set_xticks([])
    axis.set_yticks([])


if __name__ == "__main__":
    *kind, target = sys.argv[1:] or ["generator.png"]
    (draw_volumes_picture if kind == ["--volumes"] else draw_picture)(target)
