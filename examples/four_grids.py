"""One archive at four grids: the same record renders at any of them.

Interfaces stay where they are, and become sharper where the grid is finer.
"""

from __future__ import annotations

from pathlib import Path

from common import run
from matplotlib.figure import Figure

import velcodec
from velcodec import plot, synth


def main(folder: Path, small: bool) -> None:
    """Write four_grids.vlat and four_grids.png."""
    model = synth.draw("curvefault_a", seed=11, start=2, count=1).render(70, 70).numpy()
    (folder / "four_grids.vlat").write_bytes(velcodec.compress(model, psnr=25.0 if small else 38.0))

    grids = (18, 35, 70, 280)
    figure = Figure(figsize=(12, 2.9), layout="compressed", dpi=110)
    with velcodec.open(folder / "four_grids.vlat") as archive:
        bytes_of_it = archive.record_bytes[0]
        for axes, grid in zip(figure.subplots(1, 4), grids, strict=True):
            plot.velocity(
                archive.decode(0, res=grid),
                archive.geometry(0),
                title=f"{grid} x {grid} from {bytes_of_it} bytes",
                low=float(model.min()),
                high=float(model.max()),
                axes=axes,
                colour_bar=grid == grids[-1],
            )
    figure.savefig(folder / "four_grids.png")


if __name__ == "__main__":
    run(main)
