"""Levenberg-Marquardt on the latents of a batch of tiles, with a Gaussian prior.

Minimises mean((f(x) - y)^2) + weight * sum(prior_precision * z^2) for each tile independently. One
reverse sweep gives the whole Jacobian (`Decoder.jacobian`), so a step costs little more than the
products J^T J, and 5 to 20 steps replace a thousand Adam steps of DeepSDF-style auto-decoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.views import some_points

ON_CPU, ON_GPU = (8, 700), (256, 4900)
"""Tiles and points of a block: what a CPU's caches hold, what fills a GPU."""

HELD = 10.0
"""Coefficients whose prior exceeds the mean curvature by this factor are held."""

RELATIVE_FLOOR = 1e-6
"""Added to a Hessian's diagonal, relative to its mean: keeps float32 factors positive definite."""


@dataclass(frozen=True)
class LMOptions:
    """The length of the descent, and the points it uses.

    The fit begins with `adam_steps` steps of Adam (see `velcodec.fit.adam`). Each pass of a stage
    (points, passes) takes two steps on newly drawn points: cheap, and the changing view escapes the
    local minima that sharp edges cause. A tile leaves a stage when its error is below `enough`
    times the prior's weight, where rounding decides its quality. `full_steps` on all points end the
    fit; a tile whose relative gain is below `tolerance` stops early. The Hessian uses
    `hessian_points` and is renewed every second step; the gradient is exact.
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
    """Tiles and points of a block on the device of `points`."""
    return ON_CPU if points.device.type == "cpu" else ON_GPU


def _blocks(decoder: Decoder, points: Tensor) -> tuple[int, int]:
    """Tiles and points of a block of errors or gradients: compiled loops take all points."""
    tiles, count = block_sizes(points)
    return tiles, count if decoder.compiled() is None else len(points)


def _leading(precision: Tensor, curvature: Tensor) -> int:
    moving = (precision < HELD * curvature).any(0).nonzero()
    return int(moving.max()) + 1 if len(moving) else precision.shape[1]


def leading_coefficients(decoder: Decoder, weight: Tensor) -> int:
    """The number of first coefficients that move in a fit where the prior has `weight` (B,)."""
    return _leading(weight[:, None] * decoder.prior_precision, decoder.mean_curvature())


@torch.no_grad()
def hessian_of(
    decoder: Decoder, points: Tensor, latent: Tensor, leading: int | None = None
) -> Tensor:
    """Gauss-Newton Hessian mean(J^T J), (B, D, D), at `points` (P, 2); with `leading`, of the first
    `leading` coefficients only.
    """
    size = latent.shape[1] if leading is None else leading
    tiles, count = block_sizes(points)
    hessian = latent.new_zeros(len(latent), size, size)
    # On a CPU one tile at a time: its Jacobian fills the cache.
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
    tiles, count = _blocks(decoder, points)
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
    tiles, count = _blocks(decoder, points)
    error = torch.zeros_like(latent[:, 0])
    for first in range(0, len(latent), tiles):
        model = slice(first, first + tiles)
        for some, y in zip(points.split(count), target[model].split(count, 1), strict=True):
            error[model] += decoder.squared_error(some, latent[model], y) * len(some)
    return error / len(points)


class Descent:
    """The descent of a batch of latents; tiles that gain too little leave it.

    The Hessian (B, L, L) covers the first L coefficients; the prior holds the rest.
    """

    def __init__(
        self,
        decoder: Decoder,
        latent: Tensor,
        precision: Tensor,
        options: LMOptions,
        enough: Tensor | None = None,
    ) -> None:
        self.decoder, self.options = decoder, options
        self.latent = latent.clone()
        self.precision = precision.expand_as(latent)
        self.curvature = decoder.mean_curvature()
        self.leading = _leading(self.precision, self.curvature)
        self.damping = torch.full_like(latent[:, 0], options.first_damping)
        self.hessian = latent.new_zeros(len(latent), self.leading, self.leading)
        self.error = torch.full_like(self.damping, torch.inf)
        relative = precision / decoder.prior_precision
        self.enough = options.enough * relative.mean(1) if enough is None else enough

    def on_views(self, points: Tensor, target: Tensor, free: Tensor | None) -> None:
        """The stages: two steps on each of several small random views of the tile."""
        o, active = self.options, torch.arange(len(self.latent), device=self.latent.device)
        for stage, (keep, passes) in enumerate(o.stages):
            for number in range(passes):
                seed = 1000 * stage + number
                some = some_points(len(points), keep, seed, points.device)
                self.update_hessian(active, points, seed)
                for _ in range(STEPS_PER_PASS):
                    self.step(active, points[some], target[active][:, some], free)
                active = active[self.error[active] > self.enough[active]]
                if not len(active):
                    return

    def on_all_points(self, points: Tensor, target: Tensor, free: Tensor | None) -> None:
        """The last steps, on all points, while they gain."""
        o, active = self.options, torch.arange(len(self.latent), device=self.latent.device)
        for number in range(o.full_steps):
            fresh = number % STEPS_PER_PASS == 0
            if fresh:
                self.update_hessian(active, points, number)
            gained = self.step(active, points, target[active], free)
            if fresh:
                active = active[gained > o.tolerance]
            if not len(active):
                return

    def update_hessian(self, tiles: Tensor, points: Tensor, seed: int) -> None:
        """Recompute the Hessian of `tiles` at their current latents, on some of `points`."""
        keep = self.options.hessian_points
        some = points[some_points(len(points), keep, seed, points.device)]
        self.hessian[tiles] = hessian_of(self.decoder, some, self.latent[tiles], self.leading)

    def step(self, tiles: Tensor, points: Tensor, target: Tensor, free: Tensor | None) -> Tensor:
        """At most one accepted step for tiles `who`; returns the relative gain of each."""
        latent, prior = self.latent[tiles], self.precision[tiles]
        error, gradient = error_and_gradient(self.decoder, points, latent, target)
        self.error[tiles] = error
        before = error + (prior * latent.square()).sum(1)
        gradient = gradient + prior * latent
        led: Tensor | slice
        held: Tensor | slice
        if free is None:
            led, held = slice(self.leading), slice(self.leading, None)
            hessian = self.hessian[tiles]
        else:
            led, held = free[free < self.leading], free[free >= self.leading]
            hessian = self.hessian[tiles][:, led][:, :, led]
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        floor = RELATIVE_FLOOR * diagonal.mean(1, keepdim=True)
        best, cost = latent.clone(), before.clone()
        todo = torch.arange(len(tiles), device=tiles.device)
        for _ in range(self.options.attempts):
            damping = self.damping[tiles[todo], None]
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
            self.damping[tiles[todo]] = (self.damping[tiles[todo]] * scale).clamp(1e-7, 1e4)
            todo = todo[~good]
            if not len(todo):
                break
        self.latent[tiles] = best
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
    enough: Tensor | None = None,
) -> Tensor:
    """Latents (B, D) that fit `target` (B, P) at `points` (P, 2), starting from `latent`.

    `precision` (B, D) is the prior's weight on every squared coefficient; `enough` (B,) the mean
    squared error at which a tile leaves the stages, in place of what `options` say.
    """
    options = options or LMOptions()
    descent = Descent(decoder, latent, precision, options, enough)
    descent.on_views(points, target, free)
    descent.on_all_points(points, target, free)
    return descent.latent
