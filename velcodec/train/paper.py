"""Recipe `paper`: Algorithm 1 as the paper has it, for comparison.

One latent per training model and the decoder `siren-concat` descend together by Adam; nothing
looks at bytes, and there is no encoder. docs/training-paper.md says which numbers the paper's text
lost and what stands in for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from velcodec import synth
from velcodec.decoder.siren_concat import ConcatConfig, SirenConcat
from velcodec.decoder.sizes import NATIVE_SAMPLES
from velcodec.fit.lm import LMOptions, descend
from velcodec.geometry import grid_points
from velcodec.metrics import DATA_RANGE, psnr, ssim
from velcodec.train.own import OwnData, OwnModels, check_same_data
from velcodec.train.parallel import average, average_gradients, rank_and_size
from velcodec.train.pool import normalised
from velcodec.train.settings import from_plain, to_plain
from velcodec.train.trainer import Figures, Trainer

PAPER_FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a", "style_a")
HELD_OUT_FIT = LMOptions(stages=((1225, 24),), full_steps=40, tolerance=1e-6, enough=0.0)
"""Long, as training visits its own latents in every epoch; docs/training-paper.md has the cost."""

MODELS_AT_ONCE = 32
OWN_FAMILY = "own"


@dataclass(frozen=True)
class PaperRecipe:
    """Table 2 and section 3.4 of the paper. `points` per model and step, 0 for all of the grid.

    With the user's `own` models the trainer sets `families`, `models` and `train_share` to what the
    files hold, so that `epochs` keeps its meaning.
    """

    models: int = 200
    train_share: float = 0.8
    epochs: int = 3000
    batch: int = 32
    points: int = 0
    width: int = 512
    hidden_layers: int = 4
    learning_rate: float = 1e-4
    latent_learning_rate: float = 1e-3
    latent_penalty: float = 1e-4
    latent_deviation: float = 0.01
    patience: int = 50
    factor: float = 0.5
    seed: int = 1
    rate_weight: float = 1.5e-5
    families: tuple[str, ...] = PAPER_FAMILIES
    own: OwnData | None = None

    @property
    def training_models(self) -> int:
        """Models that are trained on."""
        return round(self.models * self.train_share) * len(self.families)

    @property
    def steps(self) -> int:
        return self.epochs * math.ceil(self.training_models / self.batch)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON keeps them."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The recipe that `to_dict` gave."""
        return cls(**from_plain(cls, stored))


def _counting(recipe: PaperRecipe, own: OwnModels) -> PaperRecipe:
    """The recipe with the numbers of the user's models; few models are trained on and held out."""
    models = len({*own.training, *own.held_out})
    train_share = len(own.training) / models
    return replace(recipe, families=(OWN_FAMILY,), models=models, train_share=train_share)


@dataclass(frozen=True)
class Examples:
    """Models (n, P) in [-1, 1], each by its own range; contrast = range / 3000 m/s; family (n,)."""

    values: Tensor
    contrast: Tensor
    family: tuple[str, ...]

    @classmethod
    def of_grids(cls, grids: Tensor, family: str) -> Examples:
        """Grids (n, nz, nx) in m/s."""
        values, _, span = normalised(grids)
        return cls(values.flatten(1), span / DATA_RANGE, (family,) * len(grids))

    @classmethod
    def joined(cls, parts: list[Examples]) -> Examples:
        return cls(
            torch.cat([p.values for p in parts]),
            torch.cat([p.contrast for p in parts]),
            tuple(f for p in parts for f in p.family),
        )


