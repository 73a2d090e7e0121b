"""Learn the integer network of exact coding from generated models.

    python -m velcodec.train.contexts contexts.safetensors --models 6000 --steps 6000
    python -m velcodec.train.contexts mean.safetensors --models 3000 --steps 6000 --mean-error

Models of the layered families are coded exactly and within bounds; what the network would have seen
at each sample, and which class came, are the examples. The first pass codes with an indifferent
network, the second with the one that it taught, because choices within a bound depend on it. A
network for errors that count in the mean learns from models coded so, and from clean ones coded
exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor, nn

from velcodec import synth
from velcodec.encode.mean_error import (
    BOUND_PER_STEP,
    ERROR_BITS,
    WAYS,
    Way,
    loosened,
    step_of,
)
from velcodec.formats.sample_coding.domain import (
    allowed_codes,
    bound_class,
    bounded_domains,
    exact_domain,
    fine_domain,
)
from velcodec.formats.sample_coding.label_map.coder import TRACED, encode_labels
from velcodec.formats.sample_coding.label_map.context import FEATURES, FIRST, ROWS
from velcodec.formats.sample_coding.label_map.network import (
    ABOVE,
    CLASSES,
    FIRST_SCALE,
    LOGIT_SCALE,
    NARROW,
    PRECISION,
    SECOND_SCALE,
    WIDTH,
    Maps,
    Network,
    network_from,
    network_of,
    shapes,
)
from velcodec.formats.sample_coding.label_map.new_values import NARROWEST, WIDER
from velcodec.formats.sample_coding.label_map.surroundings import (
    FRESH_FEATURES,
    FRESH_FIRST,
    FRESH_ROWS,
    GUESSES,
    PARTS,
    WIDTHS,
)
from velcodec.formats.sample_coding.stream import EXACT_NETWORK
from velcodec.formats.storage.atomic import atomic_write

FAMILIES = {
    "flatvel_a": 0.08,
    "flatvel_b": 0.06,
    "curvevel_a": 0.22,
    "curvevel_b": 0.10,
    "flatfault_a": 0.22,
    "flatfault_b": 0.08,
    "curvefault_a": 0.14,
    "curvefault_b": 0.06,
    "geology": 0.04,
}
SHAPES_OF_MODELS = ((70, 70), (70, 70), (70, 70), (64, 110), (140, 90))
BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0)
CHOICES = (0, -1)
EXACT_SHARE = 0.35
KEPT_OF_CERTAIN = 8
"""Of samples whose class the network was nearly sure of, one in so many is an example."""

SURE = 0.98
BATCH = 4096
SPECKLED_SHARE = 0.6
"""Of the models with faults, how many get specks."""

RESAMPLED_SHARE = {"fault": 0.35, "geology": 0.3, "vel": 0.1}
"""By what the family's name has in it, how many are resampled.
"""

GREY_SHARE, GREY_LEVELS = 0.08, 255

MEAN_ERRORS = (2.0, 250.0)
"""Root mean square errors (m/s) that are asked for."""

EXACT_OF_MEAN = 0.2
"""Of clean models, how many are coded exactly beside those with mean errors."""

Int64 = NDArray[np.int64]


class Learned(nn.Module):
    """Three maps in floating point; `integer` rounds them to what the codec uses."""

    def __init__(self, first_rows: Int64, rows: int, logits: int) -> None:
        super().__init__()
        self.first_rows = torch.as_tensor(first_rows)
        self.first = nn.EmbeddingBag(rows, WIDTH, mode="sum")
        self.first_bias = nn.Parameter(torch.zeros(WIDTH))
        self.second = nn.Linear(WIDTH, NARROW)
        self.third = nn.Linear(NARROW, logits)
        nn.init.normal_(self.first.weight, std=0.2)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits, natural, from features' codes (n, features)."""
        rows = codes + self.first_rows
        hidden = torch.relu(self.first(rows) + self.first_bias)
        logits: Tensor = self.third(torch.relu(self.second(hidden)))
        return logits

    @torch.no_grad()
    def integer(self) -> Maps:
        """Weights as the codec takes them."""

        def rounded(weights: Tensor, scale: float) -> Int64:
            whole: Int64 = np.rint(weights.double().numpy() * scale).astype(np.int64)
            return whole

        bits = LOGIT_SCALE / np.log(2.0)
        return Maps(
            rounded(self.first.weight, FIRST_SCALE),
            rounded(self.first_bias, FIRST_SCALE),
            rounded(self.second.weight.T, SECOND_SCALE),
            rounded(self.second.bias, FIRST_SCALE * SECOND_SCALE),
            rounded(self.third.weight.T, bits),
            rounded(self.third.bias, FIRST_SCALE * bits),
        )


