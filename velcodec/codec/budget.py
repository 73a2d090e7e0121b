"""Spending a budget of bytes: which tile size and step each model gets, so that a whole file fits.

The tile size and the middle of the steps are found on a sample of the models; then every model is
quantised at a few steps around it, and bytes go first where they buy most PSNR. What is promised
is the size of the real file; ideal code lengths only guide the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from velcodec.codec.coded import TILE_OVERHEAD_BITS, CodedModel, code_members
from velcodec.codec.cut import ModelSet, cut_models, plan_model
from velcodec.codec.fitting import Fitted, Fitter, quantise_tiles, rounded_bits
from velcodec.codec.rungs import member_mean, sample_tiles
from velcodec.formats.errors import BudgetError
from velcodec.metrics import psnr_of_mse
from velcodec.tiling import Int64

TILE_SIZES = (560, 280, 140, 70, 35, 24, 16, 12, 8)
NATIVE_TILE = 70
SAMPLE_MODELS = 24
LEAST_TILE_BITS, MOST_TILE_BITS = 100.0, 2400.0
"""Bits per tile between which a tile size is worth trying."""

RECORD_OVERHEAD_BITS = 48.0
FILE_OVERHEAD_BITS = 1200.0
STEPS_AROUND = (-4, -2, 0, 2, 4)
STEPS_BETWEEN = (-3, -1, 1, 3)
"""Step indices around the middle that every model is coded at; the latter where tiles are few."""

FEW_TILES = 64
COARSER, FINER = 6, 3
"""Step indices to go down while even the coarsest codes do not fit, up while all fit."""

ENOUGH_DB = 50.0
"""PSNR above which quality counts a tenth: bytes rather go to poorer models."""

ROUNDING_GAIN = 0.85
"""First guess of what rounding for rate saves over plain rounding."""

SPEND_TRIALS = 3
ATTEMPTS = 16
CLOSE_ENOUGH = 0.998

Size = Callable[[Sequence[CodedModel]], int]
"""Real size in bytes of the whole file for these models."""


def encode_to_budget(
    fitter: Fitter, source: ModelSet, range_step: float, bytes_per_model: float, size: Size
) -> list[CodedModel]:
    """Code every model, in order, so that the file keeps to the budget, overhead included.

    Raises BudgetError with the least possible when even the coarsest coding takes more.
    """
    budget = bytes_per_model * len(source)
    sample = _Sample(fitter, source, range_step, bytes_per_model)
    tile, middle = sample.choose()
    members = np.arange(len(source))
    fitted = Fitted.empty(fitter, cut_models(source, members, tile, range_step))
    options = _Options(len(source))

    def offer(base: int) -> None:
        options.add(code_members(fitter, fitted, members, np.full(len(source), base)))

    coarsest = max(0, middle + STEPS_AROUND[0])
    few = len(fitted.cut) <= FEW_TILES
    for offset in STEPS_AROUND + (STEPS_BETWEEN if few else ()):
        if coarsest <= middle + offset <= fitter.last_step:
            offer(middle + offset)
    while coarsest > 0 and size(options.cheapest()) > budget:
        coarsest = max(0, coarsest - COARSER)
        offer(coarsest)
    if size(options.cheapest()) > budget:
        _add_one_tile(fitter, fitted, range_step, options)
        least = size(options.cheapest())
        if least > budget:
            raise BudgetError(
                f"budget of {bytes_per_model:g} bytes per model: the least possible for these "
                f"{len(source)} models is {-(-least // len(source))} bytes per model "
                f"({least} bytes in all)"
            )
    chosen = options.fill(budget, size)
    finest = middle + STEPS_AROUND[-1]
    while finest < fitter.last_step and options.exhausted(chosen):
        finest = min(fitter.last_step, finest + FINER)
        offer(finest)
        chosen = options.fill(budget, size)
    return chosen


def _add_one_tile(fitter: Fitter, fitted: Fitted, range_step: float, options: _Options) -> None:
    """Add the least that a model can take: the coarsest step, one tile for the whole of it."""
    cut = fitted.cut
    if len(cut) > len(cut.members):
        whole = max(max(model.shape) for model in cut.source.models)
        single = Fitted.empty(fitter, cut_models(cut.source, cut.members, whole, range_step))
        coarsest = np.zeros(len(cut.members), dtype=np.int64)
        options.add(code_members(fitter, single, np.arange(len(cut.members)), coarsest))


@dataclass(frozen=True)
class _Upgrade:
    """A step along one model's hull: to option `to`, for `bits` more, at `slope` dB per bit."""

    model: int
    to: int
    bits: float
    slope: float


