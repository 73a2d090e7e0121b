"""Learn the local sampler from generated models.

A batch of models is drawn and rendered seven times as fine as the grid that the sampler sees. Of
that picture come the samples (points, means over cells, or points of a blurred model) and the truth
at points between them. Half of the samples are distorted as by lossy coding, the truth is not. The
loss is the mean over models of log(MSE + 1 m^2/s^2), so that a decibel counts the same in each.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from velcodec import synth
from velcodec.formats.errors import OptionError
from velcodec.formats.storage.atomic import atomic_write
from velcodec.sampler.form import SamplerWeights
from velcodec.sampler.network import SamplerNetwork

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
"""Shares of the families: more of those whose structure is hard to place between samples."""

FINE = 7
"""Truth is rendered so many times as fine as the samples; odd, so that samples are part of it."""

GRIDS = (35, 50, 70, 70, 96, 140)
"""Samples a side of the whole model, of which at most `CROP` are seen."""

SIDES = tuple(sorted(set(GRIDS)))
CROP, BEYOND = 48, 6
"""Crops are placed up to `BEYOND` samples outside and moved back, so that edges are met often."""

POOL, USES = 528, 4
"""Models rendered together, and how often each is used before others take its place."""

POINTS = 768
FLAT_SHARE, FLAT = 0.03, 0.01
"""Cells whose 4 x 4 samples range over less than a hundredth of the model's are drawn so rarely."""

STEPS, LEARNING_RATE, BATCH = 25_000, 3e-3, 16

DISTORTED = 0.45
SHARP, MEANS, BLURRED = 0.5, 0.2, 0.3
"""Shares of models sampled at points, as means over cells (the truth being points), and at points
of a model that is blurred itself."""

BLUR_CELLS = (0.15, 0.8)


@dataclass(frozen=True)
class Batch:
    """Samples (B, nz, nx), m/s, and points (B, P, 2), (x, z) in cells, with values and weights."""

    samples: Tensor
    cells: Tensor
    values: Tensor
    weights: Tensor


def batches(seed: int, size: int, first: int = 0) -> Iterator[Batch]:
    """Batches without end, from number `first` on: the same number is the same batch."""
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
    """Models of each family in a pool of grids of so many samples a side."""
    share = POOL * GRIDS.count(side) / len(GRIDS) / sum(FAMILIES.values())
    return {family: max(2, round(share * weight)) for family, weight in FAMILIES.items()}


def draw_fine(seed: int, number: int, side: int, generator: torch.Generator) -> Tensor:
    """Crops of generated models on a grid FINE times as fine as `side` samples, in m/s."""
    crop = min(CROP, side)
    found = []
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
        found.append(models.evaluate(points).reshape(shape))
    return torch.cat(found)


def make_batch(fine: Tensor, generator: torch.Generator) -> Batch:
    """Samples, and points between them, of fine pictures (B, FINE n, FINE n)."""
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
    """A third of the pictures with all velocities negated; mirrors need no learning."""
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
    """Points (B, POINTS, 2) by importance, the truth there, and weights that undo the choice."""
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
    """Samples (B, nz, nx), some of them as lossy coding leaves them: even steps, few values, a
    coarsely coded residual of a smooth prediction, or noise.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    found = samples.clone()
    for row, values in enumerate(samples):
        if uniform(0, 1) > DISTORTED:
            continue
        way = int(uniform(0, 5))
        if way == 0:
            step = math.exp(uniform(2.0, 5.0))
            shift = uniform(0, step)
            found[row] = ((values - shift) / step).round() * step + shift
        elif way == 1:
            count = int(uniform(3, 15))
            some = torch.randint(0, values.numel(), (count,), generator=generator)
            kept = values.flatten()[some]
            kept = torch.cat([kept, values.amin()[None], values.amax()[None]]).sort().values
            found[row] = kept[torch.bucketize(values.contiguous(), (kept[1:] + kept[:-1]) / 2)]
        elif way == 2:
            reach = int(uniform(2, 7))
            around = F.pad(values[None, None], (reach,) * 4, mode="replicate")
            smooth = F.avg_pool2d(around, 2 * reach + 1, 1)[0, 0]
            step = math.exp(uniform(2.5, 5.0))
            residual = values - smooth
            found[row] = smooth + step * (residual.abs() / step + 0.35).floor() * residual.sign()
        else:
            noise = torch.randn(1, 1, *values.shape, generator=generator)
            if way == 3:
                reach = 1 + int(uniform(0, 2))
                noise = F.pad(noise, (reach,) * 4, mode="replicate")
                noise = F.avg_pool2d(noise, 2 * reach + 1, 1)
            found[row] = values + noise[0, 0] / noise.std() * math.exp(uniform(-4.0, 4.0))
    return found


def loss_of(network: SamplerNetwork, batch: Batch) -> Tensor:
    """Mean over models of log(MSE + 1), in m/s."""
    found = network(network.prepare(batch.samples), batch.cells)
    square = (batch.weights * (found - batch.values).square()).sum(1) / batch.weights.sum(1)
    return torch.log(square + 1.0).mean()


class SamplerTrainer:
    """A run of so many `steps`, which can stop and go on: the same steps give the same weights."""

    def __init__(
        self,
        steps: int = STEPS,
        learning_rate: float = LEARNING_RATE,
        batch: int = BATCH,
        seed: int = 1,
        init: SamplerWeights | None = None,
    ) -> None:
        self.settings = {
            "steps": float(steps), "learning_rate": learning_rate, "batch": float(batch),
            "seed": float(seed),
        }  # fmt: skip
        self.steps, self.learning_rate, self.batch, self.seed = steps, learning_rate, batch, seed
        self.network = SamplerNetwork(torch.Generator().manual_seed(seed))
        if init is not None:
            self.network = SamplerNetwork.from_weights(init)
        self.optimiser = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99))
        self.step_number = 0

    def run(self, seconds: float | None, report: Callable[[int, dict[str, float]], None]) -> None:
        """Go on to the last step, or for about so many seconds; `report(done, figures)`."""
        started = time.monotonic()
        left = range(self.step_number, self.steps)
        for _, example in zip(left, batches(self.seed, self.batch, self.step_number), strict=False):
            for group in self.optimiser.param_groups:
                group["lr"] = self._rate()
            loss = loss_of(self.network, example)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.step_number += 1
            report(self.step_number, {"loss": float(loss.detach())})
            if seconds is not None and time.monotonic() - started > seconds:
                break

    def _rate(self) -> float:
        """Learning rate of the next step: 100 steps of warm-up, then a cosine to a hundredth."""
        fall = 0.5 * (1.0 + math.cos(math.pi * self.step_number / self.steps))
        return self.learning_rate * min(1.0, (self.step_number + 1) / 100) * (0.01 + 0.99 * fall)

    def save(self, path: Path) -> None:
        """Write the whole state of the run."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": t for name, t in state.items()}
        whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        data = save(whole, {"step": str(self.step_number), "settings": json.dumps(self.settings)})
        with atomic_write(path, force=True) as stream:
            stream.write(data)

    def load(self, path: Path) -> None:
        """Go on from where a run of the same settings stopped. Raises OptionError for another."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            settings, step = json.loads(about["settings"]), int(about["step"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise OptionError(f"{path}: not a checkpoint of a sampler: {error}") from error
        if settings != self.settings:
            raise OptionError(f"{path}: found a run of {settings}, expected {self.settings}")

        def part(prefix: str) -> dict[str, Tensor]:
            return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("optimiser.").items():
            number, key = name.split(".")
            state.setdefault(int(number), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.step_number = step
