"""Several ways to code each model, and the choice among them that a budget of bytes allows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from velcodec.encode.coded import CodedModel

POOR_DB, BELOW = 32.0, 3.0
ENOUGH_DB, BEYOND = 45.0, 0.15
"""PSNR under which quality counts so much more, and above which so much less: bytes go first to
poor models.
"""

TOP_UPS = 8
"""Rounds of spending what the best choice leaves of a budget."""

FEW_MODELS = 8
"""Among the ways of so few models the best choice is found exactly."""

UNIT_BITS, MOST_UNITS = 4.0, 20000
"""Bits are counted in such units there, or greater ones where that would be too many."""

EXACT_TRIALS = 6
"""Times that an exact choice is made anew where the real file is longer or shorter than foreseen.
"""

ATTEMPTS = 16
CLOSE_ENOUGH = 0.998

Size = Callable[[Sequence[CodedModel]], int]
"""Real size in bytes of the whole file for these models."""


@dataclass(frozen=True)
class _Upgrade:
    """A step along one model's hull: to option `to`, for `bits` more, at `slope` dB per bit."""

    model: int
    to: int
    bits: float
    slope: float


def worth(model: CodedModel) -> float:
    """What a model's quality counts for."""
    return worth_of_psnr(model.psnr)


def worth_of_psnr(psnr: float) -> float:
    """What a quality counts for, in and as dB."""
    poor, beyond = min(0.0, psnr - POOR_DB), max(0.0, psnr - ENOUGH_DB)
    return min(psnr, ENOUGH_DB) + (BELOW - 1.0) * poor + BEYOND * beyond


def total_worth(models: Iterable[CodedModel]) -> float:
    """What the quality of all of them counts for."""
    return sum(worth(model) for model in models)


def domains_of(models: Iterable[CodedModel]) -> set[int]:
    """Numbers of the domains that samples of these models are in."""
    return {model.exact.domain for model in models if model.exact is not None}


