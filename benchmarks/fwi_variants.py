"""Variants of the inversion in the latent space that were tried: docs/notes/inversion.md.

    python -m benchmarks.fwi_variants                                # as velcodec inverts
    python -m benchmarks.fwi_variants --shots all/all/all --start prior
    python -m benchmarks.fwi_variants --grid --shots all/all/all
    python -m benchmarks.fwi_variants --hybrid 80 --trust 0.01       # the last 80 on the grid

Every variant has 200 shot-gradients in all. Prints MAE in m/s, model by model. Models have another
seed than those of `benchmarks/fwi.py`, 79.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks.fwi import SIZE, Problem, Setting, known_models, problem_of
from velcodec.decoder.points import grid_points
from velcodec.field import Field
from velcodec.fwi.bands import band_misfit
from velcodec.fwi.descent import descend
from velcodec.fwi.grid import TOTAL_VARIATION, GridModel, gaussian, roughness
from velcodec.fwi.plan import GAIN, Band, shares
from velcodec.metrics import mae

SEED, BUDGET = 90, 200
NAMES = ("curvevel_a:4", "flatvel_a:3")
SMOOTHED = 8.0
"""Cells over which a start from the prior is compared with the given start."""


@dataclass(frozen=True)
class Variant:
    """What differs. By band: corners in Hz, numbers of the shots, weights of the prior's energy and
    of total variation, and the least deviation of coefficients that move.
    """

    corners: tuple[float | None, ...]
    shots: tuple[tuple[int, ...], ...]
    energy: tuple[float, ...]
    variation: tuple[float, ...]
    least: tuple[float, ...]
    start: str
    starts: int
    metric: float | None
    hybrid: int
    trust: float
    grid: bool


def bands_of(given: Problem, variant: Variant) -> list[Band]:
    """The bands of a variant, with its share of the budget."""
    budget, found, left = BUDGET - variant.hybrid, [], BUDGET - variant.hybrid
    weights = shares(len(variant.corners))
    for k, (corner, shots) in enumerate(zip(variant.corners, variant.shots, strict=True)):
        last = k == len(weights) - 1
        count = int((left if last else weights[k] * budget) / len(shots))
        left -= count * len(shots)
        misfit = band_misfit(given.observed[list(shots)], corner, given.forward.dt, GAIN)
        data = float(misfit.observed.numel())
        found.append(Band(corner, given.forward.some(shots), len(shots), misfit, count, data))
    return found


def started(field: Field, given: Problem, kind: str, number: int) -> None:
    """Fit the field to the start; or take a draw from the prior and fit it so that its rendering,
    smoothed, is the start, smoothed.
    """
    if kind == "fit":
        field.fit_(given.start)
        return
    low, high = float(given.start.min()), float(given.start.max())
    wider = 0.08 * (high - low)
    drawn = field.decoder.sample(1, generator=torch.Generator().manual_seed(number))[None]
    ends = max(low - wider, 1510.0), min(high + wider, 4490.0)
    field.set_(drawn, *(torch.full((1, 1), end) for end in ends))
    wanted = gaussian(given.start, SMOOTHED)

    def loss() -> Tensor:
        away = (gaussian(field(), SMOOTHED) - wanted).square().mean() / 1e4
        return away + 1e-2 * field.energy()

    descend([field.half_whitened, field.ends], loss, 150)


def descend_in_metric(
    field: Field, wave: Callable[[Tensor], Tensor], weight: float, alpha: float, count: int
) -> float:
    """Descend in the metric of the rendering: half-whitened latents and ends are L q with
    L L^T = (J^T J + alpha P)^-1 at the start, J the rendering's derivatives, P the prior's. Returns
    the loss.
    """
    with torch.no_grad():
        values, slopes = field.decoder.jacobian(grid_points(SIZE, SIZE), field.latents[0])
        low, high = (float(end) for end in field.value_range)
        inside = (values[0].abs() < 1).double()
        share = (values[0].double().clamp(-1, 1) + 1) / 2
        jacobian = slopes[0].double() * (high - low) / 200 * inside[:, None]
        jacobian = jacobian * field.deviations.double().sqrt()
        jacobian = torch.cat([jacobian, (1 - share)[:, None], share[:, None]], 1)
        size = field.half_whitened.numel()
        prior = torch.cat([1 / field.deviations.double() / size, torch.full((2,), 1e-4).double()])
        metric = jacobian.mT @ jacobian / len(jacobian) + alpha * torch.diag(prior)
        factor = torch.linalg.inv(torch.linalg.cholesky(metric)).mT.to(field.ends)
        origin = torch.cat([field.half_whitened.flatten(), field.ends.flatten()])
    moved = torch.zeros(len(origin), requires_grad=True)

    def parameters() -> dict[str, Tensor]:
        x = origin + factor @ moved
        return {
            "half_whitened": x[:size].view_as(field.half_whitened),
            "ends": x[size:].view_as(field.ends),
        }

    def loss() -> Tensor:
        given = parameters()
        energy = (given["half_whitened"].square() / field.deviations).mean()
        model: Tensor = torch.func.functional_call(field, given, ())  # type: ignore[no-untyped-call]
        return wave(model) + weight * energy

    least = descend([moved], loss, count)
    field.load_state_dict({name: value.detach() for name, value in parameters().items()})
    return least


def descend_band(field: Field, variant: Variant, number: int, band: Band) -> float:
    """One band by latents; returns the loss."""
    weight, variation = variant.energy[number], variant.variation[number]

    def wave(model: Tensor) -> Tensor:
        return band.misfit(band.forward(model)) + variation * roughness(model)

    if variant.metric is not None:
        return descend_in_metric(field, wave, weight, variant.metric, band.evaluations)
    moves = (field.deviations >= variant.least[number]).to(field.ends)
    hook = field.half_whitened.register_hook(lambda slope: slope * moves)
    least = descend(
        [field.half_whitened, field.ends],
        lambda: wave(field()) + weight * field.energy(),
        band.evaluations,
    )
    hook.remove()
    return least


def inverted(given: Problem, variant: Variant, number: int) -> Tensor:
    """The model that a variant finds."""
    if variant.grid:
        return grid_alone(given, variant)
    bands, tried = bands_of(given, variant), []
    for k in range(variant.starts):
        field = Field((SIZE, SIZE), bounds=given.bounds)
        started(field, given, variant.start if k == 0 else "prior", 100 * k + number)
        count = bands[0].evaluations // variant.starts
        tried.append((descend_band(field, variant, 0, replace(bands[0], evaluations=count)), field))
    field = min(tried, key=lambda each: each[0])[1]
    for place, band in enumerate(bands[1:], 1):
        descend_band(field, variant, place, band)
    model = field().detach()
    return model if not variant.hybrid else on_grid(given, variant, model)


def on_grid(given: Problem, variant: Variant, around: Tensor) -> Tensor:
    """The rest of a hybrid's budget on the grid, below 12 Hz and in all frequencies, held close to
    the latent's model by a weight.
    """
    model, forward = around, given.forward
    for number, corner in ((1, 12.0), (2, None)):
        misfit = band_misfit(given.observed, corner, forward.dt, GAIN)
        count = variant.hybrid // 2 // forward.shots
        data = float(misfit.observed.numel())
        band = Band(corner, forward, forward.shots, misfit, count, data)
        model = grid_step(given, model, number, band, (variant.trust, around))
    return model


def grid_alone(given: Problem, variant: Variant) -> Tensor:
    """All bands on the grid, with the shots of a variant."""
    model = given.start
    for number, band in enumerate(bands_of(given, variant)):
        model = grid_step(given, model, number, band, (0.0, given.start))
    return model


def grid_step(
    given: Problem, model: Tensor, number: int, band: Band, held: tuple[float, Tensor]
) -> Tensor:
    """One band on the grid; `held` are the weight of the distance from a model, and this model."""
    grid, (weight, around) = GridModel.at(model, number, given.bounds), held

    def loss() -> Tensor:
        values = grid()
        distance = weight * ((values - around) / 100).square().mean()
        return band.misfit(band.forward(values)) + TOTAL_VARIATION * roughness(values) + distance

    descend([grid.changes], loss, band.evaluations, memory=10)
    return grid().detach()


def numbers(text: str, bands: int) -> tuple[float, ...]:
    """A number for each band, or one for all."""
    found = [float(each) for each in text.split("/")]
    return tuple(found * bands if len(found) == 1 else found)


def shots_of(text: str) -> tuple[int, ...]:
    """`024` or `all`."""
    return tuple(range(5)) if text == "all" else tuple(map(int, text))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--corners", default="6/12/all", show_default=True, help="Of the bands, Hz.")
@click.option("--shots", default="2/13/024", show_default=True, help="Their numbers in each band.")
@click.option("--energy", default="1e-4", show_default=True, help="Weight of the prior's energy.")
@click.option("--variation", default="0", show_default=True, help="Weight of total variation.")
@click.option("--least", default="0", show_default=True, help="Least deviation that is freed.")
@click.option("--start", type=click.Choice(["fit", "prior"]), default="fit", show_default=True)
@click.option("--starts", default=1, show_default=True, help="Of the first band; the best goes on.")
@click.option("--metric", type=float, help="Descend in the rendering's metric, with this alpha.")
@click.option("--hybrid", default=0, show_default=True, help="Shot-gradients on the grid.")
@click.option("--trust", default=0.0, show_default=True, help="Weight of a hybrid's distance.")
@click.option("--grid", is_flag=True, help="Invert on the grid, with these bands and shots.")
@click.option("--seed", default=SEED, show_default=True, help="Of the models.")
def main(names: Sequence[str], corners: str, shots: str, seed: int, **options: Any) -> None:
    """Invert models of generated families, NAME:COUNT."""
    torch.set_num_threads(1)
    frequencies = tuple(None if each == "all" else float(each) for each in corners.split("/"))
    by_band = {
        name: numbers(str(options.pop(name)), len(frequencies))
        for name in ("energy", "variation", "least")
    }
    variant = Variant(
        frequencies, tuple(map(shots_of, shots.split("/"))), **by_band, **options  # type: ignore[arg-type]
    )  # fmt: skip
    for name in names or NAMES:
        family, _, count = name.partition(":")
        errors = []
        for number, (_, model) in enumerate(known_models(family, int(count), seed)):
            given = problem_of(model, number, Setting())
            errors.append(mae(model, inverted(given, variant, number).numpy()))
        print(f"{family}: {np.mean(errors):.0f}, {[round(each) for each in errors]}", flush=True)


if __name__ == "__main__":
    main()