def indifferent_network() -> Network:
    """All classes alike, and all parts of a mixture."""

    def zeros(rows: int, logits: int) -> Maps:
        sizes = shapes(rows, logits).items()
        return Maps(**{name: np.zeros(shape, dtype=np.int64) for name, shape in sizes})

    return Network(zeros(ROWS, CLASSES), zeros(FRESH_ROWS, PARTS))


@dataclass(frozen=True)
class Drawn:
    """A model (nz, nx), the bound (m/s, 0: exact) and which of its domains it goes into. With a
    `way`, errors count in the mean, and `bound` is the root mean square wanted.
    """

    model: NDArray[np.float32]
    bound: float
    choice: int
    way: Way | None = None


def draw_models(count: int, seed: int, mean_error: bool = False) -> list[Drawn]:
    """So many models of all families, each with a bound or, with `mean_error`, a mean one."""
    rng = np.random.default_rng(seed)
    found = []
    shares = np.array(list(FAMILIES.values()))
    for family, share in zip(FAMILIES, shares / shares.sum(), strict=True):
        resampled_share = next(RESAMPLED_SHARE[part] for part in RESAMPLED_SHARE if part in family)
        for shape in SHAPES_OF_MODELS:
            some = max(1, round(count * share / len(SHAPES_OF_MODELS)))
            drawn = synth.draw(family, seed, int(rng.integers(1 << 30)), some)
            for clean in drawn.render(*shape).numpy():
                model = clean
                if rng.random() < resampled_share:
                    model = resampled(model, rng)
                if "fault" in family and rng.random() < SPECKLED_SHARE:
                    model = with_specks(model, rng)
                if rng.random() < GREY_SHARE:
                    model = with_grey_levels(model)
                with_bound = _with_mean_error if mean_error else _with_bound
                found.append(with_bound(model.astype(np.float32), rng, clean=model is clean))
    return found


def _with_mean_error(model: NDArray[np.float32], rng: np.random.Generator, clean: bool) -> Drawn:
    """Clean models teach what layers as exact ones are, be they exact or not; all others what is
    to be expected within a bound.
    """
    if clean and rng.random() < EXACT_OF_MEAN:
        return Drawn(model, 0.0, 0)
    ways = [way for way in WAYS if way.bounded or clean]
    low, high = np.log(MEAN_ERRORS)
    rms = float(np.exp(rng.uniform(low, high)))
    return Drawn(model, rms, 0, way=ways[int(rng.integers(len(ways)))])


def _with_bound(model: NDArray[np.float32], rng: np.random.Generator, clean: bool) -> Drawn:
    whole = bool((model == np.rint(model)).all())
    exact = whole and rng.random() < EXACT_SHARE
    bound = 0.0 if exact else float(rng.choice(BOUNDS))
    return Drawn(model, bound, int(rng.choice(CHOICES)))


