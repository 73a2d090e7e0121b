"""Learn the integer network of exact coding from generated models.

    python -m velcodec.train.contexts contexts.safetensors --models 6000 --steps 6000
    python -m velcodec.train.contexts guided.safetensors --models 1500 --steps 9000 --guided

Models of the layered families are coded exactly and within bounds; what the network would have seen
at each sample, and which class came, are the examples. The first pass codes with an indifferent
network, the second with the one that it taught, because choices within a bound depend on it. A
guided network sees a rendering of each model's latent too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from velcodec import synth
from velcodec.coordinates import Float64
from velcodec.decoder import load_decoder
from velcodec.formats.atomic import atomic_write
from velcodec.formats.exact.domain import allowed_codes, bounded_domains, exact_domain
from velcodec.formats.exact.labels import encode_labels
from velcodec.formats.exact.neighbours import (
    FEATURES,
    FIRST,
    PLAIN_FEATURES,
    PLAIN_ROWS,
    ROWS,
)
from velcodec.formats.exact.network import (
    ABOVE,
    CLASSES,
    FIRST_SCALE,
    LOGIT_SCALE,
    NARROW,
    SECOND_SCALE,
    WIDTH,
    Network,
    shapes,
)

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

BOUNDS_OF_GUIDED = 3
"""Ways to code each guided model, because its latent takes longest."""

STEPS_OF_GUIDES = (-10, 6)
"""From how many steps coarser than the decoder's default to how many finer guides are rendered."""

Int64 = NDArray[np.int64]


class Contexts(nn.Module):
    """The network in floating point; `integer` rounds it to what the codec uses."""

    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.features = FEATURES if guided else PLAIN_FEATURES
        self.first = nn.EmbeddingBag(ROWS if guided else PLAIN_ROWS, WIDTH, mode="sum")
        self.first_bias = nn.Parameter(torch.zeros(WIDTH))
        self.second = nn.Linear(WIDTH, NARROW)
        self.third = nn.Linear(NARROW, CLASSES)
        nn.init.normal_(self.first.weight, std=0.2)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits (n, CLASSES), natural, from features' codes (n, FEATURES)."""
        rows = (codes + torch.as_tensor(FIRST))[:, : self.features]
        hidden = torch.relu(self.first(rows) + self.first_bias)
        logits: Tensor = self.third(torch.relu(self.second(hidden)))
        return logits

    @torch.no_grad()
    def integer(self) -> Network:
        """Weights as the codec takes them."""

        def rounded(weights: Tensor, scale: float) -> Int64:
            whole: Int64 = np.rint(weights.double().numpy() * scale).astype(np.int64)
            return whole

        bits = LOGIT_SCALE / np.log(2.0)
        return Network(
            rounded(self.first.weight, FIRST_SCALE),
            rounded(self.first_bias, FIRST_SCALE),
            rounded(self.second.weight.T, SECOND_SCALE),
            rounded(self.second.bias, FIRST_SCALE * SECOND_SCALE),
            rounded(self.third.weight.T, bits),
            rounded(self.third.bias, FIRST_SCALE * bits),
        )


def indifferent_network() -> Network:
    """All classes alike."""
    zeros = {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes(PLAIN_ROWS).items()}
    return Network(**zeros)


@dataclass(frozen=True)
class Drawn:
    """A model (nz, nx), the bound (m/s, 0: exact) and which of its domains it goes into; a
    rendering (nz, nx) of its latent, if there is one.
    """

    model: NDArray[np.float32]
    bound: float
    choice: int
    rendering: Float64 | None = None


def draw_models(count: int, seed: int) -> list[Drawn]:
    """So many models of all families, each with a bound."""
    rng = np.random.default_rng(seed)
    found = []
    shares = np.array(list(FAMILIES.values()))
    for family, share in zip(FAMILIES, shares / shares.sum(), strict=True):
        for shape in SHAPES_OF_MODELS:
            some = max(1, round(count * share / len(SHAPES_OF_MODELS)))
            drawn = synth.draw(family, seed, int(rng.integers(1 << 30)), some)
            for clean in drawn.render(*shape).numpy():
                speckled = "fault" in family and rng.random() < SPECKLED_SHARE
                model = with_specks(clean, rng) if speckled else clean
                found.append(_with_bound(model.astype(np.float32), rng))
    return found


def _with_bound(
    model: NDArray[np.float32], rng: np.random.Generator, rendering: Float64 | None = None
) -> Drawn:
    whole = bool((model == np.rint(model)).all())
    exact = whole and rng.random() < EXACT_SHARE
    bound = 0.0 if exact else float(rng.choice(BOUNDS))
    return Drawn(model, bound, int(rng.choice(CHOICES)), rendering)


