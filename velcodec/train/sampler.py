"""Learn the local sampler from generated models.

A batch of models is drawn and rendered seven times as fine as the sampler's grid. This picture
gives the samples (points, means over cells, or points of a blurred model) and the truth at points
between them. Half of the samples, but not the truth, are distorted as by lossy coding. The loss is
the mean over models of log(MSE + 1 m^2/s^2), so that a decibel counts the same in each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velcodec import synth
from velcodec.sampler.form import SamplerWeights
from velcodec.sampler.network import SamplerNetwork
from velcodec.train.sampler_run import SamplerRun

FAMILIES = {
    "flatvel_a": 2,
    "flatvel_b": 3,
    "curvevel_a": 13,
    "curvevel_b": 13,
    "flatfault_a": 8,
    "flatfault_b": 11,
    "curvefault_a": 9,
    "curvefault_b": 13,
    "style_a": 5,
    "style_b": 9,
    "geology": 18,
}
"""Shares of the families: more of those whose structure is hard to locate between samples."""

FINE = 7
"""Refinement of the truth relative to the samples; odd, so that it contains the samples."""

GRIDS = (35, 50, 70, 70, 96, 140)
"""Samples along a side of the whole model, of which at most `CROP` are used."""

SIDES = tuple(sorted(set(GRIDS)))
CROP, BEYOND = 48, 6
"""Crops are placed up to `BEYOND` samples outside and moved back, so that edges are frequent."""

POOL, USES = 528, 4
"""Models rendered together, and uses of each before others replace it."""

POINTS = 768
FLAT_SHARE, FLAT = 0.03, 0.01
"""Sampling share of flat cells: those whose 4 x 4 samples span less than FLAT of the model's
range."""

STEPS, LEARNING_RATE, BATCH = 25_000, 3e-3, 16

DISTORTED = 0.45
SHARP, MEANS, BLURRED = 0.5, 0.2, 0.3
"""Shares of models sampled at points, as means over cells (with point truth), and at points of a
blurred model."""

BLUR_CELLS = (0.15, 0.8)


@dataclass(frozen=True)
class Batch:
    """Samples (B, nz, nx) in m/s, and points (B, P, 2), (x, z) in cells, with values and
    weights.
    """

    samples: Tensor
    cells: Tensor
    values: Tensor
    weights: Tensor


def batches(seed: int, size: int, first: int = 0) -> Iterator[Batch]:
    """Endless batches from number `first` on; the number determines the batch."""
    uses = USES * sum(sum(_counts(side).values()) for side in SIDES) // size
    weights = torch.tensor([float(GRIDS.count(side)) for side in SIDES])
    pool, skipped = divmod(first, uses)
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + pool)
        fine = [draw_fine(seed, pool, side, generator) for side in SIDES]
        for number in range(uses):
            generator = torch.Generator().manual_seed((seed * 1_000_003 + pool) * uses + number)
            own = fine[int(torch.multinomial(weights, 1, generator=generator))]
            rows = torch.randperm(len(own), generator=generator)[:size]
            if number >= skipped:
                yield make_batch(own[rows], generator)
        pool, skipped = pool + 1, 0


def _counts(side: int) -> dict[str, int]:
    """Models of each family in a pool of grids with `side` samples along a side."""
    share = POOL * GRIDS.count(side) / len(GRIDS) / sum(FAMILIES.values())
    return {family: max(2, round(share * weight)) for family, weight in FAMILIES.items()}


def draw_fine(seed: int, number: int, side: int, generator: torch.Generator) -> Tensor:
    """Crops of generated models on a grid FINE times as fine as `side` samples, in m/s."""
    crop = min(CROP, side)
    pictures = []
    for family, count in _counts(side).items():
        first = (number * len(SIDES) + SIDES.index(side)) * POOL
        models = synth.draw(family, seed, first, count)
        offset = torch.randint(-BEYOND, side - crop + BEYOND + 1, (count, 2), generator=generator)
        offset = offset.clamp(0, side - crop)
        fine = (torch.arange(crop * FINE) + 0.5) / FINE
        shape = count, crop * FINE, crop * FINE
        x = (offset[:, :1] + fine)[:, None].expand(shape)
        z = (offset[:, 1:] + fine)[:, :, None].expand(shape)
        points = torch.stack([x, z], dim=-1).reshape(count, -1, 2) * (2.0 / side) - 1.0
        pictures.append(models.evaluate(points).reshape(shape))
    return torch.cat(pictures)


def make_batch(fine: Tensor, generator: torch.Generator) -> Batch:
    """Samples, and points between them, from fine pictures (B, FINE n, FINE n)."""
    fine = _turned(fine, generator)
    kind = torch.rand(len(fine), generator=generator)
    points = []
    for row, share in enumerate(kind.tolist()):
        if share > SHARP + MEANS:
            low, high = BLUR_CELLS
            sigma = low + (high - low) * float(torch.rand((), generator=generator))
            fine[row] = blurred(fine[row], sigma * FINE)
        points.append(fine[row][FINE // 2 :: FINE, FINE // 2 :: FINE])
    samples = torch.stack(points)
    means = F.avg_pool2d(fine[:, None], FINE)[:, 0]
    of_means = (kind > SHARP) & (kind <= SHARP + MEANS)
    samples = torch.where(of_means[:, None, None], means, samples)
    cells, values, weights = draw_points(fine, samples, generator)
    return Batch(distorted(samples, generator), cells, values, weights)


def _turned(fine: Tensor, generator: torch.Generator) -> Tensor:
    """Negate the velocities of a third of the pictures; mirrors need no learning."""
    sign = torch.where(torch.rand(len(fine), generator=generator) < 0.3, -1.0, 1.0)
    return fine * sign[:, None, None]


def blurred(picture: Tensor, sigma: float) -> Tensor:
    """A picture blurred by a Gaussian of `sigma` pixels."""
    reach = math.ceil(3.0 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    image = F.pad(picture[None, None], (reach,) * 4, mode="replicate")
    image = F.conv2d(image, taps.view(1, 1, 1, -1))
    return F.conv2d(image, taps.view(1, 1, -1, 1))[0, 0]


def draw_points(
    fine: Tensor, samples: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Points (B, POINTS, 2) drawn by importance, the truth there, and importance weights."""
    count, nz, nx = samples.shape
    image = F.pad(samples[:, None], (2, 2, 2, 2), mode="replicate")
    span = (F.max_pool2d(image, 5, 1) + F.max_pool2d(-image, 5, 1))[:, 0]
    whole = (samples.amax((1, 2)) - samples.amin((1, 2))).clamp(min=1.0)[:, None, None]
    density = torch.where(span > FLAT * whole, 1.0, FLAT_SHARE).flatten(1)
    density = density / density.sum(1, keepdim=True)
    cell = torch.multinomial(density, POINTS, replacement=True, generator=generator)
    weights = 1.0 / (nz * nx * density.gather(1, cell))
    within = torch.randint(0, FINE, (count, POINTS, 2), generator=generator)
    column = (cell % nx) * FINE + within[..., 0]
    row = (cell // nx) * FINE + within[..., 1]
    values = fine.flatten(1).gather(1, row * fine.shape[2] + column)
    cells = (torch.stack([column, row], dim=-1) + 0.5) / FINE
    return cells, values, weights


def distorted(samples: Tensor, generator: torch.Generator) -> Tensor:
    """Samples (B, nz, nx), some distorted as by lossy coding: even steps, few values, a coarsely
    coded residual of a smooth prediction, or noise.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    result = samples.clone()
    for row, values in enumerate(samples):
        if uniform(0, 1) > DISTORTED:
            continue
        kind = int(uniform(0, 5))
        if kind == 0:
            step = math.exp(uniform(2.0, 5.0))
            shift = uniform(0, step)
            result[row] = ((values - shift) / step).round() * step + shift
        elif kind == 1:
            count = int(uniform(3, 15))
            some = torch.randint(0, values.numel(), (count,), generator=generator)
            palette = values.flatten()[some]
            palette = torch.cat([palette, values.amin()[None], values.amax()[None]]).sort().values
            result[row] = palette[
                torch.bucketize(values.contiguous(), (palette[1:] + palette[:-1]) / 2)
            ]
        elif kind == 2:
            reach = int(uniform(2, 7))
            around = F.pad(values[None, None], (reach,) * 4, mode="replicate")
            smooth = F.avg_pool2d(around, 2 * reach + 1, 1)[0, 0]
            step = math.exp(uniform(2.5, 5.0))
            residual = values - smooth
            result[row] = smooth + step * (residual.abs() / step + 0.35).floor() * residual.sign()
        else:
            noise = torch.randn(1, 1, *values.shape, generator=generator)
            if kind == 3:
                reach = 1 + int(uniform(0, 2))
                noise = F.pad(noise, (reach,) * 4, mode="replicate")
                noise = F.avg_pool2d(noise, 2 * reach + 1, 1)
            result[row] = values + noise[0, 0] / noise.std() * math.exp(uniform(-4.0, 4.0))
    return result


def loss_of(network: SamplerNetwork, batch: Batch) -> Tensor:
    """Mean over models of log(MSE + 1), MSE in (m/s)^2."""
    values = network(network.prepare(batch.samples), batch.cells)
    square = (batch.weights * (values - batch.values).square()).sum(1) / batch.weights.sum(1)
    return torch.log(square + 1.0).mean()


class SamplerTrainer(SamplerRun[SamplerNetwork, Batch]):
    """A run of `steps` steps that can stop and resume with the same resulting weights."""

    def __init__(
        self,
        steps: int = STEPS,
        learning_rate: float = LEARNING_RATE,
        batch: int = BATCH,
        seed: int = 1,
        init: SamplerWeights | None = None,
    ) -> None:
        network = SamplerNetwork(torch.Generator().manual_seed(seed))
        if init is not None:
            network = SamplerNetwork.from_weights(init)
        super().__init__(network, steps, learning_rate, batch, seed)

    def batches(self, first: int) -> Iterator[Batch]:
        return batches(self.seed, self.batch, first)

    def loss(self, batch: Batch) -> Tensor:
        return loss_of(self.network, batch)