def resampled(model: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The model as a tool leaves it that moved a block of it by a part of a sample, or that scaled
    it up and down again: interfaces become mixtures of the samples on either side.
    """
    nz, nx = model.shape
    image = torch.as_tensor(model)[None, None]
    if rng.random() < 0.4:
        mode = str(rng.choice(["bilinear", "bicubic"]))
        scale = float(rng.uniform(0.6, 6.0))
        large = F.interpolate(image, scale_factor=scale, mode=mode)
        image = F.interpolate(large, size=(nz, nx), mode=mode, antialias=bool(rng.random() < 0.5))
    for _ in range(int(rng.integers(0, 3))):
        z, x = np.mgrid[:nz, :nx].astype(np.float64)
        angle, width = rng.uniform(-0.6, 0.6), 10.0 ** rng.uniform(-0.7, 0.8)
        across = (x - rng.uniform(0, nx)) * np.cos(angle) + (z - nz / 2) * np.sin(angle)
        moved = np.clip(across / width + 0.5, 0.0, 1.0)
        slip = rng.uniform(-8, 8)
        z, x = z + slip * moved * np.cos(angle), x - slip * moved * np.sin(angle)
        grid = np.stack([(2 * x + 1) / nx - 1, (2 * z + 1) / nz - 1], -1)
        where = torch.as_tensor(grid[None], dtype=torch.float32)
        image = F.grid_sample(image, where, padding_mode="border", align_corners=False)
    found: NDArray[np.float32] = image[0, 0].numpy()
    return np.clip(found, model.min(), model.max())


def with_grey_levels(model: NDArray[np.float32]) -> NDArray[np.float32]:
    """The model as read off a picture of so many levels."""
    low, step = model.min(), max(float(np.ptp(model)) / GREY_LEVELS, 1e-3)
    found: NDArray[np.float32] = (low + step * np.rint((model - low) / step)).astype(np.float32)
    return found


def with_specks(model: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The model with faint specks along a few steep lines, as a resampling tool leaves them.

    Published fault models have them along faults and block walls; the generator draws geology only.
    """
    found = model.copy()
    nz, nx = model.shape
    span = float(np.ptp(model))
    for _ in range(int(rng.integers(1, 5))):
        first, last = np.sort(rng.integers(0, nz + 1, 2))
        dip = rng.uniform(-1.2, 1.2) * (rng.random() < 0.7)
        start, density = rng.uniform(0, nx), rng.uniform(0.15, 0.95)
        strength = 10.0 ** rng.uniform(-3.5, -0.8) * span
        for z in range(first, last):
            middle = start + dip * (z - first)
            for x in range(int(middle) - 1, int(middle) + 2):
                if 0 <= x < nx and rng.random() < density * (1 if x == int(middle) else 0.4):
                    found[z, x] += strength * rng.normal()
    return np.clip(found, model.min(), model.max())


@dataclass(frozen=True)
class Examples:
    """Of samples: codes (n, FEATURES), possible classes (n, CLASSES), class and weight (n,). Of new
    values: codes (m, FRESH_FEATURES), guesses (m, GUESSES), least head, number of heads and head
    (m,).
    """

    codes: Tensor
    possible: Tensor
    classes: Tensor
    weights: Tensor
    fresh_codes: Tensor
    guesses: Tensor
    low: Tensor
    heads: Tensor
    head: Tensor


def examples(models: list[Drawn], network: Network, seed: int) -> Examples:
    """What came where, as `network` has these models coded."""
    rng = np.random.default_rng(seed)
    rows, weights, fresh = [], [], []
    for one in models:
        trace = _trace_of(one, network)
        if trace is None:
            continue
        own = trace[:, : FEATURES + 2]
        plain = (own[:, -1] == ABOVE) & (own[:, ENDS_BELOW] > CLOSE)
        kept = ~plain | (rng.random(len(trace)) < 1 / KEPT_OF_CERTAIN)
        rows.append(own[kept].astype(np.int16))
        weights.append(np.where(plain[kept], KEPT_OF_CERTAIN, 1).astype(np.float32))
        values = trace[trace[:, HEADS] > 0, FEATURES + 2 :]
        some = rng.permutation(len(values))[:MOST_FRESH]
        fresh.append(values[some].astype(np.int32))
    table = torch.as_tensor(np.concatenate(rows))
    new = torch.as_tensor(np.concatenate(fresh))
    return Examples(
        table[:, :FEATURES],
        ((table[:, FEATURES, None] >> torch.arange(CLASSES)) & 1).bool(),
        table[:, FEATURES + 1].long(),
        torch.as_tensor(np.concatenate(weights)),
        new[:, :FRESH_FEATURES],
        new[:, FRESH_FEATURES : FRESH_FEATURES + GUESSES].float(),
        *new[:, -3:].float().unbind(1),
    )


def _trace_of(one: Drawn, network: Network) -> Int64 | None:
    """What `network` sees of a model, and what comes; None where the labels run out."""
    model, bound = one.model, one.bound
    trace = np.zeros((model.size, TRACED), dtype=np.int64)
    if one.way is not None:
        step = step_of(one.way, bound)
        of_bound = bound_class(BOUND_PER_STEP * step, float(np.ptp(model)) + step)
        domain = fine_domain([model], step, of_bound if one.way.bounded else 0)
        allowed = allowed_codes(model, domain, np.inf)
        assert allowed is not None
        codes, rms = allowed[..., 1], bound / domain.step
        allowed = loosened(codes, rms, one.way.reach, domain.span)
        price = ERROR_BITS / rms**2
        made = encode_labels(allowed, domain.span, domain.bound, network, trace, codes, price)
        return None if made is None else trace
    domain = bounded_domains([model], bound)[one.choice] if bound else exact_domain([model])
    allowed = allowed_codes(model, domain, bound)
    assert allowed is not None
    made = encode_labels(allowed, domain.span, domain.bound, network, trace)
    return None if made is None else trace


HEADS = -2
"""Column of a trace: how many heads a new value may have, 0 where there is none."""

MOST_FRESH = 400
"""So many new values of a model are examples."""

ENDS_BELOW, CLOSE = 0, 14
"""First feature (where the layer ended one column before), and the code from which it is far."""


Loss = Callable[[Learned, Examples, Tensor], Tensor]


def class_loss(maps: Learned, data: Examples, some: Tensor) -> Tensor:
    """Mean code length of these examples' classes, in nats, weighted."""
    logits = maps(data.codes[some].long()).masked_fill(~data.possible[some], -1e4)
    nats = F.cross_entropy(logits, data.classes[some], reduction="none")
    return (data.weights[some] * nats).mean()


def value_loss(maps: Learned, data: Examples, some: Tensor) -> Tensor:
    """Mean code length of these examples' new values, in nats."""
    shares = torch.softmax(maps(data.fresh_codes[some].long()), 1)
    guesses, low, heads = data.guesses[some], data.low[some], data.heads[some]
    head = data.head[some]
    alike = shares[:, -1]

    def between(first: Tensor, last: Tensor) -> Tensor:
        parts = _parts_until(last, guesses) - _parts_until(first - 1, guesses)
        return (shares[:, :-1] * parts).sum(1)

    mass = between(head, head) + alike / heads
    whole = between(low, low + heads - 1) + alike
    floor = 2.0**-PRECISION
    return -torch.log(mass / whole * (1 - heads * floor) + floor).mean()


def _parts_until(head: Tensor, guesses: Tensor) -> Tensor:
    """(n, GUESSES WIDTHS): of each part but the last, how much lies up to and with `head`."""
    twice = (2 * (head[:, None] - guesses) + 1)[..., None]
    rates = torch.exp2(-(NARROWEST + WIDER * torch.arange(WIDTHS)).float())
    tail = 0.5 * torch.exp2(-(twice.abs() * rates).clamp(max=60))
    return torch.where(twice < 0, tail, 1 - tail).flatten(1)


def train(
    maps: Learned, loss_of: Loss, count: int, data: Examples, steps: int, batch: int, seed: int
) -> float:
    """Adam on the code length of `count` examples; the mean of the last steps, in bits."""
    optimiser = torch.optim.Adam(maps.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    recent = 0.0
    with click.progressbar(range(steps), label=f"{count} examples") as progress:
        for _ in progress:
            loss = loss_of(maps, data, torch.randint(count, (batch,), generator=generator))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            recent += 0.02 * (loss.item() / float(np.log(2.0)) - recent)
    return recent


def save_network(network: Network, path: Path) -> None:
    """Write the weights as safetensors, int16 where they fit."""
    tensors: dict[str, NDArray[Any]] = {}
    for part, maps in (("classes", network.classes), ("values", network.values)):
        for name in shapes(0, 0):
            weights = getattr(maps, name)
            fits = abs(weights).max() < 1 << 15
            kept = np.ascontiguousarray(weights, dtype=np.int16 if fits else np.int32)
            tensors[f"{part}.{name}"] = kept
    with atomic_write(path, force=True) as stream:
        stream.write(save(tensors))


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--models", default=6000, show_default=True)
@click.option("--steps", default=6000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--classes",
    type=click.Path(path_type=Path, exists=True),
    help="Keep the classes of this network and learn values alone.",
)
@click.option("--mean-error", is_flag=True, help="Learn from models with mean errors.")
def main(
    target: Path,
    models: int,
    steps: int,
    seed: int,
    classes: Path | None,
    mean_error: bool,
) -> None:
    """Learn the network and write it to TARGET."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    learned, values = Learned(FIRST, ROWS, CLASSES), Learned(FRESH_FIRST, FRESH_ROWS, PARTS)
    network = network_of(EXACT_NETWORK) if mean_error else indifferent_network()
    kept = None if classes is None else network_from(load(classes.read_bytes())).classes
    if kept is not None:
        network = Network(kept, network.values)
    drawn = draw_models(models, seed, mean_error)
    for share, length in ((0.2, 0.3), (1.0, 1.0)):
        some = drawn[:: round(1 / share)]
        data = examples(some, network, seed)
        count = round(steps * length)
        if kept is None:
            bits = train(learned, class_loss, len(data.codes), data, count, BATCH, seed)
            click.echo(f"{bits:.4f} bits per example")
        fresh = len(data.fresh_codes)
        more = train(values, value_loss, fresh, data, count // 3, BATCH // 2, seed)
        click.echo(f"{more:.3f} bits per new value")
        network = Network(learned.integer() if kept is None else kept, values.integer())
        save_network(network, target)


if __name__ == "__main__":
    main()
