"""Sine against ReLU: the paper's trunk, scaled down, trained twice at equal cost.

Decoder and latents are trained jointly by Adam (the paper's Algorithm 1) on the same generated
models, the same points in the same order; only the activation and its initialisation differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from velcodec import synth
from velcodec.decoder import NATIVE_SAMPLES, ConcatConfig, SirenConcat
from velcodec.decoder.siren_concat import ACTIVATIONS
from velcodec.geometry import grid_points
from velcodec.metrics import DATA_RANGE, psnr_of_mse
from velcodec.progress import Progress

LOWEST = 1500.0
"""m/s; with DATA_RANGE the span of OpenFWI's labels, which the paper scales to [-1, 1]."""


@dataclass(frozen=True)
class AblationRecipe:
    """What both trainings share. `models` of each family, `points` of each model in every step.

    `learning_rates` are of the decoder; each activation is trained at every one and reported at
    its best. Latents take ten times as much.
    """

    steps: int = 400
    width: int = 64
    hidden_layers: int = 3
    models: int = 4
    points: int = 512
    learning_rates: tuple[float, ...] = (1e-3, 2e-3)
    latent_deviation: float = 0.01
    latent_penalty: float = 1e-4
    seed: int = 7


def normalised_models(families: Sequence[str], recipe: AblationRecipe) -> Tensor:
    """The training models, (n, P), scaled to [-1, 1] over the fixed range."""
    n = NATIVE_SAMPLES
    parts = [synth.draw(family, recipe.seed, 0, recipe.models).render(n, n) for family in families]
    return torch.cat(parts).flatten(1).sub(LOWEST).div(DATA_RANGE / 2).sub(1.0)


def train(
    activation: str, learning_rate: float, target: Tensor, recipe: AblationRecipe,
    update: Callable[[int], None],
) -> Tensor:  # fmt: skip
    """Mean squared error (n,) of the training models, normalised units, after all steps."""
    r = recipe
    torch.manual_seed(r.seed)
    decoder = SirenConcat(ConcatConfig(r.width, r.hidden_layers, activation=activation))
    latent = (r.latent_deviation * torch.randn(len(target), decoder.latent_size)).requires_grad_()
    groups = [
        {"params": decoder.parameters(), "lr": learning_rate},
        {"params": [latent], "lr": 10 * learning_rate},
    ]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, r.steps)
    points = torch.from_numpy(grid_points(NATIVE_SAMPLES, NATIVE_SAMPLES)).float()
    random = torch.Generator().manual_seed(r.seed)
    for step in range(r.steps):
        some = torch.randperm(len(points), generator=random)[: r.points]
        error = (decoder(points[some], latent) - target[:, some]).square().mean()
        loss = error + r.latent_penalty * latent.square().sum(1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        update(step + 1)
    with torch.no_grad():
        return torch.cat(
            [
                (decoder(points, z[None])[0] - y).square().mean()[None]
                for z, y in zip(latent, target, strict=True)
            ]
        )


def ablation_table(
    families: Sequence[str], recipe: AblationRecipe, on_progress: Progress
) -> dict[str, Any] | None:
    """Mean PSNR on the training models by activation; None for no steps."""
    if recipe.steps == 0:
        return None
    target = normalised_models(families, recipe)
    runs: list[tuple[str, float, float]] = []
    trainings = [(a, rate) for a in ACTIVATIONS for rate in recipe.learning_rates]
    total = recipe.steps * len(trainings)
    for number, (activation, rate) in enumerate(trainings):
        before = number * recipe.steps

        def update(step: int, before: int = before) -> None:
            on_progress(before + step, total, "sine and ReLU")

        mse = train(activation, rate, target, recipe, update)
        runs.append((activation, rate, mean_psnr(mse)))
    return {
        "recipe": asdict(recipe),
        "families": list(families),
        "models": len(target),
        "parameters": _parameters(recipe),
        "runs": [{"activation": a, "learning_rate": r, "psnr_db": psnr} for a, r, psnr in runs],
        "best_psnr_db": {
            activation: max(psnr for a, _, psnr in runs if a == activation)
            for activation in ACTIVATIONS
        },
    }


def _parameters(recipe: AblationRecipe) -> int:
    """Of the decoder; both activations have the same."""
    decoder = SirenConcat(ConcatConfig(recipe.width, recipe.hidden_layers))
    return sum(parameter.numel() for parameter in decoder.parameters())


def mean_psnr(normalised_mse: Tensor) -> float:
    """Mean PSNR over the fixed range, from errors on the scale of [-1, 1]."""
    return float(np.mean([psnr_of_mse(float(mse), data_range=2.0) for mse in normalised_mse]))
