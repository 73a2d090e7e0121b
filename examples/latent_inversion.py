"""Waveform inversion of noisy data: in the latent space and on the grid, and which to trust.

Needs deepwave and matplotlib (`pip install 'velcodec[fwi,plot]'`). Data are modelled here; yours
would be read.
"""

from __future__ import annotations

from pathlib import Path

import torch
from common import run
from scipy.ndimage import gaussian_filter

import velcodec
from velcodec import synth
from velcodec.fwi import Acquisition, invert
from velcodec.fwi.picture import draw_inversion


def main(folder: Path, small: bool) -> None:
    """Write line.vlat and latent_inversion.png."""
    truth = synth.draw("curvefault_a", seed=7, start=0, count=1).render(70, 70)[0]
    forward = Acquisition.openfwi()
    with torch.no_grad():
        clean = forward(truth)
    noise = 0.05 * float(clean.square().mean().sqrt())
    random = torch.Generator().manual_seed(1)
    observed = clean + noise * torch.randn(clean.shape, generator=random)

    start = torch.from_numpy(gaussian_filter(truth.numpy(), 10.0, mode="nearest"))
    field = velcodec.Field((70, 70), dx=10, dz=10, bounds=(1500, 4500))
    budget = 25 if small else 200
    found = invert(field, forward, observed, budget=budget, start=start, noise=noise)
    assert found.grid is not None
    print("the latent is trusted" if found.trusted else "the grid is closer to the data")
    found.field.to_archive(folder / "line.vlat", force=True)

    models = {"truth": truth, "start": start, "grid": found.grid, "latent": found.field()}
    arrays = {name: model.detach().numpy() for name, model in models.items()}
    with (folder / "latent_inversion.png").open("wb") as stream:
        draw_inversion(arrays, found, stream)


if __name__ == "__main__":
    run(main)
