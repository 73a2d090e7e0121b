"""A bounded archive for a solver: no sample off by more than 10 m/s, and a coarser grid whose
travel times are those of the fine one.

A solver on coarser cells needs the mean of the slowness over each cell, not a value at its centre:
a wave then takes as long through the cell as through what is in it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import run
from matplotlib.figure import Figure

import velcodec
from velcodec import plot, synth


def vertical_times(model: np.ndarray, depth_m: float) -> np.ndarray:
    """Travel times in ms straight down through every column of a model [z, x] of this depth."""
    return 1e3 * (depth_m / len(model)) * (1.0 / model.astype(float)).sum(axis=0)


def main(folder: Path, small: bool) -> None:
    """Write bounded.vlat and bounded_for_a_solver.png."""
    fine, coarse = (48, 12) if small else (140, 20)
    model = synth.draw("curvevel_b", seed=5, start=1, count=1).render(fine, fine).numpy()[0]
    spacing = 700.0 / fine
    path = folder / "bounded.vlat"
    path.write_bytes(velcodec.compress(model, max_error=10.0, dx=spacing, dz=spacing))

    figure = Figure(figsize=(12.5, 2.6), layout="compressed", dpi=110)
    panels = figure.subplots(1, 4)
    with velcodec.open(path) as archive:
        geometry = archive.geometry(0)
        error = archive[0] - model
        assert np.abs(error).max() <= 10.0
        centres = archive.decode(0, coarse)
        slowness = archive.decode(0, coarse, average="slowness")
    plot.velocity(model, geometry, title=f"{fine} x {fine}", axes=panels[0], colour_bar=False)
    plot.error(error, geometry, span=10.0, title="error", axes=panels[1])
    plot.velocity(slowness, geometry, title=f"{coarse} x {coarse}, mean slowness", axes=panels[2])

    true = vertical_times(model, 700.0)
    columns = true.reshape(coarse, -1).mean(axis=1) if fine % coarse == 0 else None
    x = (np.arange(coarse) + 0.5) * 700.0 / coarse
    assert columns is not None
    for values, label in ((centres, "centres of cells"), (slowness, "mean slowness")):
        panels[3].plot(x, vertical_times(values, 700.0) - columns, label=label)
    panels[3].set(xlabel="x, m", ylabel="error of travel time, ms", title="straight down")
    panels[3].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(folder / "bounded_for_a_solver.png")


if __name__ == "__main__":
    run(main)
