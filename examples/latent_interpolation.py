"""From one model to another through latent space, beside mixing their samples.

Latents in between are models in between: interfaces move. A mix of samples shows both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from common import run
from matplotlib.figure import Figure

import velcodec
from velcodec import plot, synth


def main(folder: Path, small: bool) -> None:
    """Write pair.vlat and latent_interpolation.png."""
    drawn = synth.draw("curvevel_a", seed=7, start=4, count=2).render(70, 70).numpy()
    target = {"psnr": 18.0} if small else {"bytes_per_model": 120.0}
    (folder / "pair.vlat").write_bytes(velcodec.compress(drawn, latent_only=True, **target))

    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    figure = Figure(figsize=(13, 5.0), layout="compressed", dpi=110)
    rows = figure.subplots(2, len(shares))
    with velcodec.open(folder / "pair.vlat") as archive:
        geometry = archive.geometry(0)
        ends = archive[0].astype(float), archive[1].astype(float)
        look = {"low": float(np.min(ends)), "high": float(np.max(ends))}
        for column, share in enumerate(shares):
            between = archive.between(0, 1, share, res=70 if small else 200)
            mixed = (1.0 - share) * ends[0] + share * ends[1]
            title = f"{share:.0%} of the second"
            last = {"colour_bar": share == shares[-1]}
            plot.velocity(between, geometry, title=title, axes=rows[0, column], **look, **last)
            plot.velocity(
                mixed, geometry, title="mixed samples", axes=rows[1, column], **look, **last
            )
    figure.savefig(folder / "latent_interpolation.png")


if __name__ == "__main__":
    run(main)