def _worth(model: CodedModel) -> float:
    """What a model's quality counts for."""
    return min(model.psnr, ENOUGH_DB) + 0.1 * max(0.0, model.psnr - ENOUGH_DB)


class _Options:
    """Several ways to code each model, and the choice among them that a budget allows."""

    def __init__(self, models: int) -> None:
        self.of: list[list[CodedModel]] = [[] for _ in range(models)]

    def add(self, coded: list[CodedModel]) -> None:
        for own, model in zip(self.of, coded, strict=True):
            own.append(model)

    def cheapest(self) -> list[CodedModel]:
        return [min(own, key=lambda m: m.bits) for own in self.of]

    def _upgrades(self) -> list[_Upgrade]:
        """Every step along every model's upper convex hull, the most worthwhile first."""
        found = []
        for i, own in enumerate(self.of):
            order = sorted(range(len(own)), key=lambda k: (own[k].bits, -_worth(own[k])))
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
    gain = _worth(there) - _worth(here)
    return gain / max(there.bits - here.bits, 1e-9) if gain > 0 else 0.0


class _Sample:
    """A few models, and of a large one a few tiles, that stand for all in the first choices."""

    def __init__(
        self, fitter: Fitter, source: ModelSet, range_step: float, bytes_per_model: float
    ) -> None:
        self.fitter, self.source, self.range_step = fitter, source, range_step
        count = min(SAMPLE_MODELS, len(source))
        self.members = np.unique(np.linspace(0, len(source) - 1, count).round().astype(np.int64))
        overhead = RECORD_OVERHEAD_BITS + FILE_OVERHEAD_BITS / len(source)
        self.allowed = max(8.0, 8.0 * bytes_per_model - overhead)

    def choose(self) -> tuple[int, int]:
        """The tile size with the best quality at the budget, and the base step that spends it."""
        found = []
        for tile in self._tile_sizes():
            base, quality = self._spend(tile)
            found.append((quality, tile, base))
        _, tile, base = max(found)
        return tile, base

    def _tile_sizes(self) -> list[int]:
        """Sizes that cut differently and leave a tile a sensible share; one of them at least."""
        sizes: dict[tuple[tuple[int, int], ...], tuple[int, float]] = {}
        for tile in sorted(TILE_SIZES, key=lambda t: t != NATIVE_TILE):
            tilings = [plan_model(self.source.models[int(i)], tile) for i in self.members]
            share = self.allowed / float(np.mean([t.tiles for t in tilings]))
            sizes.setdefault(tuple(t.tile_shape for t in tilings), (tile, share))
        good = [t for t, share in sizes.values() if LEAST_TILE_BITS <= share <= MOST_TILE_BITS]
        if good:
            return good
        wanted = (LEAST_TILE_BITS * MOST_TILE_BITS) ** 0.5
        return [min(sizes.values(), key=lambda s: abs(np.log(s[1] / wanted)))[0]]

    def _spend(self, tile: int) -> tuple[int, float]:
        """The finest base step within the budget (0 when none is) and the mean PSNR it gives."""
        cut = cut_models(self.source, self.members, tile, self.range_step)
        fitted = Fitted.empty(self.fitter, cut)
        positions = np.arange(len(self.members))
        tiles = sample_tiles(cut, positions)
        fitted.fit(self.fitter, tiles)
        count = np.diff(cut.first)
        overhead = TILE_OVERHEAD_BITS * float(count.mean())
        plain = np.array(
            [
                float((member_mean(cut, tiles, bits, positions) * count).mean())
                for bits in rounded_bits(self.fitter, fitted, tiles)
            ]
        )
        gain, base, quality = ROUNDING_GAIN, -1, 0.0
        for _ in range(SPEND_TRIALS):
            affordable = np.flatnonzero(gain * plain + overhead <= self.allowed)
            before, base = base, int(affordable[-1]) if len(affordable) else 0
            if base == before:
                break
            bits, quality = self._at(fitted, tiles, positions, base)
            gain = max(0.1, (bits - overhead) / max(plain[base], 1.0))
        return base, quality

    def _at(self, fitted: Fitted, tiles: Int64, positions: Int64, base: int) -> tuple[float, float]:
        """Mean bits and mean PSNR of the sample at one base step."""
        cut = fitted.cut
        trial = quantise_tiles(self.fitter, fitted, np.full(len(cut), base), tiles)
        cost = member_mean(cut, tiles, trial.bits + TILE_OVERHEAD_BITS, positions)
        mse = member_mean(cut, tiles, trial.error, positions)
        bits = float((cost * np.diff(cut.first)).mean())
        return bits, float(np.mean([psnr_of_mse(m) for m in mse]))
