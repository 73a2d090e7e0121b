"""What a thin layer becomes on a coarser grid: a picture of `average`, and travel times.

    python -m benchmarks.averages docs/img/averages.png

The model is 70 x 70 samples 10 m apart: velocity rises with depth, and a dipping slow layer of two
samples crosses it. It is stored bit for bit and rendered with cells of 30 m. The table compares the
vertical travel time through every column with that of the model rendered 8 times as fine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import velcodec
from velcodec.geometry import Float64
from velcodec.sampler.cell_average import AVERAGES

SAMPLES, SPACING_M = 70, 10.0
COARSE, FINE = 23, 560
DIP, THICKNESS, SLOW_M_S = 0.35, 2.0, 1500.0


def thin_layer() -> Float64:
    """The model (nz, nx) in m/s."""
    z, x = np.mgrid[:SAMPLES, :SAMPLES].astype(np.float64)
    model: Float64 = 2400.0 + 20.0 * z
    top = 22.0 + DIP * x
    return np.where((z >= top) & (z < top + THICKNESS), SLOW_M_S, model).astype(np.float32)


def travel_times(model: Float64) -> Float64:
    """Seconds from the top to the bottom of each column of a model of the whole extent."""
    found: Float64 = (SAMPLES * SPACING_M / len(model) / model.astype(np.float64)).sum(axis=0)
    return found


def main(target: Path) -> None:
    """Print the table and write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    archive = velcodec.open(velcodec.compress(thin_layer(), dx=SPACING_M, lossless=True))
    fine = archive.decode(0, FINE)
    edges = np.linspace(0, FINE, COARSE + 1)
    centres = ((edges[1:] + edges[:-1]) / 2).astype(int)
    exact = travel_times(fine)[centres]
    coarse = {name: archive.decode(0, COARSE, average=name) for name in AVERAGES}
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.6), layout="constrained")
    extent = (0.0, SAMPLES * SPACING_M, SAMPLES * SPACING_M, 0.0)
    shown = {"field, 8 times as fine": fine} | {f"average {k}": v for k, v in coarse.items()}
    for axis, (name, model) in zip(axes, shown.items(), strict=False):
        image = axis.imshow(model, extent=extent, vmin=1500, vmax=3800, cmap="viridis")
        axis.set_title(name)
        axis.set_xlabel("x, m")
    axes[0].set_ylabel("depth, m")
    figure.colorbar(image, ax=axes[3], label="velocity, m/s")
    column = COARSE // 2
    depth = (np.arange(FINE) + 0.5) * SAMPLES * SPACING_M / FINE
    axes[4].plot(fine[:, centres[column]], depth, color="0.6", label="field")
    depth = (np.arange(COARSE) + 0.5) * SAMPLES * SPACING_M / COARSE
    for name, model in coarse.items():
        axes[4].plot(model[:, column], depth, marker=".", label=name)
        error = 1e3 * (travel_times(model) - exact)
        print(f"{name:9} travel time off by {np.abs(error).mean():.3f} ms, {error.mean():+.3f} ms")
    axes[4].set_ylim(550, 250)
    axes[4].set_title("profile in the middle")
    axes[4].set_xlabel("velocity, m/s")
    axes[4].legend()
    figure.savefig(target, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
