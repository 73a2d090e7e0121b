"""Training on endless generated bricks.

A latent stands for a brick, half of a generated volume along each axis, as 64^3 of 128^3 samples
are. First the decoder learns from an encoder's latents, then from fitted ones, as recipes `mixture`
and `autodecoder` do in two dimensions (docs/training.md).
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from velcodec import synth
from velcodec.decoder.base import Decoder
from velcodec.synth.models import CELLS
from velcodec.train.rate import LatentRate

from .decoder import GRID, VolumeEncoder, VolumeMixture

BRICK = CELLS / 2.0
"""Cells of the generator along a side of a brick."""

POINTS, POOL_POINTS = 512, 2048
"""Points of a brick in a step, and all that it has."""

SLOTS, BATCH = 512, 32
SHARES = {
    "flat": 1, "folded": 4, "faulted": 4, "blended": 4, "salt": 4, "channels": 4, "gradient": 5,
}  # fmt: skip
RATE_WEIGHT, FLOOR = 1.5e-5, 1.5e-3
"""Price of a bit at coarseness 1, and the error below which one brick counts no more than another,
in (1500 m/s)^2: a PSNR of 34 dB."""

COARSENESS = (0.2, 1.2)
RATES = {"decoder": 2e-3, "encoder": 1e-3, "rate": 3e-3}
LATENT_RATES = (0.5, 0.05)
ENCODER_SHARE = 0.35
"""Share of the time with the encoder's latents."""

BETAS = (0.9, 0.99)


def draw_brick(seed: int, number: int, given: Tensor | None = None) -> tuple[Tensor, ...]:
    """Training brick `number`: its normalised grid, points (POOL_POINTS, 3) or those given, their
    values, and its contrast, range / 3000 m/s. Bricks without contrast are passed over.
    """
    random = torch.Generator().manual_seed(seed * 2**40 + number)
    while True:
        shares = torch.tensor([float(share) for share in SHARES.values()])
        family = tuple(SHARES)[int(torch.multinomial(shares, 1, generator=random))]
        volume = synth.draw_volumes(
            family, seed, int(torch.randint(2**30, (1,), generator=random)), 1
        )
        corner = torch.rand(3, generator=random) * (CELLS - BRICK)
        axes = [c + (torch.arange(GRID) + 0.5) * (BRICK / GRID) for c in corner]
        drawn = torch.rand(POOL_POINTS, 3, generator=random) * 2 - 1
        points = drawn if given is None else given
        at = corner + (points + 1) * (BRICK / 2)
        velocity = volume.each[0].velocity
        grid = velocity(axes[0][None, None], axes[1][None, :, None], axes[2][:, None, None])
        values = velocity(*at.T.contiguous())
        low, high = (torch.stack([f(grid), f(values)]) for f in (torch.amin, torch.amax))
        low, span = low.amin(), high.amax() - low.amin()
        if span > 1.0:
            grid, values = (v.sub(low).mul(2 / span).sub(1.0) for v in (grid, values))
            return grid.expand(GRID, GRID, GRID), points, values, span / 3000.0


