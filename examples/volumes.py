"""A volume within a bound: its sections, and a part of one at four times its grid.

Sections and boxes decode only the bricks that hold them. Between samples the field is continuous,
so a part can be rendered finer than it was stored: the flank of the salt is a curve again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from common import run
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import velcodec
from velcodec import plot, synth
from velcodec.geometry import Geometry

DX, DZ = 25.0, 15.0


def main(folder: Path, small: bool) -> None:
    """Write volume.vlat and volumes.png."""
    n, finer = (24, 2) if small else (80, 4)
    drawn = synth.draw_volumes("salt", seed=4, start=1, count=1)
    volume = drawn.render(n, n, n)[0].numpy()
    path = folder / "volume.vlat"
    path.write_bytes(velcodec.compress(volume, volume=True, dx=DX, dy=DX, dz=DZ, max_error=5.0))

    figure = Figure(figsize=(13, 6.6), layout="constrained", dpi=110)
    sections, parts = figure.subplots(2, 3)
    colours = {"low": float(volume.min()), "high": float(volume.max())}
    at = {"y": n // 2, "x": n // 2, "z": n // 2}
    rows, columns = slice(3 * n // 8, 5 * n // 8), slice(n // 8, 3 * n // 8)
    box = [rows, slice(at["y"], at["y"] + 1), columns]  # a part of the first section
    with velcodec.open(path) as archive:
        assert np.abs(archive[0] - volume).max() <= 5.0
        for axes, (axis, sample) in zip(sections, at.items(), strict=True):
            section = archive.section(0, **{axis: sample})
            plot.velocity(
                section, archive.geometry(0).section(axis), section=axis, axes=axes, **colours,
                title=f"depth {sample * DZ:g} m" if axis == "z" else f"{axis} {sample * DX:g} m",
                colour_bar=axis == "z",
            )  # fmt: skip
        own = archive.box(0, box)[:, 0]
        fine = archive.box(0, box, res=(finer * own.shape[0], 1, finer * own.shape[1]))[:, 0]

    # The generated volume is a function too: what the finer grid would have held.
    z, x = (
        2 * (part.start + (np.arange(size) + 0.5) / finer) / n - 1
        for part, size in zip((rows, columns), fine.shape, strict=True)
    )
    points = np.stack([*np.meshgrid(x, 2 * (at["y"] + 0.5) / n - 1, z, indexing="ij")], axis=-1)
    exact = drawn.evaluate(torch.tensor(points.reshape(-1, 3)))[0].numpy()
    truth = exact.reshape(len(x), len(z)).T

    for axes, (name, values) in zip(
        parts,
        {"its own samples": own, f"{finer} times the grid": fine, "exact": truth}.items(),
        strict=True,
    ):
        depth, width = (part.stop - part.start for part in (rows, columns))
        dz, dx = DZ * depth / values.shape[0], DX * width / values.shape[1]
        ground = Geometry(
            *values.shape, dx, dz, DX * (columns.start - 0.5) + dx / 2,
            DZ * (rows.start - 0.5) + dz / 2,
        )  # fmt: skip
        plot.velocity(
            values,
            ground,
            axes=axes,
            title=f"a part: {name}",
            colour_bar=name == "exact",
            **colours,
        )
    x0, x1, z0, z1 = ground.extent
    sections[0].add_patch(Rectangle((x0, z0), x1 - x0, z1 - z0, fill=False, edgecolor="white"))
    shape = " x ".join(map(str, volume.shape))
    figure.suptitle(
        f"{shape} samples, {volume.nbytes:,} bytes, within 5 m/s in {path.stat().st_size:,}"
    )
    figure.savefig(folder / "volumes.png")


if __name__ == "__main__":
    run(main)
