"""Learn the volumes' sampler from generated volumes.

A batch is crops of volumes at grids of several sizes: samples, taken at points or as means over
cells, and the truth at random points between them. Half of the samples, but not the truth, are
distorted as by lossy coding. The loss is that of `velcodec.train.sampler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from velcodec import synth
from velcodec.sampler.volume.form import VolumeWeights
from velcodec.sampler.volume.network import VolumeNetwork
from velcodec.synth.models import CELLS
from velcodec.train.sampler_run import SamplerRun

SHARES = {
    "flat": 3,
    "folded": 5,
    "faulted": 5,
    "blended": 4,
    "salt": 4,
    "channels": 4,
    "gradient": 4,
}
"""Shares of the families: more of those whose structure is hard to locate between samples."""

GRIDS = (24, 32, 48, 64, 64, 96, 128)
"""Samples along a side of the whole volume, of which at most `CROP` are used."""

CROP, BEYOND = 20, 4
"""Crops are placed up to `BEYOND` samples outside and moved back, so that edges are frequent."""

POINTS = 4096
FLAT_SHARE, FLAT = 0.03, 0.01
"""Sampling share of flat cells: those whose 5 x 5 x 5 samples span less than FLAT of the range."""

STEPS, LEARNING_RATE, BATCH = 2000, 4e-3, 6
MEANS, DISTORTED = 0.15, 0.35


@dataclass(frozen=True)
class Batch:
    """Samples (B, n, n, n) in m/s, and points (B, P, 3), (x, y, z) in cells of the samples, with
    values and weights.
    """

    samples: Tensor
    cells: Tensor
    values: Tensor
    weights: Tensor


def batches(seed: int, size: int, first: int = 0) -> Iterator[Batch]:
    """Endless batches from number `first` on; the number determines the batch."""
    number = first
    while True:
        yield make_batch(seed, number, size)
        number += 1


def make_batch(seed: int, number: int, size: int) -> Batch:
    """Batch `number` of a seed: `size` crops, of families in proportion to SHARES."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    shares = torch.tensor([float(share) for share in SHARES.values()])
    families = torch.multinomial(shares, size, replacement=True, generator=generator)
    crops = [
        _draw_crop(tuple(SHARES)[int(family)], seed, number * size + row, generator)
        for row, family in enumerate(families)
    ]
    samples, cells, values, weights = (torch.stack(each) for each in zip(*crops, strict=True))
    return Batch(samples, cells, values, weights)


def _draw_crop(
    family: str, seed: int, number: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def uniform(low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    volume = synth.draw_volumes(family, seed, number, 1).each[0]
    side = GRIDS[int(uniform() * len(GRIDS))]
    offset = torch.randint(-BEYOND, side - CROP + BEYOND + 1, (3,), generator=generator)
    offset = offset.clamp(0, side - CROP)
    cell = CELLS / side
    x, y, z = (torch.arange(CROP) + 0.5 + each for each in offset)

    def rendered(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Tensor:
        return volume.velocity(
            ((x + shift[0]) * cell)[None, None],
            ((y + shift[1]) * cell)[None, :, None],
            ((z + shift[2]) * cell)[:, None, None],
        )

    points, means = rendered(), uniform() < MEANS
    if means:
        shifts = [(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
        points = torch.stack([rendered((i / 3, j / 3, k / 3)) for i, j, k in shifts]).mean(0)
    cells, weights = _draw_points(points, generator)
    values = volume.velocity(*((cells + offset) * cell).T.contiguous())
    if uniform() < 0.3:
        points, values = -points, -values
    if uniform() < DISTORTED:
        points = _distorted(points, uniform, generator)
    return points, cells, values, weights


def _draw_points(samples: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (POINTS, 3) drawn by importance, and importance weights."""
    image = F.pad(samples[None, None], (2,) * 6, mode="replicate")
    span = (F.max_pool3d(image, 5, 1) + F.max_pool3d(-image, 5, 1))[0, 0]
    whole = (samples.amax() - samples.amin()).clamp(min=1.0)
    density = torch.where(span > FLAT * whole, 1.0, FLAT_SHARE).flatten()
    density = density / density.sum()
    cell = torch.multinomial(density, POINTS, replacement=True, generator=generator)
    weights = 1.0 / (samples.numel() * density[cell])
    first = torch.stack([cell % CROP, cell // CROP % CROP, cell // CROP**2], dim=-1)
    return first + _within(generator), weights


def _within(generator: torch.Generator) -> Tensor:
    """Places (POINTS, 3) within cells."""
    return torch.rand(POINTS, 3, generator=generator)


def _distorted(
    samples: Tensor, uniform: Callable[[float, float], float], generator: torch.Generator
) -> Tensor:
    """Samples distorted as by lossy coding: even steps, few values, or noise."""
    kind = int(uniform(0, 4))
    if kind == 0:
        step = math.exp(uniform(1.0, 5.0))
        shift = uniform(0, step)
        return ((samples - shift) / step).round() * step + shift
    if kind == 1:
        some = torch.randint(0, samples.numel(), (int(uniform(3, 15)),), generator=generator)
        ends = torch.stack([samples.amin(), samples.amax()])
        palette = torch.cat([samples.flatten()[some], ends]).sort().values
        return palette[torch.bucketize(samples.contiguous(), (palette[1:] + palette[:-1]) / 2)]
    noise = torch.randn(samples.shape, generator=generator)
    if kind == 2:
        reach = 1 + int(uniform(0, 2))
        wide = F.pad(noise[None, None], (reach,) * 6, mode="replicate")
        noise = F.avg_pool3d(wide, 2 * reach + 1, 1)[0, 0]
    return samples + noise / noise.std() * math.exp(uniform(-4.0, 4.0))


def loss_of(network: VolumeNetwork, batch: Batch) -> Tensor:
    """Mean over volumes of log(MSE + 1), MSE in (m/s)^2."""
    values = network(network.prepare(batch.samples), batch.cells)
    square = (batch.weights * (values - batch.values).square()).sum(1) / batch.weights.sum(1)
    return torch.log(square + 1.0).mean()


class VolumeSamplerTrainer(SamplerRun[VolumeNetwork, Batch]):
    """A run of `steps` steps that can stop and resume with the same resulting weights."""

    def __init__(
        self,
        steps: int = STEPS,
        learning_rate: float = LEARNING_RATE,
        batch: int = BATCH,
        seed: int = 1,
        init: VolumeWeights | None = None,
    ) -> None:
        network = VolumeNetwork(torch.Generator().manual_seed(seed))
        if init is not None:
            network = VolumeNetwork.from_weights(init)
        super().__init__(network, steps, learning_rate, batch, seed)

    def batches(self, first: int) -> Iterator[Batch]:
        return batches(self.seed, self.batch, first)

    def loss(self, batch: Batch) -> Tensor:
        return loss_of(self.network, batch)
