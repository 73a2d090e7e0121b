"""The demonstration: data of a generated model, and both inversions of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from velcodec import synth
from velcodec.field.field import Field
from velcodec.fwi.acquisition import Acquisition
from velcodec.fwi.inversion import Inversion, invert
from velcodec.metrics import Quality, quality
from velcodec.progress import Progress, no_progress

SIZE = 70
SMOOTHED_CELLS = 10.0

Model = NDArray[np.float32]


@dataclass(frozen=True)
class Demo:
    """The models by name, [z, x] in m/s: truth, start, grid and latent; and what `invert` found."""

    models: dict[str, Model]
    inversion: Inversion

    @property
    def qualities(self) -> dict[str, Quality]:
        """Errors of each model but the truth."""
        truth = self.models["truth"]
        return {
            name: quality(truth, model) for name, model in self.models.items() if name != "truth"
        }


def run_demo(
    family: str,
    seed: int,
    budget: int,
    checkpoint: Path | None = None,
    on_progress: Progress = no_progress,
) -> Demo:
    """Invert the data of model 0 of a family and seed, from the truth smoothed over ten cells.

    Raises MissingExtraError without deepwave, and what `invert` raises.
    """
    from scipy.ndimage import gaussian_filter

    truth = synth.draw(family, seed, 0, 1).render(SIZE, SIZE)[0]
    start = torch.from_numpy(gaussian_filter(truth.numpy(), SMOOTHED_CELLS, mode="nearest"))
    forward = Acquisition.openfwi(SIZE)
    with torch.no_grad():
        observed = forward(truth)
    found = invert(
        Field((SIZE, SIZE)), forward, observed, budget=budget, start=start,
        checkpoint=checkpoint, on_progress=on_progress,
    )  # fmt: skip
    assert found.grid is not None
    models = {"truth": truth, "start": start, "grid": found.grid, "latent": found.field()}
    return Demo({name: model.detach().numpy() for name, model in models.items()}, found)