class Run:
    """Networks, optimiser and a pool of bricks with a latent each."""

    def __init__(self, path: Path, seconds: float, seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.path, self.seconds, self.seed = path, seconds, seed
        self.decoder, self.encoder, self.rate = VolumeMixture(), VolumeEncoder(), LatentRate()
        self.decode = torch.compile(self.decoder, dynamic=False)
        self.modules = {"decoder": self.decoder, "encoder": self.encoder, "rate": self.rate}
        groups = [
            {"params": list(module.parameters()), "base": RATES[name]}
            for name, module in self.modules.items()
        ]
        self.optimiser = torch.optim.Adam(groups, betas=BETAS, fused=True)
        self.steps, self.spent, self.taken, self.curve = 0, 0.0, SLOTS, list[dict[str, float]]()
        latent = torch.zeros(SLOTS, Decoder.latent_size)
        self.slots = {"latent": latent, "first": latent.clone(), "second": latent.clone()}
        self.slots |= {"visits": torch.zeros(SLOTS), "gain": torch.ones(SLOTS)}
        if path.exists():
            saved = torch.load(path)
            for name, module in self.modules.items():
                module.load_state_dict(saved[name])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.steps, self.spent, self.taken = saved["steps"], saved["spent"], saved["taken"]
            self.slots, self.curve = saved["slots"], saved["curve"]
        numbers = [self.taken - 1 - (self.taken - 1 - slot) % SLOTS for slot in range(SLOTS)]
        drawn = [draw_brick(seed, number) for number in numbers]
        self.pool = [torch.stack(each) for each in zip(*drawn, strict=True)]

    def save(self) -> None:
        """Write a checkpoint in place of the last one."""
        state = {name: module.state_dict() for name, module in self.modules.items()}
        numbers = {"steps": self.steps, "spent": self.spent, "taken": self.taken}
        rest = {"optimiser": self.optimiser.state_dict(), "slots": self.slots, "curve": self.curve}
        torch.save(state | numbers | rest, self.path.with_suffix(".part"))
        os.replace(self.path.with_suffix(".part"), self.path)

    def train(self) -> None:
        """Steps until the time is spent."""
        mean = dict[str, float]()
        while self.spent < self.seconds:
            started = time.perf_counter()
            figures = self.step()
            self.steps += 1
            self.spent += min(
                time.perf_counter() - started, 5.0
            )  # the process may have been halted
            for name, value in figures.items():
                mean[name] = mean.get(name, 0.0) + value / 100
            if self.steps % 100 == 0:
                self.curve.append({"steps": self.steps, "seconds": self.spent} | mean)
                click.echo(" ".join(f"{k} {v:.5g}" for k, v in self.curve[-1].items()))
                mean = {}
            if self.steps % 1000 == 0:
                self.save()
        self.save()

    def step(self) -> dict[str, float]:
        """A step of the weights, and of the visited latents; PSNR (dB) and bytes, with noise."""
        done = self.spent / self.seconds
        fitted, decay = done >= ENCODER_SHARE, min(1.0, max(0.02, (1 - done) / 0.4))
        for group in self.optimiser.param_groups:
            warm = min(1.0, (self.steps + 1) / 200)
            group["lr"] = group["base"] * warm * decay * (0.5 if fitted else 1.0)
        if fitted and not self.slots["visits"].any():
            self.start_latents(torch.arange(SLOTS))
        # Bricks are seen about 32 times for the encoder, 128 times in the fit.
        for _ in range(int(self.steps % 4 == 0) if fitted else 1):
            self.renew(fitted)
        which = torch.randperm(SLOTS)[:BATCH]
        grids, points, values, contrast = (each[which] for each in self.pool)
        some = torch.randint(POOL_POINTS - POINTS + 1, (1,)).item()
        points, values = (v[:, some : some + POINTS] for v in (points, values))
        low, high = (math.log(c) for c in COARSENESS)
        gain = torch.exp(low + (high - low) * torch.rand(BATCH))
        gain = self.slots["gain"][which] if fitted else gain
        noise = torch.rand(BATCH, Decoder.latent_size) - 0.5
        coarse = gain / contrast.clamp(0.05, 2.0)
        latent = self.slots["latent"][which].requires_grad_() if fitted else self.encoder(grids)

        def cost(latent: Tensor, noise: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
            noisy, bits = self.rate(latent, coarse[rows], noise)
            error = self.decode(points[rows], noisy) - values[rows]
            distortion = error.square().mean(1) * contrast[rows].square()
            ramp = min(1.0, 0.05 + 10 * done)
            total = distortion + ramp * RATE_WEIGHT * gain[rows].square() * bits
            return (total / (distortion.detach() + FLOOR)).mean(), distortion.detach(), bits

        self.optimiser.zero_grad(set_to_none=True)
        loss, distortion, bits = cost(latent, noise, slice(None))
        loss.backward()
        if fitted:
            assert latent.grad is not None
            self.move_latents(which, latent.grad, coarse)
            if self.steps % 2 == 0:
                few = slice(0, BATCH // 4)
                guess = self.encoder(grids[few])
                start = guess.detach().requires_grad_()
                pull = torch.autograd.grad(cost(start, 0 * noise[few], few)[0], start)
                guess.backward(pull[0])
        for module in self.modules.values():
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        self.optimiser.step()
        psnr = -10 * torch.log10(distortion.clamp(min=1e-9) / 4).mean()
        mse = -10 * math.log10(distortion.mean().item() / 4)
        return {"psnr": psnr.item(), "of_mean": mse, "bytes": bits.detach().mean().item() / 8}

    def renew(self, fitted: bool) -> None:
        """A fresh brick in place of the oldest."""
        slot = torch.tensor([self.taken % SLOTS])
        for kept, fresh in zip(self.pool, draw_brick(self.seed, self.taken), strict=True):
            kept[slot] = fresh
        self.taken += 1
        if fitted:
            self.start_latents(slot)

    @torch.no_grad()
    def start_latents(self, which: Tensor) -> None:
        """The encoder's guess for some bricks, at a coarseness drawn for each."""
        for some in which.split(BATCH):
            self.slots["latent"][some] = self.encoder(self.pool[0][some])
        low, high = (math.log(c) for c in COARSENESS)
        self.slots["gain"][which] = torch.exp(low + (high - low) * torch.rand(len(which)))
        for name in ("first", "second", "visits"):
            self.slots[name][which] = 0.0

    @torch.no_grad()
    def move_latents(self, which: Tensor, gradient: Tensor, coarse: Tensor) -> None:
        """A step of Adam in units of quantiser steps, as in recipe `autodecoder`."""
        scale = (self.rate.log_scale.exp() / coarse[:, None]).clamp(max=1.0)
        unit = self.rate.log_step.exp() * coarse[:, None] * scale
        s, slope = self.slots, gradient * unit
        visits = s["visits"][which] + 1
        first = s["first"][which].lerp(slope, 1 - BETAS[0])
        second = s["second"][which].lerp(slope.square(), 1 - BETAS[1])
        s["visits"][which], s["first"][which], s["second"][which] = visits, first, second
        fast, slow = LATENT_RATES
        pace = slow + (fast - slow) * 0.5 * (1 + torch.cos(math.pi * (visits / 128).clamp(max=1)))
        first, second = (
            v / (1 - b ** visits[:, None]) for v, b in zip((first, second), BETAS, strict=True)
        )
        s["latent"][which] -= pace[:, None] * unit * first / (second.sqrt() + 1e-12)
