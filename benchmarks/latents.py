"""Models made in the latent space: statistics of draws from the prior, and a picture.

    python -m benchmarks.latents docs/img/latents.png

The table compares draws from the shipped decoder's prior, and draws near generated models, with
families of the generator (`velcodec.synth.statistics`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from velcodec import synth
from velcodec.field.drawing import drawn_models, fields_near, prior_field
from velcodec.synth.statistics import comparison_table

FAMILIES = ("curvevel_a", "curvefault_a", "style_a", "geology")
SEED, COLUMNS, NEAR = 41, 8, 0.1
RANGE = (1500.0, 4500.0)

Models = NDArray[np.float32]


def near(family: str, count: int, spread: float) -> Models:
    """A model near each of `count` generated ones."""
    given = synth.draw(family, SEED, 0, count).render(70, 70).numpy()
    return drawn_models(fields_near(list(given), "m/s"), SEED, range(count), spread).numpy()


def draws(count: int) -> Models:
    """Draws from the prior."""
    return drawn_models([prior_field((70, 70), RANGE)], SEED, range(count), None).numpy()


def picture(path: Path) -> None:
    """Draws from the prior; near a model; from one model to another."""
    from matplotlib.figure import Figure

    given = synth.draw("curvefault_b", SEED, 0, 2).render(70, 70).numpy()
    one, other = fields_near(list(given), "m/s")
    rows = {"prior": draws(COLUMNS)}
    for spread in (NEAR, 3 * NEAR):
        drawn = drawn_models([one], SEED, range(COLUMNS - 1), spread).numpy()
        rows[f"near, {spread:g}"] = np.concatenate([given[:1], drawn])
    rows["between"] = one.between(other, np.linspace(0, 1, COLUMNS).tolist())().detach().numpy()
    figure = Figure(figsize=(COLUMNS + 1.2, len(rows)))
    panels: Any = figure.subplots(len(rows), COLUMNS)
    for axes, (name, models) in zip(panels, rows.items(), strict=True):
        for axis, model in zip(axes, models, strict=True):
            axis.imshow(model, cmap="viridis", interpolation="nearest", aspect="auto")
            axis.set_xticks([])
            axis.set_yticks([])
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(0.115, 0.01, 0.995, 0.99, 0.05, 0.05)
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--models", default=500, show_default=True, help="Models of each column.")
def main(path: Path, models: int) -> None:
    """Draw the picture to PATH and print the table."""
    torch.set_num_threads(1)
    picture(path)
    columns = {"prior": draws(models)}
    for family in FAMILIES:
        columns[family] = synth.draw(family, SEED, 0, models).render(70, 70).numpy()
        columns[f"near {family}"] = near(family, models, NEAR)
    print(comparison_table(columns))


if __name__ == "__main__":
    main()
