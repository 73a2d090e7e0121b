"""Inversion in the latent space beside inversion on the grid, on models that are known.

    python -m benchmarks.fwi                                # generated families, 4 models each
    python -m benchmarks.fwi curvevel_a --models 8 --budget 600
    VELCODEC_REAL_DATA=FOLDER python -m benchmarks.fwi marmousi2_10m.npy --fastest 5500
    python -m benchmarks.fwi --noise 0.1 --start linear --lowest 5 --other-propagator
    python -m benchmarks.fwi --json docs/inversion.jsonl --tables    # from kept figures alone

Both methods get the same budget of shot-gradients, with OpenFWI's acquisition. Needs deepwave, but
for tables of kept figures. Models whose figures are in the file of --json are not inverted again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.fwi_tables import METHODS, rows_by_setting, table, thresholds, verdicts
from velcodec import synth
from velcodec.field import Field
from velcodec.fwi import Acquisition, invert
from velcodec.metrics import mae, ssim

FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a", "style_a")
SEED, SIZE = 79, 70

Model = NDArray[np.float32]
Place = int | list[int]


@dataclass(frozen=True)
class Setting:
    """What is modelled, and from where the inversion starts."""

    budget: int = 200
    start: str = "smooth"
    noise: float = 0.0
    lowest: float | None = None
    other_propagator: bool = False
    fastest: float = 4500.0


@dataclass(frozen=True)
class Problem:
    """An inversion to do: the forward model, its data with noise of this deviation, the start and
    the bounds.
    """

    forward: Acquisition
    observed: Tensor
    noise: float
    start: Tensor
    bounds: tuple[float, float]


def known_models(name: str, count: int, seed: int = SEED) -> Iterator[tuple[Place, Model]]:
    """Models of a generated family, or of a file in VELCODEC_REAL_DATA, and where they are: numbers
    of whole ones of 70 x 70, or number, row and column of crops of larger ones, evenly spaced.
    """
    if not name.endswith(".npy"):
        yield from enumerate(synth.draw(name, seed, 0, count).render(SIZE, SIZE).numpy())
        return
    array = np.load(Path(os.environ["VELCODEC_REAL_DATA"]) / name, mmap_mode="r")
    array = array.reshape(-1, *array.shape[-2:])
    nz, nx = array.shape[1:]
    for k in range(count):
        number = k * len(array) // count
        z, x = (nz - SIZE) // 2, (nx - SIZE) * k // max(1, count - 1)
        crop = np.array(array[number, z : z + SIZE, x : x + SIZE], dtype=np.float32)
        yield (number if (nz, nx) == (SIZE, SIZE) else [number, z, x]), crop


def start_of(model: Model, kind: str) -> Model:
    """The truth smoothed over ten cells, or the straight line with depth that is closest to it."""
    if kind == "smooth":
        from scipy.ndimage import gaussian_filter

        return gaussian_filter(model, 10.0, mode="nearest")
    rows = np.arange(len(model))
    line = np.polyval(np.polyfit(rows, model.mean(1), 1), rows)
    return np.repeat(line[:, None], model.shape[1], 1).astype(np.float32)


def problem_of(model: Model, number: int, setting: Setting) -> Problem:
    """The data of a model; `number` is the seed of the noise."""
    inverse = replace(Acquisition.openfwi(SIZE), fastest=setting.fastest, lowest=setting.lowest)
    truth = inverse
    if setting.other_propagator:
        truth = replace(inverse, accuracy=8, steps_per_sample=2)
    with torch.no_grad():
        observed = truth(torch.from_numpy(model))
    random = torch.Generator().manual_seed(number)
    size = setting.noise * observed.square().mean().sqrt()
    observed = observed + size * torch.randn(observed.shape, generator=random)
    start = np.clip(start_of(model, setting.start), 1500, setting.fastest)
    bounds = (min(1500.0, float(model.min())), setting.fastest)
    return Problem(inverse, observed, float(size), torch.from_numpy(start), bounds)


def one(model: Model, number: int, setting: Setting) -> dict[str, Any]:
    """All figures of one model."""
    given = problem_of(model, number, setting)
    found = invert(
        Field((SIZE, SIZE), bounds=given.bounds), given.forward, given.observed,
        budget=setting.budget, start=given.start, noise=given.noise,
    )  # fmt: skip
    assert found.grid is not None
    fit = Field((SIZE, SIZE), bounds=given.bounds).fit_(model)().detach().numpy()
    latent = found.field().detach().numpy()
    models = (given.start.numpy(), found.grid.numpy(), latent, fit)
    row: dict[str, Any] = {
        name: {"mae": mae(model, other), "ssim": ssim(model, other)}
        for name, other in zip(METHODS, models, strict=True)
    }
    row |= {"misfit": found.misfit, "grid_misfit": found.grid_misfit, "energy": found.energy}
    return row | {"noise_misfit": found.noise_misfit}


def rounded(value: Any) -> Any:
    """Numbers with four digits, for files."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def kept_rows(path: Path | None) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def measured(
    names: tuple[str, ...], models: int, setting: Setting, path: Path | None
) -> Iterator[dict[str, Any]]:
    """A row for each model, kept ones first; new ones are added to the file at `path`."""
    kept = [row for row in kept_rows(path) if is_of(row, setting)]
    for name in names:
        for place, model in known_models(name, models):
            told = {"name": name, "number": place, "setting": rounded(asdict(setting))}
            row = next((row for row in kept if told.items() <= row.items()), None)
            if row is None:
                row = rounded(told | one(model, place if isinstance(place, int) else 0, setting))
                print(json.dumps(row), flush=True)
                if path is not None:
                    with path.open("a") as stream:
                        stream.write(json.dumps(row) + "\n")
            yield row


def is_of(row: dict[str, Any], setting: Setting) -> bool:
    """Whether a row is of this setting."""
    found: dict[str, Any] = row["setting"]
    return found == rounded(asdict(setting))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--models", default=4, show_default=True)
@click.option("--budget", default=200, show_default=True, help="Shot-gradients of each method.")
@click.option("--start", type=click.Choice(["smooth", "linear"]), default="smooth")
@click.option("--noise", default=0.0, show_default=True, help="Share of the data's rms.")
@click.option("--lowest", type=float, help="No frequencies below, Hz.")
@click.option("--other-propagator", is_flag=True, help="Data of 8th order and half the step.")
@click.option("--fastest", default=4500.0, show_default=True, help="m/s; the upper bound.")
@click.option(
    "--json", "path", type=click.Path(path_type=Path), help="Keep figures of models in this file."
)
@click.option("--tables", is_flag=True, help="Only print tables of what is kept.")
def main(
    names: tuple[str, ...], models: int, path: Path | None, tables: bool, **options: Any
) -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    if tables:
        rows = kept_rows(path)
    else:
        rows = list(measured(names or FAMILIES, models, Setting(**options), path))
    for said, some in rows_by_setting(rows).items():
        print(f"\n{said}:\n\n{table(some)}")
    print(f"\n{verdicts(rows)}\n\n{thresholds(rows)}")


if __name__ == "__main__":
    main()
