"""A picture of generated models, a row per family; needs matplotlib (the `plot` extra).

`python -m velcodec.synth.picture FILE.png` writes the one in docs/generator.md. It never shows
published models.
"""

from __future__ import annotations

import sys
from pathlib import Path

from velcodec.synth import FAMILIES, draw


def draw_picture(path: str | Path, columns: int = 10, seed: int = 1) -> None:
    """Write `columns` models of every family, 140 x 140, each on its own velocity range."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns + 1.4, len(FAMILIES)))
    axes = figure.subplots(len(FAMILIES), columns)
    for row, family in zip(axes, FAMILIES, strict=True):
        models = draw(family, seed, 0, columns).render(140, 140).numpy()
        for axis, model in zip(row, models, strict=True):
            axis.imshow(model, cmap="viridis", interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(family, rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(
        left=0.115, right=0.995, bottom=0.005, top=0.995, wspace=0.05, hspace=0.05
    )
    figure.savefig(path, dpi=68, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    draw_picture(sys.argv[1] if len(sys.argv) > 1 else "generator.png")
