"""How the budget of an inversion is spent: frequency bands one after the other, early ones on few
shots.

Low frequencies have less to say, so fewer shots say it, and each evaluation leaves more of the
budget for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from velcodec.formats.errors import OptionError
from velcodec.fwi.bands import BandMisfit, band_misfit

Forward = Callable[[Tensor], Tensor]
"""Data of any shape from a velocity (nz, nx) in m/s; differentiable."""

LATER_BANDS = 0.4
"""Each band gets this much more of the budget, relative to the first."""

GAIN = 2.0
"""Power of time by which data are weighted."""


@dataclass(frozen=True)
class Band:
    """One band: its corner in Hz or None, the forward model of its shots, how many these are, their
    misfit, how often it may be evaluated, and the number of independent data below the corner.
    """

    corner: float | None
    forward: Forward
    shots: int
    misfit: BandMisfit
    evaluations: int
    data: float

    def prior_weight(self, noise: float, coefficients: int) -> float:
        """Weight of the prior's energy, a mean over `coefficients`, beside the misfit of data with
        white noise of this standard deviation: that of Bayes' rule.
        """
        return self.misfit.of_noise(noise) * coefficients / self.data


def planned(
    forward: Forward, observed: Tensor, corners: Sequence[float | None], budget: int, few: bool
) -> list[Band]:
    """The bands of an inversion with a budget of shot-gradients.

    With `few`, and if the forward model has `some`, bands use some of the shots: of five shots and
    three bands, one, two and three. Raises OptionError for bands that are not in rising order or a
    budget below one evaluation of each band.
    """
    order = [math.inf if corner is None else corner for corner in corners]
    if not order or order != sorted(set(order)):
        raise OptionError(f"bands: expected corners in rising order, None last, found {corners}")
    whole = int(getattr(forward, "shots", 1))
    some = getattr(forward, "some", None) if few else None
    numbers = [
        None if some is None else spread(whole, round(whole * (k + 1) / (len(order) + 2)))
        for k in range(len(order))
    ]
    counts = [whole if each is None else len(each) for each in numbers]
    evaluations = [int(s * budget) // n for s, n in zip(shares(len(order)), counts, strict=True)]
    left = budget - sum(n * c for n, c in zip(evaluations, counts, strict=True))
    evaluations[-1] += left // counts[-1]
    if min(evaluations) < 1:
        raise OptionError(
            f"budget: found {budget} gradients of {whole} shots, expected enough for at least one "
            f"evaluation in each of {len(order)} bands"
        )
    dt, bands = getattr(forward, "dt", None), []
    for corner, chosen, n, count in zip(corners, numbers, counts, evaluations, strict=True):
        data = observed if chosen is None else observed[list(chosen)]
        model = forward if chosen is None or some is None else some(chosen)
        share = 1.0 if corner is None or dt is None else min(1.0, 2 * corner * dt)
        misfit = band_misfit(data, corner, dt, GAIN)
        bands.append(Band(corner, model, n, misfit, count, share * data.numel()))
    return bands


def shares(bands: int) -> list[float]:
    """Shares of the budget for each band, rising."""
    weights = [1 + LATER_BANDS * number for number in range(bands)]
    return [weight / sum(weights) for weight in weights]


def spread(shots: int, count: int) -> tuple[int, ...]:
    """`count` of `shots` numbers, 1 at least, evenly spaced."""
    count = max(1, count)
    return tuple(int((k + 0.5) * shots / count) for k in range(count))
