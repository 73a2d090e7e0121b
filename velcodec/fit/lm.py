"""Levenberg-Marquardt on the latents of a batch of tiles, with a Gaussian prior.

Minimises, for each tile on its own, mean((f(x) - y)^2) + weight * sum(prior_precision * z^2). One
reverse sweep gives the whole Jacobian (`Decoder.jacobian`), so a step costs little more than the
products J^T J, and 5 to 20 steps do what a thousand Adam steps do for DeepSDF-style auto-decoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.views import some_points

ON_CPU, ON_GPU = (8, 700), (256, 4900)
"""Tiles and points that are looked at together: what a CPU's caches hold, what fills a GPU."""

HELD = 10.0
"""A coefficient whose prior is so many times as stiff as the mean curvature hardly moves."""

RELATIVE_FLOOR = 1e-6
"""Added to a Hessian's diagonal, relative to its mean: keeps float32 factors positive definite."""


@dataclass(frozen=True)
class LMOptions:
    """How long to descend, and how much to look at.

    Each pass of a stage (points, passes) takes two steps at so many points, drawn afresh: cheap,
    and the changing view leads out of local minima that sharp edges make. `full_steps` at all
    points end the fit; a tile whose cost falls by less than `tolerance` of itself leaves them
    early. The Hessian is that of `hessian_points`, made anew every second step; the gradient is
    exact. A tile leaves a stage when its error is below `enough` times the prior's weight, where
    rounding will decide its quality. Before all that, `adam_steps` small steps of Adam find the way
    (see `velcodec.fit.adam`).
    """

    stages: tuple[tuple[int, int], ...] = ((640, 8), (1225, 4))
    full_steps: int = 4
    tolerance: float = 3e-3
    enough: float = 2.0
    first_damping: float = 1e-2
    attempts: int = 4
    hessian_points: int = 640
    adam_steps: int = 150


STEPS_PER_PASS = 2
"""Steps that share a Hessian."""


def block_sizes(points: Tensor) -> tuple[int, int]:
    """Tiles and points of a block, where `points` are."""
    return ON_CPU if points.device.type == "cpu" else ON_GPU