def with_renderings(drawn: list[Drawn], seed: int) -> Iterator[Drawn]:
    """Each model a few times, with bounds drawn afresh and a rendering of its latent."""
    from velcodec.codec.cut import ModelSet, cut_models
    from velcodec.codec.exact_render import ExactRenderer
    from velcodec.codec.fitting import Fitted, Fitter, quantise_tiles
    from velcodec.fit import LMOptions
    from velcodec.formats.tile_stream import Tiles

    rng = np.random.default_rng(seed)
    decoder = load_decoder()
    quick = LMOptions(stages=((640, 4),), full_steps=1, adam_steps=60)
    fitter = Fitter(decoder, options=quick)
    renderer = ExactRenderer(decoder)
    source = ModelSet([one.model for one in drawn], "m/s")
    whole = max(max(one.model.shape) for one in drawn)
    cut = cut_models(source, np.arange(len(drawn)), whole, 4.0)
    fitted = Fitted.empty(fitter, cut)
    with click.progressbar(cut.groups(), label="latents") as groups:
        for group in groups:
            fitted.fit(fitter, group)
            base = fitter.base_step + rng.integers(*STEPS_OF_GUIDES, size=len(cut))
            coded = quantise_tiles(fitter, fitted, base, group)
            for row, number in enumerate(group):
                tiles = Tiles(
                    coded.coefficients[row : row + 1],
                    coded.step[row : row + 1],
                    cut.low[number : number + 1],
                    cut.high[number : number + 1],
                )
                rendering = renderer.render(tiles, cut.tilings[int(number)])
                for _ in range(BOUNDS_OF_GUIDED):
                    yield _with_bound(drawn[int(number)].model, rng, rendering)


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


def examples(
    models: list[Drawn], network: Network, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes (n, FEATURES), possible classes (n, CLASSES), class (n,) and weight (n,)."""
    rng = np.random.default_rng(seed)
    rows, weights = [], []
    for one in models:
        model, bound = one.model, one.bound
        domain = bounded_domains([model], bound)[one.choice] if bound else exact_domain([model])
        allowed = allowed_codes(model, domain, bound)
        assert allowed is not None
        guide = None if one.rendering is None else domain.codes_near(one.rendering, model.dtype)
        trace = np.zeros((model.size, FEATURES + 2), dtype=np.int64)
        if encode_labels(allowed, domain.span, domain.bound, network, guide, trace) is None:
            continue
        plain = (trace[:, -1] == ABOVE) & (trace[:, ENDS_BELOW] > CLOSE)
        kept = ~plain | (rng.random(len(trace)) < 1 / KEPT_OF_CERTAIN)
        rows.append(trace[kept].astype(np.int16))
        weights.append(np.where(plain[kept], KEPT_OF_CERTAIN, 1).astype(np.float32))
    table = torch.as_tensor(np.concatenate(rows))
    possible = (table[:, FEATURES, None] >> torch.arange(CLASSES)) & 1
    return (
        table[:, :FEATURES],
        possible.bool(),
        table[:, FEATURES + 1].long(),
        torch.as_tensor(np.concatenate(weights)),
    )


ENDS_BELOW, CLOSE = 0, 14
"""First feature (where the layer ended one column before), and the code from which it is far."""


def train(
    contexts: Contexts, data: tuple[Tensor, Tensor, Tensor, Tensor], steps: int, seed: int
) -> float:
    """Adam on the code length; the mean of the last steps, in bits per example."""
    codes, possible, classes, weights = data
    optimiser = torch.optim.Adam(contexts.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    recent = 0.0
    with click.progressbar(range(steps), label=f"{len(codes)} examples") as progress:
        for _ in progress:
            some = torch.randint(len(codes), (BATCH,), generator=generator)
            logits = contexts(codes[some].long())
            logits = logits.masked_fill(~possible[some], -1e4)
            nats = F.cross_entropy(logits, classes[some], reduction="none")
            loss = (weights[some] * nats).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            recent += 0.02 * (loss.item() / float(np.log(2.0)) - recent)
    return recent


def save_network(network: Network, path: Path) -> None:
    """Write the weights as safetensors, int16 where they fit."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for name in shapes(len(network.first)):
        weights = getattr(network, name)
        fits = abs(weights).max() < 1 << 15
        tensors[name] = np.ascontiguousarray(weights, dtype=np.int16 if fits else np.int32)
    with atomic_write(path, force=True) as stream:
        stream.write(save(tensors))


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--models", default=6000, show_default=True)
@click.option("--steps", default=6000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--guided", is_flag=True, help="Learn from models beside their latents' renderings.")
def main(target: Path, models: int, steps: int, seed: int, guided: bool) -> None:
    """Learn the network and write it to TARGET."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    contexts, network = Contexts(guided), indifferent_network()
    drawn = draw_models(models, seed)
    if guided:
        drawn = list(with_renderings(drawn, seed))
    for share, length in ((0.2, 0.3), (1.0, 1.0)):
        some = drawn[:: round(1 / share)]
        data = examples(some, network, seed)
        bits = train(contexts, data, round(steps * length), seed)
        network = contexts.integer()
        save_network(network, target)
        click.echo(f"{bits:.4f} bits per example")


if __name__ == "__main__":
    main()
