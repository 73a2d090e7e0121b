"""Recipe `autodecoder`: decoder and latents descend together, so that the latents are fitted ones.

An encoder's guess is blind to details that a fit finds, and a decoder trained at guesses learns to
blur what the guess cannot place. Here each model of a pool keeps its own latent, begun at the
encoder's guess and moved by Adam at every visit, with the noise and the rate of quantisation. At
a fitted latent the partial derivative by the weights is the total one (envelope theorem).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.decoder.sizes import MixtureConfig
from velcodec.train.joint import BETAS, CONTRAST_RANGE, SIZES, JointRecipe, JointTrainer, psnr_of
from velcodec.train.latent_pool import ModelQueue, Slots
from velcodec.train.own import OwnModels
from velcodec.train.parallel import rank_and_size
from velcodec.train.pool import Chunk
from velcodec.train.trainer import Figures

MODELS_AT_ONCE = 64
RANK_SEED = 10_000
"""Between the seeds of processes that train together: each has a pool of its own."""


@dataclass(frozen=True)
class AutodecoderRecipe(JointRecipe):
    """See `JointRecipe`. A model takes one of `slots` and leaves it after about `visits` visits.

    Latents move by `latent_rates` quantiser steps at most, at first and in the end; the last
    share `decay` of the run lowers the learning rate to zero. Errors count relative to the model's
    own plus `distortion_floor`, in units of (1500 m/s)^2, so that the mean PSNR is what rises. The
    encoder learns from a part of every second batch.
    """

    steps: int = 54_000
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 5e-4
    rate_learning_rate: float = 1e-3
    coarseness: tuple[float, float] = (0.12, 0.7)
    warm_up: int = 300
    chunk: int = 2048
    chunk_points: int = 2048
    seed: int = 2
    decoder: MixtureConfig = SIZES
    latent_rates: tuple[float, float] = (0.5, 0.05)
    distortion_floor: float = 4e-4
    decay: float = 0.55
    slots: int = 1024
    visits: int = 128
    encoder_batch: int = 16
    encoder_every: int = 2


class AutodecoderTrainer(JointTrainer):
    """The state of a run and its single step."""

    recipe_name = "autodecoder"
    recipe: AutodecoderRecipe

    def __init__(
        self, recipe: AutodecoderRecipe, device: str = "cpu", own: OwnModels | None = None
    ) -> None:
        super().__init__(recipe, device, own)
        self._seed = recipe.seed + RANK_SEED * rank_and_size()[0]
        self._queue = ModelQueue(lambda n: self.draw(n, self._seed), recipe.chunk, self._seed)
        self._slots = Slots.empty(recipe.slots, self.decoder.latent_size)
        self._models: Chunk | None = None
        self._taken = 0
        self._guessed = math.nan

    def memory(self) -> dict[str, Tensor]:
        return self._slots.tensors() | {"taken": torch.tensor(self._taken)}

    def recall(self, memory: dict[str, Tensor]) -> None:
        if rank_and_size()[0]:
            return  # a checkpoint keeps the first process's pool; the others begin anew
        self._slots, self._taken = Slots.from_tensors(memory), int(memory["taken"])
        if self._taken:
            self._models = self._queue.take(self._slots.number).mirrored(self._slots.mirrored)

    def step(self) -> Figures:
        """One optimiser step and one step of the visited latents.

        Returns the batch's mean PSNR (dB, range 3000 m/s) and bytes, with noise in place of
        rounding, and the PSNR of the encoder's last guesses without noise.
        """
        r = self.recipe
        generator = torch.Generator().manual_seed(self._seed * 2**40 + self.step_number)
        slots = self._next_slots(generator)
        assert self._models is not None
        first = int(torch.randint(r.chunk_points - r.points + 1, (1,), generator=generator))
        models = self._models.view(slots, slice(first, first + r.points)).to(self.device)
        noise = torch.rand(len(slots), self.decoder.latent_size, generator=generator) - 0.5
        gain = self._slots.coarseness[slots].to(self.device)
        coarseness = gain / models.contrast.clamp(*CONTRAST_RANGE)
        latent = self._slots.latent[slots].to(self.device).requires_grad_(True)
        self._set_learning_rates()
        self.optimiser.zero_grad(set_to_none=True)
        noisy, bits = self.rate(latent, coarseness, noise.to(self.device))
        distortion = self._distortion(models, noisy)
        price = r.rate_weight * gain.square()
        self._relative(distortion, price * bits).backward()
        assert latent.grad is not None
        self._move_latents(slots, latent.grad, coarseness)
        if self.step_number % r.encoder_every == 0:
            some = slice(0, r.encoder_batch)
            self._teach_encoder(models.view(torch.arange(len(slots))[some], slice(None)),
                                coarseness[some], price[some])  # fmt: skip
        self.update()
        figures = {
            "psnr": psnr_of(distortion),
            "bytes": bits.detach().mean().item() / 8,
            "encoder_psnr": self._guessed,
        }
        return figures | self.held_out_figures()

    def _next_slots(self, generator: torch.Generator) -> Tensor:
        """The slots of this step; each round visits every slot once and renews a few."""
        r = self.recipe
        turn = self.step_number % (r.slots // r.batch)
        if turn == 0 or self._models is None:
            self._renew(generator)
        round_number = self.step_number // (r.slots // r.batch)
        shuffle = torch.Generator().manual_seed(self._seed * 2**41 + round_number)
        order = torch.randperm(r.slots, generator=shuffle)
        return order[turn * r.batch : (turn + 1) * r.batch]

    @torch.no_grad()
    def _renew(self, generator: torch.Generator) -> None:
        r = self.recipe
        count = r.slots if self._models is None else -(-r.slots // r.visits)
        low, high = (math.log(c) for c in r.coarseness)
        for numbers in torch.arange(self._taken, self._taken + count).split(MODELS_AT_ONCE):
            which = numbers % r.slots
            mirrored = torch.rand(len(numbers), generator=generator) < 0.5
            models = self._queue.take(numbers).mirrored(mirrored)
            latent = self.encoder(models.grids.to(self.device)).cpu()
            draw = torch.rand(len(numbers), generator=generator)
            coarseness = torch.exp(low + (high - low) * draw)
            if self._models is None:
                self._models = models.take(torch.zeros(r.slots, dtype=torch.long))
            self._models.put(which, models)
            self._slots.renew(which, latent, coarseness, numbers, mirrored)
        self._taken += count

    def _distortion(self, models: Chunk, latent: Tensor) -> Tensor:
        """Mean squared error (B,) in units of (1500 m/s)^2."""
        error = (self._decode(models.points, latent) - models.values) * models.contrast[:, None]
        return (models.weights * error.square()).mean(1)

    def _relative(self, distortion: Tensor, rate: Tensor) -> Tensor:
        weight = 1 / (distortion.detach() + self.recipe.distortion_floor)
        return (weight * (distortion + rate)).mean()

    def _set_learning_rates(self) -> None:
        r = self.recipe
        left = (r.steps - self.step_number) / (r.decay * r.steps)
        factor = min(1.0, (self.step_number + 1) / r.warm_up, max(left, 0.01))
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor

    @torch.no_grad()
    def _move_latents(self, which: Tensor, gradient: Tensor, coarseness: Tensor) -> None:
        """One Adam step, in units of the quantiser's step where the prior is wider than that and of
        the prior's scale where it is not: what is rarely used should not wander.
        """
        slots, r = self._slots, self.recipe
        scale = (self.rate.log_scale.exp() / coarseness[:, None]).clamp(max=1.0)
        unit = (self.rate.log_step.exp() * coarseness[:, None] * scale).cpu()
        slope = gradient.cpu() * unit
        visits = slots.visits[which] + 1
        first = slots.first[which].lerp(slope, 1 - BETAS[0])
        second = slots.second[which].lerp(slope.square(), 1 - BETAS[1])
        slots.visits[which], slots.first[which], slots.second[which] = visits, first, second
        fast, slow = r.latent_rates
        done = (visits / r.visits).clamp(max=1.0)
        pace = slow + (fast - slow) * 0.5 * (1 + torch.cos(math.pi * done))
        first = first / (1 - BETAS[0] ** visits[:, None])
        second = second / (1 - BETAS[1] ** visits[:, None])
        slots.latent[which] -= pace[:, None] * unit * first / (second.sqrt() + 1e-12)

    def _teach_encoder(self, models: Chunk, coarseness: Tensor, price: Tensor) -> None:
        """Gradient for the encoder alone: the decoder learns from fitted latents only."""
        guess = self.guess(models.grids)
        latent = guess.detach().requires_grad_(True)
        distortion = self._distortion(models, latent)
        _, bits = self.rate(latent, coarseness, torch.zeros_like(latent))
        (pull,) = torch.autograd.grad(self._relative(distortion, price * bits), latent)
        guess.backward(pull)
        self._guessed = psnr_of(distortion)