class Options:
    """Several ways to code each model, and the choice among them that a budget allows."""

    def __init__(self, models: int) -> None:
        self.of: list[list[CodedModel]] = [[] for _ in range(models)]

    def add(self, coded: list[CodedModel]) -> None:
        for own, model in zip(self.of, coded, strict=True):
            own.append(model)

    def cheapest(self) -> list[CodedModel]:
        return [min(own, key=lambda m: m.bits) for own in self.of]

    def domains(self) -> list[int]:
        """Numbers of all domains that samples are in, in rising order."""
        return sorted(set().union(*map(domains_of, self.of)))

    def in_domains(self, domains: Container[int]) -> Options:
        """These options less the samples in other domains."""
        found = Options(len(self.of))
        found.of = [
            [model for model in own if model.exact is None or model.exact.domain in domains]
            for own in self.of
        ]
        return found

    def choose(self, budget: float, size: Size) -> list[CodedModel]:
        """The best choice whose file keeps to `budget`; the cheapest one must."""
        if len(self.of) <= FEW_MODELS:
            return self._fill_exactly(budget, size)
        return self.fill(budget, size)

    def _fill_exactly(self, budget: float, size: Size) -> list[CodedModel]:
        """The best choice of all, as far as bits foretell the size of the file."""
        best = self.cheapest()
        least = sum(model.bits for model in best)
        allowed = least + 8.0 * (budget - size(best))
        for _ in range(EXACT_TRIALS):
            if allowed < least:
                break
            trial = self._packed(allowed)
            spare = 8.0 * (budget - size(trial))
            if spare >= 0 and total_worth(trial) > total_worth(best):
                best = trial
            elif spare >= 0:
                break
            allowed += spare
        return best

    def _packed(self, bits: float) -> list[CodedModel]:
        """The choice that is worth most of those of so many bits (dynamic programming); the
        cheapest one has no more.
        """
        unit = max(UNIT_BITS, bits / MOST_UNITS)
        most = int(bits / unit)
        lengths = [[int(model.bits / unit) for model in own] for own in self.of]
        total = np.zeros(most + 1)
        picks = []
        for own, units in zip(self.of, lengths, strict=True):
            taken = np.full(most + 1, -np.inf)
            pick = np.zeros(most + 1, dtype=np.int64)
            for k, model in enumerate(own):
                if units[k] > most:
                    continue
                gained = total[: most + 1 - units[k]] + worth(model)
                better = gained > taken[units[k] :]
                taken[units[k] :][better] = gained[better]
                pick[units[k] :][better] = k
            total = taken
            picks.append(pick)
        left = int(np.argmax(total))
        chosen = []
        for own, units, pick in zip(self.of[::-1], lengths[::-1], picks[::-1], strict=True):
            k = int(pick[left])
            chosen.append(own[k])
            left -= units[k]
        return chosen[::-1]

    def _upgrades(self) -> list[_Upgrade]:
        """Every step along every model's upper convex hull, the most worthwhile first."""
        found = []
        for i, own in enumerate(self.of):
            order = sorted(range(len(own)), key=lambda k: (own[k].bits, -worth(own[k])))
            here, rest = order[0], order[1:]
            while rest:
                slopes = [_slope(own[here], own[k]) for k in rest]
                best = int(np.argmax(slopes))
                if slopes[best] <= 0:
                    break
                to = rest[best]
                found.append(_Upgrade(i, to, own[to].bits - own[here].bits, slopes[best]))
                here, rest = to, rest[best + 1 :]
        found.sort(key=lambda u: -u.slope)
        return found

    def fill(self, budget: float, size: Size) -> list[CodedModel]:
        """The best choice whose file keeps to `budget`; the cheapest one must."""
        upgrades = self._upgrades()
        bits = np.cumsum([0.0] + [u.bits for u in upgrades])
        fits, breaks = 0, len(upgrades) + 1
        best = self._upto(upgrades, 0)
        used = size(best)
        spare = 8.0 * (budget - used)
        for _ in range(ATTEMPTS):
            guess = int(np.searchsorted(bits, bits[fits] + spare, side="right")) - 1
            guess = min(max(guess, fits + 1), breaks - 1)
            if guess <= fits or used >= CLOSE_ENOUGH * budget:
                break
            trial = self._upto(upgrades, guess)
            found = size(trial)
            if found <= budget:
                fits, best, used = guess, trial, found
                spare = 8.0 * (budget - found)
            else:
                breaks = guess
                spare = max(0.0, bits[guess] - bits[fits] - 8.0 * (found - budget))
        return best

    def top_up(self, chosen: Sequence[CodedModel], budget: float, size: Size) -> list[CodedModel]:
        """The choice with models, the most worthwhile first, in ways that what is left allows."""
        found = list(chosen)
        for _ in range(TOP_UPS):
            spare = 8.0 * (budget - size(found))
            if spare < 0:
                break
            moves = []
            for i, (own, now) in enumerate(zip(self.of, found, strict=True)):
                within = [model for model in own if model.bits <= now.bits + spare]
                slopes = [_slope(now, model) for model in within]
                best = int(np.argmax(slopes))
                if slopes[best] > 0:
                    moves.append((slopes[best], i, within[best]))
            moves.sort(key=lambda move: (-move[0], move[1]))
            bits = np.cumsum([model.bits - found[i].bits for _, i, model in moves])
            count = int(np.searchsorted(bits, spare, side="right"))
            while count > 0:
                trial = list(found)
                for _, i, model in moves[:count]:
                    trial[i] = model
                if size(trial) <= budget:
                    break
                count //= 2
            if count == 0:
                break
            found = trial
        return found

    def exhausted(self, chosen: list[CodedModel]) -> bool:
        """Whether most models already have their dearest code, so that bytes are left over."""
        top = sum(
            model.bits >= max(m.bits for m in own)
            for model, own in zip(chosen, self.of, strict=True)
        )
        return 2 * top > len(chosen)

    def _upto(self, upgrades: list[_Upgrade], count: int) -> list[CodedModel]:
        chosen = self.cheapest()
        for upgrade in upgrades[:count]:
            chosen[upgrade.model] = self.of[upgrade.model][upgrade.to]
        return chosen


def _slope(here: CodedModel, there: CodedModel) -> float:
    gain = worth(there) - worth(here)
    return gain / max(there.bits - here.bits, 1e-9) if gain > 0 else 0.0
