"""A folder as OpenFWI has them, to an archive, to a training loop.

The network learns to remove noise; it reads the archive batch by batch and never unpacks it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from common import run
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

import velcodec
from velcodec import plot, synth
from velcodec.torch import VelocityDataset


def main(folder: Path, small: bool) -> None:
    """Write CurveVel_A/, curvevel.vlat and openfwi_training.png."""
    per_file, grid, epochs = (8, 24, 2) if small else (24, 70, 20)
    source = folder / "CurveVel_A"
    source.mkdir(exist_ok=True)
    for number in range(2):  # generated here; your own files go in as they are
        models = synth.draw("curvevel_a", seed=3, start=number * per_file, count=per_file)
        np.save(source / f"model{number + 1}.npy", models.render(grid, grid).numpy()[:, None])

    summary = velcodec.compress_files(
        source, folder / "curvevel.vlat", psnr=35.0, fields={"family": "curvevel_a"}, force=True
    )
    before = 2 * per_file * grid * grid * 4
    print(f"{before:,} bytes of models in {summary.bytes:,}")

    torch.manual_seed(0)
    dataset = VelocityDataset(folder / "curvevel.vlat", value_range=(1500, 4500))
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(),
        nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(),
        nn.Conv2d(16, 1, 5, padding=2),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(epochs):
        for truth in loader:
            noisy = truth + 0.4 * torch.randn_like(truth)
            loss = mse_loss(network(noisy), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())

    truth = dataset[0][None]
    noisy = truth + 0.4 * torch.randn_like(truth)
    with torch.no_grad():
        found = network(noisy)
    with velcodec.open(folder / "curvevel.vlat") as archive:
        ground = archive.geometry(0)
    figure = Figure(figsize=(13, 2.9), layout="compressed", dpi=110)
    first, *others = figure.subplots(1, 4, width_ratios=(1.2, 1, 1, 1))
    first.semilogy(losses)
    first.set(xlabel="batch", ylabel="mean squared error", title="training")
    pictures = {"from the archive": truth, "with noise": noisy, "denoised": found}
    for axes, (title, image) in zip(others, pictures.items(), strict=True):
        speeds = 3000.0 + 1500.0 * image[0, 0].numpy()
        last = title == "denoised"
        plot.velocity(
            speeds, ground, title=title, low=1500.0, high=4500.0, axes=axes, colour_bar=last
        )
    figure.savefig(folder / "openfwi_training.png")


if __name__ == "__main__":
    run(main)