@torch.no_grad()
def hessian_of(
    decoder: Decoder, points: Tensor, latent: Tensor, leading: int | None = None
) -> Tensor:
    """Gauss-Newton Hessian mean(J^T J), (B, D, D), at `points` (P, 2); with `leading`, that of so
    many first coefficients.
    """
    size = latent.shape[1] if leading is None else leading
    tiles, count = block_sizes(points)
    hessian = latent.new_zeros(len(latent), size, size)
    # On a CPU a tile at a time: its slopes alone fill the cache.
    for model in torch.arange(len(latent), device=latent.device).split(tiles // ON_CPU[0]):
        for some in points.split(count):
            slope = decoder.jacobian(some, latent[model], leading, rough=True)[1]
            hessian[model] += slope.mT @ slope
    return hessian / len(points)


@torch.no_grad()
def error_and_gradient(
    decoder: Decoder, points: Tensor, latent: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean squared error (B,) and half its derivative by the latent (B, D)."""
    tiles, count = block_sizes(points)
    error, gradient = torch.zeros_like(latent[:, 0]), torch.zeros_like(latent)
    for first in range(0, len(latent), tiles):
        model = slice(first, first + tiles)
        for some, y in zip(points.split(count), target[model].split(count, 1), strict=True):
            part, slope = decoder.error_and_gradient(some, latent[model], y)
            error[model] += part * len(some)
            gradient[model] += slope * len(some)
    return error / len(points), gradient / len(points)


@torch.no_grad()
def squared_error(decoder: Decoder, points: Tensor, latent: Tensor, target: Tensor) -> Tensor:
    """Mean squared error (B,) of renderings at `points` (P, 2)."""
    tiles, count = block_sizes(points)
    error = torch.zeros_like(latent[:, 0])
    for first in range(0, len(latent), tiles):
        model = slice(first, first + tiles)
        for some, y in zip(points.split(count), target[model].split(count, 1), strict=True):
            error[model] += (decoder.values(some, latent[model]) - y).square().sum(1)
    return error / len(points)


class Descent:
    """Latents on their way down; tiles that gain too little leave the batch.

    The Hessian (B, L, L) is that of the first L coefficients: the rest is held by its prior.
    """

    def __init__(self, decoder: Decoder, latent: Tensor, precision: Tensor, options: LMOptions):
        self.decoder, self.options = decoder, options
        self.latent = latent.clone()
        self.precision = precision.expand_as(latent)
        self.curvature = decoder.mean_curvature()
        moving = (self.precision < HELD * self.curvature).any(0).nonzero()
        self.leading = int(moving.max()) + 1 if len(moving) else latent.shape[1]
        self.damping = torch.full_like(latent[:, 0], options.first_damping)
        self.hessian = latent.new_zeros(len(latent), self.leading, self.leading)
        self.error = torch.full_like(self.damping, torch.inf)
        relative = precision / decoder.prior_precision
        self.scale = relative.mean(1)

    def at_some(self, points: Tensor, target: Tensor, free: Tensor | None) -> None:
        """The stages: two steps at each of several small random views of the tile."""
        o, active = self.options, torch.arange(len(self.latent), device=self.latent.device)
        for stage, (keep, passes) in enumerate(o.stages):
            for number in range(passes):
                seed = 1000 * stage + number
                some = some_points(len(points), keep, seed, points.device)
                self.renew_hessian(active, points[some[: o.hessian_points]])
                for _ in range(STEPS_PER_PASS):
                    self.step(active, points[some], target[active][:, some], free)
                active = active[self.error[active] > o.enough * self.scale[active]]
                if not len(active):
                    return

    def at_all(self, points: Tensor, target: Tensor, free: Tensor | None) -> None:
        """The last steps, at all points, while they gain."""
        o, active = self.options, torch.arange(len(self.latent), device=self.latent.device)
        some = points[some_points(len(points), o.hessian_points, 0, points.device)]
        for number in range(o.full_steps):
            fresh = number % STEPS_PER_PASS == 0
            if fresh:
                self.renew_hessian(active, some)
            gained = self.step(active, points, target[active], free)
            if fresh:
                active = active[gained > o.tolerance]
            if not len(active):
                return

    def renew_hessian(self, who: Tensor, points: Tensor) -> None:
        """Take the Hessian of tiles `who` anew, at `points`, where their latents are now."""
        self.hessian[who] = hessian_of(self.decoder, points, self.latent[who], self.leading)

    def whole_hessian(self) -> Tensor:
        """Hessians (B, D, D) of all coefficients, the mean curvature standing for those held."""
        whole = torch.diag(self.curvature).repeat(len(self.latent), 1, 1)
        whole[:, : self.leading, : self.leading] = self.hessian
        return whole

    def step(self, who: Tensor, points: Tensor, target: Tensor, free: Tensor | None) -> Tensor:
        """One accepted step, or none, for tiles `who`; returns the relative gain of each."""
        latent, prior = self.latent[who], self.precision[who]
        error, gradient = error_and_gradient(self.decoder, points, latent, target)
        self.error[who] = error
        before = error + (prior * latent.square()).sum(1)
        gradient = gradient + prior * latent
        if free is None:
            free = torch.arange(latent.shape[1], device=latent.device)
        led, held = free[free < self.leading], free[free >= self.leading]
        hessian = self.hessian[who][:, led][:, :, led]
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        floor = RELATIVE_FLOOR * diagonal.mean(1, keepdim=True)
        best, cost = latent.clone(), before.clone()
        todo = torch.arange(len(who), device=who.device)
        for _ in range(self.options.attempts):
            damping = self.damping[who[todo], None]
            extra = prior[todo][:, led] + damping * (diagonal[todo] + 1e-8)
            system = hessian[todo] + torch.diag_embed(extra + floor[todo])
            factor, failed = torch.linalg.cholesky_ex(system)
            move = torch.cholesky_solve(gradient[todo][:, led, None], factor).nan_to_num()
            trial = latent[todo].clone()
            trial[:, led] -= move[..., 0]
            stiff = prior[todo][:, held] + (1 + damping) * self.curvature[held]
            trial[:, held] -= gradient[todo][:, held] / stiff
            after = squared_error(self.decoder, points, trial, target[todo])
            after = after + (prior[todo] * trial.square()).sum(1)
            good = (after < before[todo]) & (failed == 0)
            best[todo[good]], cost[todo[good]] = trial[good], after[good]
            scale = torch.where(good, 0.3, 6.0).to(latent)
            self.damping[who[todo]] = (self.damping[who[todo]] * scale).clamp(1e-7, 1e4)
            todo = todo[~good]
            if not len(todo):
                break
        self.latent[who] = best
        return (before - cost) / before.clamp(min=1e-12)


@torch.no_grad()
def descend(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    precision: Tensor,
    options: LMOptions | None = None,
    free: Tensor | None = None,
) -> Tensor:
    """Latents (B, D) that fit `target` (B, P) at `points` (P, 2), starting from `latent`.

    `precision` (B, D) is the prior's weight on every squared coefficient.
    """
    options = options or LMOptions()
    descent = Descent(decoder, latent, precision, options)
    descent.at_some(points, target, free)
    descent.at_all(points, target, free)
    return descent.latent
