"""Recipe `mixture`: encoder and decoder trained together for rate and distortion.

Every step draws its examples and its noise from (seed, step) alone, so a run that was stopped goes
on with exactly the data it would have seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.decoder.siren_mixture import MixtureConfig, SirenMixture
from velcodec.fit.encoder import Encoder
from velcodec.formats.errors import OptionError

from .checkpoint import load_checkpoint, read_recipe, save_checkpoint
from .pool import Chunk, draw_chunk
from .rate import LatentRate, reference_step

DEFAULT_FAMILIES: Mapping[str, float] = {
    "flatvel_a": 0.05,
    "flatvel_b": 0.04,
    "curvevel_a": 0.18,
    "curvevel_b": 0.06,
    "flatfault_a": 0.14,
    "flatfault_b": 0.05,
    "curvefault_a": 0.16,
    "curvefault_b": 0.06,
    "style_a": 0.11,
    "style_b": 0.04,
    "geology": 0.11,
}


@dataclass(frozen=True)
class MixtureRecipe:
    """Everything that decides a training run, but for the machine it runs on.

    `rate_weight` is the price of a bit, in units of squared error / (1500 m/s)^2, at coarseness 1.
    """

    steps: int = 22_000
    batch: int = 64
    points: int = 256
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 1e-3
    rate_learning_rate: float = 5e-3
    rate_weight: float = 1.5e-5
    coarseness: tuple[float, float] = (0.25, 1.5)
    warm_up: int = 200
    chunk: int = 8192
    chunk_points: int = 1024
    visits: int = 12
    seed: int = 1
    families: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FAMILIES))
    decoder: MixtureConfig = field(default_factory=MixtureConfig)
    encoder_channels: int = 24

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class MixtureTrainer:
    """The state of a run and its single step."""

    def __init__(self, recipe: MixtureRecipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        self.decoder = SirenMixture(recipe.decoder).to(device)
        self.encoder = Encoder(recipe.encoder_channels).to(device)
        self.rate = LatentRate().to(device)
        self.optimiser = torch.optim.Adam(
            [
                {"params": list(self.decoder.parameters()), "base": recipe.learning_rate},
                {"params": list(self.encoder.parameters()), "base": recipe.encoder_learning_rate},
                {"params": list(self.rate.parameters()), "base": recipe.rate_learning_rate},
            ],
            betas=(0.9, 0.99),
            fused=True,
        )
        self._decode: Callable[[Tensor, Tensor], Tensor] = self.decoder
        self._encode: Callable[[Tensor], Tensor] = self.encoder
        self.step_number = 0
        self._chunk: tuple[int, Chunk] | None = None

    def start_from(self, decoder: Decoder, encoder: Encoder | None) -> None:
        """Take over the weights of a finished decoder, and of its encoder if there is one.

        Raises `OptionError` for a decoder or encoder of another shape than the recipe's.
        """
        if decoder.config != self.decoder.config:
            raise OptionError(
                f"decoder {decoder.name}: found {decoder.config}, expected {self.decoder.config}"
            )
        self.decoder.load_state_dict(decoder.state_dict())
        if encoder is not None:
            if encoder.config != self.encoder.config:
                raise OptionError(
                    f"encoder: found {encoder.config}, expected {self.encoder.config}"
                )
            self.encoder.load_state_dict(encoder.state_dict())
        self.rate.start_from(decoder.prior_precision, reference_step(self.recipe.rate_weight))

    def compile(self) -> None:
        """Let torch compile both networks: about twice as fast, half a minute to start."""
        self._decode = torch.compile(self.decoder, dynamic=False)
        self._encode = torch.compile(self.encoder, dynamic=False)

    def _guess(self, grids: Tensor) -> Tensor:
        """The encoder in bfloat16: its guess need not be exact."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            return self._encode(grids).float()

    def _examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Grids, points, values, weights and contrast of one batch, mirrored half of the time."""
        r = self.recipe
        number = self.step_number // (r.chunk * r.visits // r.batch)
        if self._chunk is None or self._chunk[0] != number:
            self._chunk = (number, draw_chunk(number, r.chunk, r.chunk_points, r.families, r.seed))
        chunk = self._chunk[1]
        pick = torch.randint(len(chunk), (r.batch,), generator=generator)
        first = int(torch.randint(r.chunk_points - r.points + 1, (1,), generator=generator))
        some = slice(first, first + r.points)
        mirror = torch.rand(r.batch, generator=generator) < 0.5
        grids, points = chunk.grids[pick], chunk.points[pick, some].clone()
        grids = torch.where(mirror[:, None, None], grids.flip(-1), grids)
        points[..., 0] = torch.where(mirror[:, None], -points[..., 0], points[..., 0])
        batch = (grids, points, chunk.values[pick, some], chunk.weights[pick, some])
        return tuple(t.to(self.device) for t in (*batch, chunk.contrast[pick]))

    def _set_learning_rates(self) -> None:
        done = self.step_number / self.recipe.steps
        factor = min(1.0, (self.step_number + 1) / self.recipe.warm_up)
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the batch's mean PSNR (dB, range 3000 m/s) and bytes."""
        r = self.recipe
        generator = torch.Generator().manual_seed(r.seed * 2**40 + self.step_number)
        grids, points, values, weights, contrast = self._examples(generator)
        low, high = (math.log(c) for c in r.coarseness)
        draw = torch.rand(r.batch, generator=generator).to(self.device)
        step_gain = torch.exp(low + (high - low) * draw)
        noise = torch.rand(r.batch, self.decoder.latent_size, generator=generator) - 0.5
        coarseness = step_gain / contrast.clamp(0.05, 2.0)
        latent, bits = self.rate(self._guess(grids), coarseness, noise.to(self.device))
        error = (self._decode(points, latent) - values) * contrast[:, None]
        distortion = (weights * error.square()).mean(1)
        ramp = min(1.0, 0.05 + 4 * self.step_number / r.steps)
        loss = (distortion / step_gain + ramp * r.rate_weight * step_gain * bits).mean()
        self._set_learning_rates()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        self.optimiser.step()
        self.step_number += 1
        psnr = -10 * torch.log10(distortion.detach().clamp(min=1e-9) / 4)
        return {"psnr": psnr.mean().item(), "bytes": bits.detach().mean().item() / 8}

    def run(self, seconds: float | None, report: Callable[[int, dict[str, float]], None]) -> None:
        """Steps until the recipe ends or, if given, `seconds` have passed.

        `report` is called with the number of steps done and the last step's figures.
        """
        end = math.inf if seconds is None else time.monotonic() + seconds
        while self.step_number < self.recipe.steps and time.monotonic() < end:
            figures = self.step()
            report(self.step_number, figures)

    def save(self, path: Path) -> None:
        """Write a checkpoint (see `checkpoint`)."""
        save_checkpoint(self, path)


def start_or_resume(checkpoint: Path, device: str = "cpu", **changes: Any) -> MixtureTrainer:
    """The trainer of a checkpoint at the step where it stopped, or a new one where there is none.

    `changes` are fields of the recipe of a new run; for an old one they must be what it has.
    Raises `OptionError` for a checkpoint that is not one or is another recipe's.
    """
    if not checkpoint.exists():
        return MixtureTrainer(MixtureRecipe(**changes), device)
    recipe = recipe_of(checkpoint)
    for name, wanted in changes.items():
        if (found := getattr(recipe, name)) != wanted:
            raise OptionError(f"{checkpoint}: {name}: found a run with {found}, expected {wanted}")
    trainer = MixtureTrainer(recipe, device)
    load_checkpoint(trainer, checkpoint)
    return trainer


def recipe_of(checkpoint: Path) -> MixtureRecipe:
    """The recipe that a checkpoint belongs to. Raises `OptionError` where it is none."""
    stored = read_recipe(checkpoint)
    stored["decoder"] = MixtureConfig(**stored["decoder"])
    stored["coarseness"] = tuple(stored["coarseness"])
    return MixtureRecipe(**stored)
