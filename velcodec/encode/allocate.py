"""The choice among candidates: the cheapest of an error, or the most useful of a size.

For a size it is operational rate-distortion allocation: exact by dynamic programming among few
models, along the convex hulls of all models' candidates (one Lagrangian price) among many.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from velcodec.encode.coded import CodedModel

LATENT_PREFERENCE = 1.05
"""A latent is kept rather than samples where it takes up to so many times their bits: latents are
what interpolation, priors and inversion work in.
"""

POOR_DB, POOR_SLOPE = 32.0, 3.0
GOOD_DB, GOOD_SLOPE = 45.0, 0.15
"""A dB counts so much below and above these PSNRs: bytes go first to poor models."""

FEW_MODELS = 64
"""So few models share so little that the header counts, and are allocated exactly."""

UNITS = 4000
"""Dynamic programming counts rates in so many units."""

TRIALS = 6
"""Times that a choice is made anew where the real file is longer or shorter than its rates."""

Size = Callable[[Sequence[CodedModel]], int]
"""Real size in bytes of the whole file for these models."""

Choices = Sequence[Sequence[CodedModel]]
"""The candidates of each model."""


def utility_of_psnr(psnr: float) -> float:
    """What a quality counts for, in and as dB."""
    poor, beyond = min(0.0, psnr - POOR_DB), max(0.0, psnr - GOOD_DB)
    return min(psnr, GOOD_DB) + (POOR_SLOPE - 1.0) * poor + GOOD_SLOPE * beyond


def utility(models: Iterable[CodedModel]) -> float:
    """What the quality of all these models counts for."""
    return sum(utility_of_psnr(model.psnr) for model in models)


def cheapest_within(
    mse: float, latent: CodedModel, samples: CodedModel, keep_latent: bool
) -> CodedModel:
    """The latent where it is within a mean squared error, (m/s)^2, and takes no more bits than
    latents may; else the samples, which are within it, or both with `keep_latent`.
    """
    if latent.mse <= mse and latent.bits <= LATENT_PREFERENCE * samples.bits:
        return latent
    return latent.with_samples(samples) if keep_latent else samples


class Allocation:
    """Choices of a candidate for each model, so that the file takes at most `budget` bytes by its
    real `size`.
    """

    def __init__(self, budget: float, size: Size) -> None:
        self.budget, self._size = budget, size
        self._sizes: dict[tuple[int, ...], int] = {}

    def size(self, chosen: Sequence[CodedModel]) -> int:
        """Real size in bytes; the candidates must live as long as this does."""
        key = tuple(map(id, chosen))
        if key not in self._sizes:
            self._sizes[key] = self._size(chosen)
        return self._sizes[key]

    def rank(self, chosen: Sequence[CodedModel]) -> tuple[bool, float, int]:
        """Greater for a better choice: one that fits, of more utility, in fewer bytes."""
        taken = self.size(chosen)
        fits = taken <= self.budget
        return fits, utility(chosen) if fits else 0.0, -taken

    def improve(self, chosen: list[CodedModel], choices: Choices) -> list[CodedModel]:
        """The best choice with samples in the domains that `chosen` has, or in all, or `chosen`."""
        own = self.best(_in_domains(choices, _domains_of(chosen)))
        return max(chosen, own, self.best(choices), key=self.rank)

    def share_domains(self, chosen: list[CodedModel], choices: Choices) -> list[CodedModel]:
        """The best choice with samples in any domains, or `chosen`.

        What the header says of a domain is paid once for all, so that a domain stays out where its
        samples gain less. Of many models it does not count, if only the choice fits.
        """
        chosen = max(chosen, self.best(choices), key=self.rank)
        if len(choices) > FEW_MODELS and self.rank(chosen)[0]:
            return chosen
        everything = _domains_of(model for own in choices for model in own)
        trials = [set[int](), *({domain} for domain in everything)]
        first = trials
        while trials:
            before = chosen
            for domains in trials:
                found = self.best(_in_domains(choices, domains))
                chosen = max(chosen, found, key=self.rank)
            used = _domains_of(chosen)
            fewer = [set(used) - {domain} for domain in used if len(used) > 1]
            trials = fewer if trials is first or chosen is not before else []
        return chosen

    def best(self, choices: Choices) -> list[CodedModel]:
        """The best choice, or the cheapest where none fits: rates foretell the size of the file,
        and what it really takes corrects the rate that is allowed.
        """
        choices = [_efficient(own) for own in choices]
        best = [own[0] for own in choices]
        allocate = _dynamic if len(choices) <= FEW_MODELS else _Hulls(choices).allocate
        spare = 8.0 * (self.budget - self.size(best))
        least = _rate(best)
        rate = least + spare
        for _ in range(TRIALS):
            if rate < least:
                break
            trial = allocate(choices, rate)
            spare = 8.0 * (self.budget - self.size(trial))
            if spare >= 0:
                if utility(trial) <= utility(best):
                    break
                best = trial
            else:
                rate = min(rate, _rate(trial))  # or the same choice may be made again
            rate += spare
        return best


def _domains_of(models: Iterable[CodedModel]) -> list[int]:
    """Numbers of the domains that samples of these models are in, in rising order."""
    return sorted({model.exact.domain for model in models if model.exact is not None})


def _in_domains(choices: Choices, domains: Container[int]) -> list[list[CodedModel]]:
    """Candidates less the samples in other domains."""
    return [
        [model for model in own if model.exact is None or model.exact.domain in domains]
        for own in choices
    ]


def _efficient(own: Sequence[CodedModel]) -> list[CodedModel]:
    """Candidates that gain by the bits they take, in order of their rates, and no samples of a rate
    within the preference for latents; the cheapest stays, since it may be all that fits.
    """
    found: list[CodedModel] = []
    for model in sorted(own, key=lambda m: (m.bits, m.mse)):
        if found and model.exact is None:
            found[1:] = [
                other
                for other in found[1:]
                if other.exact is None
                or other.mse < model.mse
                or LATENT_PREFERENCE * other.bits < model.bits
            ]
        if not found or model.mse < found[-1].mse:
            found.append(model)
    return found


def _rate(models: Iterable[CodedModel]) -> float:
    return sum(model.bits for model in models)


def _dynamic(choices: Choices, rate: float) -> list[CodedModel]:
    """The choice of the greatest utility at a rate in bits; the cheapest one takes no more."""
    unit, most = rate / UNITS, UNITS
    rates = [[int(model.bits / unit) for model in own] for own in choices]
    total = np.zeros(most + 1)
    picks = []
    for own, units in zip(choices, rates, strict=True):
        reached = np.full(most + 1, -np.inf)
        pick = np.zeros(most + 1, dtype=np.int64)
        for k, model in enumerate(own):
            if units[k] > most:
                continue
            gained = total[: most + 1 - units[k]] + utility_of_psnr(model.psnr)
            better = gained > reached[units[k] :]
            reached[units[k] :][better] = gained[better]
            pick[units[k] :][better] = k
        total = reached
        picks.append(pick)
    left = int(np.argmax(total))
    chosen = []
    for own, units, pick in zip(choices[::-1], rates[::-1], picks[::-1], strict=True):
        k = int(pick[left])
        chosen.append(own[k])
        left -= units[k]
    return chosen[::-1]


@dataclass(frozen=True)
class _Upgrade:
    """A step along one model's hull: to the candidate `to`, for `bits` more."""

    slope: float
    model: int
    to: CodedModel
    bits: float


