"""A large model: compressed, then looked at as a whole and close up.

Without a model of your own (`MODEL.npy`, [z, x] in m/s, such as Marmousi2 in the environment
variable VELCODEC_EXAMPLE_MODEL), one is generated.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from common import run
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import velcodec
from velcodec import plot, synth
from velcodec.geometry import Geometry


def model_of(small: bool) -> np.ndarray:
    """The model that is named, or a generated one, [z, x]."""
    path = os.environ.get("VELCODEC_EXAMPLE_MODEL")
    if path:
        given: np.ndarray = np.load(path).squeeze()
        return given
    size = (60, 150) if small else (200, 500)
    drawn: np.ndarray = synth.draw("geology", seed=9, start=20, count=1).render(*size).numpy()[0]
    return drawn


def main(folder: Path, small: bool) -> None:
    """Write large.vlat and large_model.png."""
    model = model_of(small)
    path = folder / "large.vlat"
    path.write_bytes(velcodec.compress(model, psnr=28.0 if small else 50.0))

    figure = Figure(figsize=(11, 7), layout="compressed", dpi=110)
    whole, close = figure.subplots(2, 1)
    with velcodec.open(path) as archive:
        geometry = archive.geometry(0)
        title = f"{model.shape[0]} x {model.shape[1]} in {path.stat().st_size:,} bytes"
        decoded = archive[0]
        colours = {"low": float(decoded.min()), "high": float(decoded.max())}
        plot.velocity(decoded, geometry, title=title, axes=whole, **colours)

        nz, nx = 120, 300  # a tenth of the width, wherever it is wanted
        x0, x1, z0, z1 = geometry.extent
        width, depth = (x1 - x0) / 10, (z1 - z0) / 10
        left, top = x0 + 3.3 * width, z0 + 4.6 * depth
        dx, dz = width / nx, depth / nz
        part = Geometry(nz, nx, dx, dz, left + dx / 2, top + dz / 2)
        whole.add_patch(Rectangle((left, top), width, depth, fill=False, edgecolor="white"))
        near = archive.sample(0, part.sample_points()).reshape(nz, nx)
        plot.velocity(
            near, part, title="a hundredth of it, at 120 x 300 points", axes=close, **colours
        )
    figure.savefig(folder / "large_model.png")


if __name__ == "__main__":
    run(main)
