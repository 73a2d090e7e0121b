"""Coverage of `Field.deviation`: the share of samples within two standard deviations of the truth.

    python -m benchmarks.uncertainty                  # 200 generated models of each family
    python -m benchmarks.uncertainty --models 20 --calibration 10

The one factor is learned on models of another seed, pooled over all families, and printed beside
the one that velcodec uses; coverage is that of the learned one.
"""

from __future__ import annotations

from dataclasses import dataclass

import click
import numpy as np
import torch
from numpy.typing import NDArray

from velcodec import synth
from velcodec.field import Field
from velcodec.field.uncertainty import FACTOR

CALIBRATION_SEED, TEST_SEED = 801, 802
AT_ONCE = 20
LARGEST = 0.05


@dataclass(frozen=True)
class Found:
    """|error| over deviation of all samples, (models, samples), and whether a sample is among the
    LARGEST deviations of its model; of the models the mean rms, m/s, the mean correlation of
    |error| with the deviation, and the energy that 99 % are below.
    """

    ratios: NDArray[np.float64]
    large: NDArray[np.bool_]
    rms: float
    correlation: float
    energy: float


def measured(family: str, seed: int, count: int) -> Found:
    """The figures of `count` models of a family and seed, in batches of AT_ONCE."""
    ratios, large, errors, correlation, energy = [], [], [], [], []
    for first in range(0, count, AT_ONCE):
        number = min(AT_ONCE, count - first)
        truth = synth.draw(family, seed, first, number).render(70, 70)
        field = Field((70, 70), models=number, bounds=None).fit_(truth)
        error = (field().detach() - truth).abs()
        rms = error.square().mean((1, 2)).sqrt()
        deviation = field.deviation(rms.tolist(), error.mean((1, 2)).tolist())
        ratios.append((error / deviation).double().numpy().reshape(number, -1))
        flat = deviation.numpy().reshape(number, -1)
        large.append(flat >= np.quantile(flat, 1 - LARGEST, axis=1, keepdims=True))
        errors += rms.tolist()
        energy += field.energy().tolist()
        for e, d in zip(error.numpy(), deviation.numpy(), strict=True):
            correlation.append(np.corrcoef(e.ravel(), d.ravel())[0, 1])
    means = [float(np.mean(each)) for each in (errors, correlation)]
    return Found(
        np.concatenate(ratios), np.concatenate(large), *means, float(np.quantile(energy, 0.99))
    )


@click.command()
@click.option("--models", default=200, show_default=True, help="Held-out models of each family.")
@click.option("--calibration", default=40, show_default=True, help="Models to learn the factor on.")
def main(models: int, calibration: int) -> None:
    """Print the factor, and the coverage of each family as a markdown table."""
    torch.set_num_threads(1)
    learned = np.concatenate(
        [measured(family, CALIBRATION_SEED, calibration).ratios for family in synth.FAMILIES]
    )
    wanted = FACTOR * float(np.quantile(learned, 0.95)) / 2
    print(f"factor: {FACTOR:g} in use, {wanted:.3f} by {calibration} models of each family\n")
    heads = ("family", "rms, m/s", "within 2 sd, %", "the same of the 5 % largest sd, %")
    heads += ("within 1 sd, %", "correlation", "energy, 99 %")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    for family in synth.FAMILIES:
        found = measured(family, TEST_SEED, models)
        ratios = found.ratios * FACTOR / wanted
        shares = (ratios < 2, ratios[found.large] < 2, ratios < 1)
        cells = [f"{found.rms:.1f}", *(f"{100 * share.mean():.1f}" for share in shares)]
        cells += [f"{found.correlation:.2f}", f"{found.energy:.1f}"]
        print(f"| {family} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
