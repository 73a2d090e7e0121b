"""Inversion in the latent space beside inversion on the grid, on models that are known.

    python -m benchmarks.fwi                                # generated families, 4 models each
    python -m benchmarks.fwi curvevel_a --models 8 --budget 600
    VELCODEC_REAL_DATA=FOLDER python -m benchmarks.fwi marmousi2_10m.npy --fastest 5000
    python -m benchmarks.fwi --noise 0.1 --start linear --lowest 5 --other-propagator

Both methods get the same budget of shot-gradients, with OpenFWI's acquisition. Needs deepwave.
Prints a line for each model, then means, worst models and the guard's verdicts as a table.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from velcodec import synth
from velcodec.field import Field
from velcodec.fwi import Acquisition, invert
from velcodec.metrics import mae, ssim

FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a", "style_a")
SEED, SIZE = 79, 70
METHODS = ("start", "grid", "latent", "chosen", "fit")

Model = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """What is modelled, and from where the inversion starts."""

    budget: int
    start: str
    noise: float
    lowest: float | None
    other_propagator: bool
    fastest: float


def known_models(name: str, count: int) -> Iterator[Model]:
    """Models of a generated family, or of a file in VELCODEC_REAL_DATA: whole ones of 70 x 70, or
    crops of larger ones, evenly spaced.
    """
    if not name.endswith(".npy"):
        yield from synth.draw(name, SEED, 0, count).render(SIZE, SIZE).numpy()
        return
    array = np.load(Path(os.environ["VELCODEC_REAL_DATA"]) / name, mmap_mode="r")
    array = array.reshape(-1, *array.shape[-2:])
    nz, nx = array.shape[1:]
    for k in range(count):
        number = k * len(array) // count
        z, x = (nz - SIZE) // 2, (nx - SIZE) * k // max(1, count - 1)
        yield np.array(array[number, z : z + SIZE, x : x + SIZE], dtype=np.float32)


def start_of(model: Model, kind: str) -> Model:
    """The truth smoothed over ten cells, or the straight line with depth that is closest to it."""
    if kind == "smooth":
        from scipy.ndimage import gaussian_filter

        return gaussian_filter(model, 10.0, mode="nearest")
    rows = np.arange(len(model))
    line = np.polyval(np.polyfit(rows, model.mean(1), 1), rows)
    return np.repeat(line[:, None], model.shape[1], 1).astype(np.float32)


def one(model: Model, number: int, setting: Setting) -> dict[str, object]:
    """All figures of one model."""
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
    begun = time.process_time()
    found = invert(
        Field((SIZE, SIZE), bounds=bounds), inverse, observed, budget=setting.budget,
        start=torch.from_numpy(start), noise=float(size),
    )  # fmt: skip
    taken = time.process_time() - begun
    assert found.grid is not None
    fit = Field((SIZE, SIZE), bounds=bounds).fit_(model)().detach().numpy()
    latent = found.field().detach().numpy()
    models = (start, found.grid.numpy(), latent, found.model.numpy(), fit)
    row: dict[str, object] = {
        name: {"mae": mae(model, other), "ssim": ssim(model, other)}
        for name, other in zip(METHODS, models, strict=True)
    }
    row |= {"misfit": found.misfit, "grid_misfit": found.grid_misfit, "energy": found.energy}
    row["noise_misfit"] = found.noise_misfit
    return row | {"trusted": found.trusted, "seconds": taken}


def table_row(name: str, rows: list[dict[str, dict[str, float]]]) -> str:
    """Means of a family, the worst MAE of both methods, and the guard's verdicts: a failure is a
    latent farther from the truth than the grid; "chosen" is the latent where it is trusted, else
    the grid.
    """
    cells = []
    for method in METHODS:
        error, likeness = (
            np.mean([row[method][figure] for row in rows]) for figure in ("mae", "ssim")
        )
        cells.append(f"{error:.0f} / {likeness:.2f}")
    worst = [max(row[method]["mae"] for row in rows) for method in ("grid", "latent")]
    failures = [row for row in rows if row["latent"]["mae"] > row["grid"]["mae"]]
    doubted = [row for row in rows if not row["trusted"]]
    right = sum(row in failures for row in doubted)
    cells += [f"{worst[0]:.0f}, {worst[1]:.0f}", f"{len(failures)}", f"{right} of {len(doubted)}"]
    return f"| {name} ({len(rows)}) | {' | '.join(cells)} |"


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
    "--log", type=click.Path(path_type=Path), help="Add the models' figures as JSON lines."
)
def main(names: tuple[str, ...], models: int, log: Path | None, **options: object) -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    setting = Setting(**options)  # type: ignore[arg-type]
    table = []
    for name in names or FAMILIES:
        rows = []
        for number, model in enumerate(known_models(name, models)):
            row = one(model, number, setting)
            rows.append(row)
            line = json.dumps({"name": name, "number": number, **row})
            print(line, flush=True)
            if log is not None:
                with log.open("a") as stream:
                    stream.write(line + "\n")
        table.append(table_row(name, rows))  # type: ignore[arg-type]
    heads = ("models", *METHODS, "worst MAE: grid, latent", "failures", "doubted rightly")
    print(f"\n| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    print("\n".join(table))


if __name__ == "__main__":
    main()
