"""Recipe `mixture`: encoder and decoder trained together for rate and distortion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from velcodec.train.joint import CONTRAST_RANGE, JointRecipe, JointTrainer, psnr_of
from velcodec.train.parallel import rank_and_size
from velcodec.train.pool import Chunk
from velcodec.train.trainer import Figures


@dataclass(frozen=True)
class MixtureRecipe(JointRecipe):
    """See `JointRecipe`. A chunk of models is left after so many visits of each."""

    visits: int = 12


class MixtureTrainer(JointTrainer):
    """The state of a run and its single step."""

    recipe_name = "mixture"
    recipe: MixtureRecipe
    _chunk: tuple[int, Chunk] | None = None

    def _examples(self, generator: torch.Generator) -> Chunk:
        """A process's share of one batch, mirrored half of the time."""
        r = self.recipe
        number = self.step_number // max(1, r.chunk * r.visits // r.batch)
        if self._chunk is None or self._chunk[0] != number:
            self._chunk = (number, self.draw(number, r.seed))
        chunk = self._chunk[1]
        pick = torch.randint(len(chunk), (r.batch,), generator=generator)
        first = int(torch.randint(r.chunk_points - r.points + 1, (1,), generator=generator))
        mirror = torch.rand(r.batch, generator=generator) < 0.5
        mine = self._share()
        models = chunk.view(pick[mine], slice(first, first + r.points)).mirrored(mirror[mine])
        return models.to(self.device)

    def _share(self) -> slice:
        rank, size = rank_and_size()
        return slice(rank, None, size)

    def _set_learning_rates(self) -> None:
        done = self.step_number / self.recipe.steps
        factor = min(1.0, (self.step_number + 1) / self.recipe.warm_up)
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor

    def step(self) -> Figures:
        """One optimiser step; returns the batch's mean PSNR (dB, range 3000 m/s) and bytes."""
        r = self.recipe
        generator = self.step_generator()
        models = self._examples(generator)
        low, high = (math.log(c) for c in r.coarseness)
        draw = torch.rand(r.batch, generator=generator)
        step_gain = torch.exp(low + (high - low) * draw)[self._share()].to(self.device)
        noise = torch.rand(r.batch, self.decoder.latent_size, generator=generator) - 0.5
        noise = noise[self._share()].to(self.device)
        coarseness = step_gain / models.contrast.clamp(*CONTRAST_RANGE)
        latent, bits = self.rate(self.guess(models.grids), coarseness, noise)
        error = (self._decode(models.points, latent) - models.values) * models.contrast[:, None]
        distortion = (models.weights * error.square()).mean(1)
        ramp = min(1.0, 0.05 + 4 * self.step_number / r.steps)
        loss = (distortion / step_gain + ramp * r.rate_weight * step_gain * bits).mean()
        self._set_learning_rates()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.update()
        figures = {"psnr": psnr_of(distortion), "bytes": bits.detach().mean().item() / 8}
        return figures | self.held_out_figures()