class _Hulls:
    """The upper convex hulls of all models' candidates, rate against utility."""

    def __init__(self, choices: Choices) -> None:
        self.cheapest, self.upgrades = [], list[_Upgrade]()
        for i, own in enumerate(choices):
            here, *rest = own
            self.cheapest.append(here)
            while rest:
                slopes = [_slope(here, there) for there in rest]
                k = int(np.argmax(slopes))
                if slopes[k] <= 0:
                    break
                self.upgrades.append(_Upgrade(slopes[k], i, rest[k], rest[k].bits - here.bits))
                here, rest = rest[k], rest[k + 1 :]
        self.upgrades.sort(key=lambda upgrade: -upgrade.slope)
        self.rates = _rate(self.cheapest) + np.cumsum([each.bits for each in self.upgrades])

    def allocate(self, _: Choices, rate: float) -> list[CodedModel]:
        """The upgrades of the steepest slopes that a rate in bits allows."""
        chosen = list(self.cheapest)
        for upgrade in self.upgrades[: int(np.searchsorted(self.rates, rate, side="right"))]:
            chosen[upgrade.model] = upgrade.to
        return chosen


def _slope(here: CodedModel, there: CodedModel) -> float:
    gain = utility([there]) - utility([here])
    return gain / max(there.bits - here.bits, 1e-9) if gain > 0 else 0.0
