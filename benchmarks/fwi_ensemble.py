"""Coverage of an ensemble of inversions: the share of samples within two standard deviations.

    python -m benchmarks.fwi_ensemble                    # layered families, two models each

The first member starts from the given start, others from draws from the prior whose renderings,
smoothed, are the start, smoothed; each has the whole budget. Deviations are those of the members
about their mean; "for 90 %" is the factor on them at which two cover 90 % of the samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.fwi import SIZE, Problem, Setting, known_models, problem_of
from benchmarks.fwi_variants import started
from velcodec.field import Field
from velcodec.fwi import invert

FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a")


def members(given: Problem, count: int) -> NDArray[np.float64]:
    """Models (count, nz, nx) in m/s of an ensemble."""
    found = []
    for k in range(count):
        field = Field((SIZE, SIZE), bounds=given.bounds)
        started(field, given, "fit" if k == 0 else "prior", k)
        result = invert(field, given.forward, given.observed, compare_grid=False)
        found.append(result.field().detach().double().numpy())
    return np.stack(found)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--models", default=2, show_default=True)
@click.option("--size", default=3, show_default=True, help="Members of an ensemble.")
def main(names: Sequence[str], models: int, size: int) -> None:
    """Print coverage and errors as a table."""
    torch.set_num_threads(1)
    heads = ("models", "within 2 sd, %", "for 90 %", "MAE of the first", "of the mean", "mean sd")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    for name in names or FAMILIES:
        ratios, first, mean, spread = [], [], [], []
        for number, (_, model) in enumerate(known_models(name, models)):
            found = members(problem_of(model, number, Setting()), size)
            middle, deviation = found.mean(0), found.std(0, ddof=1)
            ratios.append(np.abs(middle - model) / (2 * deviation))
            first.append(np.abs(found[0] - model).mean())
            mean.append(np.abs(middle - model).mean())
            spread.append(deviation.mean())
        share = 100 * float(np.mean(np.array(ratios) < 1))
        cells = [f"{share:.0f}", f"{np.quantile(ratios, 0.9):.1f}"]
        cells += [f"{np.mean(each):.0f}" for each in (first, mean, spread)]
        print(f"| {name} ({models}) | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