class PaperTrainer(Trainer):
    """The state of a run and its single step."""

    recipe_name = "paper"
    recipe: PaperRecipe

    def __init__(
        self, recipe: PaperRecipe, device: str = "cpu", own: OwnModels | None = None
    ) -> None:
        check_same_data(own, recipe.own, f"recipe {self.recipe_name}")
        torch.manual_seed(recipe.seed)
        r = self.recipe = recipe if own is None else _counting(recipe, own)
        self.device = torch.device(device)
        self.training, self.held_out = self._examples(own)
        self.decoder = SirenConcat(ConcatConfig(r.width, r.hidden_layers)).to(device)
        self.latents = nn.Embedding(len(self.training.values), self.decoder.latent_size).to(device)
        nn.init.normal_(self.latents.weight, std=r.latent_deviation)
        groups = [
            {"params": list(self.decoder.parameters()), "lr": r.learning_rate},
            {"params": list(self.latents.parameters()), "lr": r.latent_learning_rate},
        ]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimiser, factor=r.factor, patience=r.patience
        )
        on_gpu = self.device.type == "cuda"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=on_gpu)
        self._losses: list[float] = []
        grid = torch.from_numpy(grid_points(NATIVE_SAMPLES, NATIVE_SAMPLES)).float()
        self.points = grid.to(device)

    def _examples(self, own: OwnModels | None) -> tuple[Examples, Examples]:
        """Training and held-out models, split family by family."""
        r = self.recipe
        if own is not None:
            return tuple(
                Examples.of_grids(own.grids(held_out), OWN_FAMILY) for held_out in (False, True)
            )  # type: ignore[return-value]
        first = round(r.models * r.train_share)
        training, held_out = [], []
        for family in r.families:
            grids = synth.draw(family, r.seed, 0, r.models).render(NATIVE_SAMPLES, NATIVE_SAMPLES)
            training.append(Examples.of_grids(grids[:first], family))
            held_out.append(Examples.of_grids(grids[first:], family))
        return Examples.joined(training), Examples.joined(held_out)

    def parts(self) -> dict[str, nn.Module]:
        return {"decoder": self.decoder, "latents": self.latents}

    def memory(self) -> dict[str, Tensor]:
        p = self._plateau
        rates = [g["lr"] for g in self.optimiser.param_groups]
        counts = [float(p.best), float(p.num_bad_epochs), float(p.last_epoch)]
        scale = float(self._scaler.get_scale())
        growth = self._scaler.state_dict().get("_growth_tracker", 0)
        return {
            "growth": torch.tensor(growth),
            "plateau": torch.tensor([*counts, *rates, scale], dtype=torch.float64),
            "losses": torch.tensor(self._losses, dtype=torch.float64),
        }

    def recall(self, memory: dict[str, Tensor]) -> None:
        best, bad, last, *rates, scale = memory["plateau"].tolist()
        p = self._plateau
        p.best, p.num_bad_epochs, p.last_epoch = best, int(bad), int(last)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        if self._scaler.is_enabled():
            found = {"scale": scale, "_growth_tracker": int(memory["growth"])}
            self._scaler.load_state_dict(self._scaler.state_dict() | found)
        self._losses = memory["losses"].tolist()

    def step(self) -> Figures:
        """One batch; the epoch's mean loss decides the learning rate after its last one."""
        r, count = self.recipe, len(self.training.values)
        batches = math.ceil(count / r.batch)
        epoch, number = divmod(self.step_number, batches)
        shuffle = torch.Generator().manual_seed(r.seed * 2**40 + epoch)
        order = torch.randperm(count, generator=shuffle)
        rank, size = rank_and_size()
        batch = order[number * r.batch : (number + 1) * r.batch]
        which = batch[rank::size]
        some = torch.arange(len(self.points))
        if r.points:
            some = torch.randperm(len(some), generator=self.step_generator())[: r.points]
        target = self.training.values[which][:, some].to(self.device)
        latent = self.latents(which.to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.float16, enabled=self._scaler.is_enabled()):
            rendered = self.decoder(self.points[some.to(self.device)], latent)
        error = (rendered.float() - target).square().mean(1)
        # Shares of a batch may differ, so that only their sums average to the batch's mean.
        share = size / len(batch)
        loss = share * (error + r.latent_penalty * latent.square().sum(1)).sum()
        self._scaler.scale(loss).backward()
        average_gradients([*self.decoder.parameters(), *self.latents.parameters()])
        self._scaler.step(self.optimiser)
        self._scaler.update()
        # Every process must see the same loss, or their learning rates would part.
        mean_loss = average(loss.detach()).item()
        self._losses.append(mean_loss)
        if number == batches - 1:
            self._plateau.step(float(np.mean(self._losses)))
            self._losses = []
        self.step_number += 1
        contrast = self.training.contrast[which].to(self.device)
        relative = (error.detach() * contrast.square() / 4).clamp(min=1e-9)
        rate = self.optimiser.param_groups[0]["lr"]
        psnr_db = (-10 * torch.log10(relative)).mean().item()
        return {"psnr": psnr_db, "loss": mean_loss, "learning_rate": rate}

    @torch.no_grad()
    def closing_figures(self) -> Figures:
        """Mean PSNR (dB, range 3000 m/s) and SSIM per family, of training and held-out models."""
        found: Figures = {}
        for name, examples in (("train", self.training), ("held_out", self.held_out)):
            latent = self.latents.weight if name == "train" else self.fit(examples)
            rendered = self.render(latent.detach())
            for family in dict.fromkeys(examples.family):
                mine = [i for i, f in enumerate(examples.family) if f == family]
                pairs = [(self._grid(rendered, i, examples), self._grid(None, i, examples))
                         for i in mine]  # fmt: skip
                found[f"{family}_{name}_psnr"] = float(np.mean([psnr(*p) for p in pairs]))
                found[f"{family}_{name}_ssim"] = float(np.mean([ssim(*p) for p in pairs]))
        return found

    def _grid(self, rendered: Tensor | None, i: int, examples: Examples) -> Any:
        """Model i in m/s above its own minimum, rendered or as it is."""
        values = examples.values[i] if rendered is None else rendered[i].clamp(-1, 1).cpu()
        scale = examples.contrast[i] * DATA_RANGE / 2
        return (values * scale).view(NATIVE_SAMPLES, NATIVE_SAMPLES).numpy()

    def render(self, latent: Tensor) -> Tensor:
        """Values (n, P) of latents (n, D) at the native grid."""
        return torch.cat([self.decoder(self.points, z) for z in latent.split(MODELS_AT_ONCE)])

    def fit(self, examples: Examples) -> Tensor:
        """Latents of models that were not trained on, the decoder frozen."""
        n = len(examples.values)
        start = torch.zeros(n, self.decoder.latent_size, device=self.device)
        weight = torch.full_like(start, self.recipe.latent_penalty)
        target = examples.values.to(self.device)
        return descend(self.decoder, start, target, self.points, weight, HELD_OUT_FIT)
