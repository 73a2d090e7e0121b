"""Spending a budget of bytes: which tile size, step and samples each model gets, so that all fit.

The tile size and the middle of the steps are found on a sample of the models; then every model is
quantised at a few steps around it, samples are coded beside its coarser latents, and bytes go
first where they buy most PSNR. What is promised is the size of the real file; ideal code lengths
only guide the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

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

POOR_DB, BELOW = 32.0, 3.0
ENOUGH_DB, BEYOND = 45.0, 0.15
"""PSNR under which quality counts so much more, and above which so much less: bytes go first to
poor models.
"""

WIDE = 2
"""Step indices between two steps of a model that leave no room for another."""

POLISHINGS = 3
"""Times that what was chosen is quantised better and the choice made anew."""

ROUNDING_GAIN = 0.85
"""First guess of what rounding for rate saves over plain rounding."""

ERRORS_M_S = (280.0, 170.0, 100.0, 60.0, 35.0, 20.0, 12.0, 6.0, 3.0, 1.5, 0.7, 0.0)
"""Root mean square errors (0: bit for bit) of the samples that are offered."""

REACH = 2.5
"""Samples are tried where they may take so many times what a model has on average."""

TOP_UPS = 8
"""Rounds of spending what the best choice leaves of a budget."""

FEW_MODELS, GAP_TRIALS, FILLED = 8, 6, 0.98
"""Of so few models the samples are coded at errors in between, so many times, until so much of the
budget is spent: more models fill it by their differences.
"""

FURTHER = 1.5
"""How many times greater an error is tried where samples of all others take too much."""

COARSE_TILE = 280
"""Samples of a model of many tiles are also coded beside latents of tiles of this size."""

SPEND_TRIALS = 3
ATTEMPTS = 16
CLOSE_ENOUGH = 0.998

Size = Callable[[Sequence[CodedModel]], int]
"""Real size in bytes of the whole file for these models."""


class Spending:
    """Some models coded in many ways, of which `fill` chooses what a budget allows.

    `samples` gives the options of a model (by its number here) that keep samples beside a latent;
    `size` the real size of the whole file for some choice.
    """

    def __init__(
        self,
        fitter: Fitter,
        source: ModelSet,
        range_step: float,
        bytes_per_model: float,
        size: Size,
        samples: Samples | None,
    ) -> None:
        self.fitter, self.source, self.size, self.samples = fitter, source, size, samples
        self.range_step, self.bytes_per_model = range_step, bytes_per_model
        sample = _Sample(fitter, source, range_step, bytes_per_model)
        tile, self.middle = sample.choose()
        self.members = np.arange(len(source))
        self.fitted = Fitted.empty(fitter, cut_models(source, self.members, tile, range_step))
        self.fitted.adopt(sample.fits[tile])
        self.options = _Options(len(source))
        self.at_error: list[dict[float, list[CodedModel]]] = [{} for _ in self.members]
        self.coarse: dict[int, CodedModel] = {}
        self.polished: set[tuple[int, int]] = set()
        self.coarsest = max(0, self.middle + STEPS_AROUND[0])
        self.finest = self.middle + STEPS_AROUND[-1]
        few = len(self.fitted.cut) <= FEW_TILES
        for offset in STEPS_AROUND + (STEPS_BETWEEN if few else ()):
            if self.coarsest <= self.middle + offset <= fitter.last_step:
                self._offer(self.middle + offset)
        if samples is not None:
            self._offer_samples()

    def fill(self, budget: float) -> list[CodedModel]:
        """The best choice, in order, whose file takes at most `budget` bytes.

        Raises BudgetError with the least possible when even the coarsest coding takes more.
        """
        while self.coarsest > 0 and self.size(self.options.cheapest()) > budget:
            self.coarsest = max(0, self.coarsest - COARSER)
            self._offer(self.coarsest)
        if self.size(self.options.cheapest()) > budget:
            _add_one_tile(self.fitter, self.fitted, self.range_step, self.options)
            least = self.size(self.options.cheapest())
            if least > budget:
                models = len(self.source)
                raise BudgetError(
                    f"budget of {self.bytes_per_model:g} bytes per model: the least possible for "
                    f"these {models} models is {-(-least // models)} bytes per model "
                    f"({least} bytes in all)"
                )
        chosen = self.options.fill(budget, self.size)
        while self.finest < self.fitter.last_step and self.options.exhausted(chosen):
            self.finest = min(self.fitter.last_step, self.finest + FINER)
            self._offer(self.finest)
            chosen = self.options.fill(budget, self.size)
        while self._offer_coarse(chosen):
            chosen = self.options.fill(budget, self.size)
        for _ in range(POLISHINGS):
            if not self._polish(chosen):
                break
            chosen = self.options.fill(budget, self.size)
        return self._close_gaps(chosen, budget)

    def _close_gaps(self, chosen: list[CodedModel], budget: float) -> list[CodedModel]:
        """A choice that leaves less of the budget, by options off the hulls, and by samples of
        errors in between.
        """
        chosen = self.options.top_up(chosen, budget, self.size)
        between = self.samples is not None and len(self.source) <= FEW_MODELS
        for _ in range(GAP_TRIALS if between else 0):
            spare = 8.0 * (budget - self.size(chosen))
            if spare <= (1.0 - FILLED) * 8.0 * budget:
                break
            for i, model in enumerate(chosen):
                self._offer_between(i, model.bits + spare)
            chosen = self.options.top_up(chosen, budget, self.size)
        return chosen

    def _offer_between(self, i: int, bits: float) -> None:
        """Samples of model i of an error between those of more than `bits` and those of fewer, in
        the way that promises most at so many bits.
        """
        best, wanted = -np.inf, 0.0
        for way in range(max(map(len, self.at_error[i].values()), default=0)):
            own = {error: some[way % len(some)] for error, some in self.at_error[i].items()}
            dear = [error for error, model in own.items() if model.bits > bits]
            cheap = [error for error in own if error not in dear]
            if not dear:
                continue
            above, below = max(dear), min(cheap, default=FURTHER**2 * max(dear))
            worth = _worth(own[above])
            if cheap:
                part = (bits - own[below].bits) / (own[above].bits - own[below].bits)
                worth = part * worth + (1.0 - part) * _worth(own[below])
            if worth > best:
                best, wanted = worth, (above * below) ** 0.5
        if wanted > 0:
            self._offer_samples_of(i, wanted)

    def _offer(self, base: int) -> None:
        bases = np.full(len(self.source), base)
        self.options.add(code_members(self.fitter, self.fitted, self.members, bases, passes=0))

    def _offer_coarse(self, chosen: list[CodedModel]) -> bool:
        """Offer models that were left at a step far coarser than their next one a step between."""
        between = {}
        for i, model in enumerate(chosen):
            finer = [one.base for one in self.options.of[i] if one.base > model.base]
            if model.exact is None and finer and min(finer) - model.base > WIDE:
                between[i] = (model.base + min(finer)) // 2
        if between:
            members, bases = np.array(list(between)), np.array(list(between.values()))
            coded = code_members(self.fitter, self.fitted, members, bases, passes=0)
            for i, model in zip(between, coded, strict=True):
                self.options.of[i].append(model)
        return bool(between)

    def _polish(self, chosen: list[CodedModel]) -> bool:
        """Put integer descent, which takes long, to the latents that were chosen without it."""
        rough = [
            i
            for i, model in enumerate(chosen)
            if model.exact is None and model.tile == self.fitted.cut.tile
            if (i, model.base) not in self.polished
        ]
        if not rough:
            return False
        bases = np.array([chosen[i].base for i in rough])
        fine = code_members(self.fitter, self.fitted, np.array(rough), bases)
        for i, model in zip(rough, fine, strict=True):
            self.polished.add((i, model.base))
            self.options.of[i] = [one for one in self.options.of[i] if one is not chosen[i]]
            self.options.of[i].append(model)
        return True

    def _offer_samples(self) -> None:
        """Samples beside the coarsest latents, for models where they may come within reach."""
        assert self.samples is not None
        within = [self._within_reach(int(i)) for i in self.members]
        chosen = [int(i) for i in self.members if within[i]]
        if not chosen:
            return
        if self.coarsest > 0:
            self._offer(0)
        self._fit_coarse([i for i in chosen if self.fitted.cut.tilings[i].tiles > 1])
        for i in chosen:
            for error in within[i]:
                self._offer_samples_of(i, error)

    def _within_reach(self, i: int) -> list[float]:
        """Errors, the greatest first, of which model i's samples are short enough to be tried."""
        assert self.samples is not None
        found: list[float] = []
        for error in ERRORS_M_S:
            if self.samples.least(i, error) >= REACH * 8.0 * self.bytes_per_model:
                break
            found.append(error)
        self.fitter.on_progress(i + 1, len(self.source), "samples")
        return found

    def _fit_coarse(self, members: list[int]) -> None:
        """Latents of few large tiles at the coarsest step, for these models."""
        if members:
            cut = cut_models(self.source, np.array(members), COARSE_TILE, self.range_step)
            fitted = Fitted.empty(self.fitter, cut)
            bases = np.zeros(len(members), dtype=np.int64)
            coarse = code_members(self.fitter, fitted, np.arange(len(members)), bases, passes=0)
            self.coarse = dict(zip(members, coarse, strict=True))

    def _offer_samples_of(self, i: int, error: float) -> None:
        """Samples of model i of this error, beside its latent of fewest bits."""
        assert self.samples is not None
        plain = [model for model in self.options.of[i] if model.exact is None]
        latent = self.coarse.get(i) or min(plain, key=lambda model: model.bits)
        found = self.samples.beside(i, latent, error)
        self.options.of[i] += found
        self.at_error[i][error] = found


class Samples(Protocol):
    """What can be had of models' samples."""

    def least(self, i: int, error: float) -> float:
        """About the fewest bits of model i's samples of a root mean square error (m/s)."""
        ...

    def beside(self, i: int, latent: CodedModel, error: float) -> list[CodedModel]:
        """Model i with its latent and samples of about that error, in each of some ways."""
        ...


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
    psnr = model.psnr
    poor, beyond = min(0.0, psnr - POOR_DB), max(0.0, psnr - ENOUGH_DB)
    return min(psnr, ENOUGH_DB) + (BELOW - 1.0) * poor + BEYOND * beyond


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

    def top_up(self, chosen: Sequence[CodedModel], budget: float, size: Size) -> list[CodedModel]:
        """The choice with models, the most worthwhile first, in ways that what is left allows."""
        found = list(chosen)
        for _ in range(TOP_UPS):
            spare = 8.0 * (budget - size(found))
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
        self.fits: dict[int, Fitted] = {}

    def choose(self) -> tuple[int, int]:
        """The tile size with the best quality at the budget, and the base step that spends it.

        Sizes are tried from the native one on, smaller and greater, as long as they gain.
        """
        sizes = self._tile_sizes()
        start = int(np.argmin([abs(np.log(size / NATIVE_TILE)) for size in sizes]))
        base, most = self._spend(sizes[start])
        best = most, sizes[start], base
        for further in (sizes[start + 1 :], sizes[:start][::-1]):
            last = most
            for tile in further:
                base, quality = self._spend(tile)
                best = max(best, (quality, tile, base))
                if quality < last:
                    break
                last = quality
        _, tile, base = best
        return tile, base

    def _tile_sizes(self) -> list[int]:
        """Sizes that cut differently and leave a tile a sensible share, the greatest first; one of
        them at least.
        """
        sizes: dict[tuple[tuple[int, int], ...], tuple[int, float]] = {}
        for tile in sorted(TILE_SIZES, key=lambda t: t != NATIVE_TILE):
            tilings = [plan_model(self.source.models[int(i)], tile) for i in self.members]
            share = self.allowed / float(np.mean([t.tiles for t in tilings]))
            sizes.setdefault(tuple(t.tile_shape for t in tilings), (tile, share))
        good = [t for t, share in sizes.values() if LEAST_TILE_BITS <= share <= MOST_TILE_BITS]
        if good:
            return sorted(good, reverse=True)
        wanted = (LEAST_TILE_BITS * MOST_TILE_BITS) ** 0.5
        return [min(sizes.values(), key=lambda s: abs(np.log(s[1] / wanted)))[0]]

    def _spend(self, tile: int) -> tuple[int, float]:
        """The finest base step within the budget (0 when none is) and the mean PSNR it gives."""
        cut = cut_models(self.source, self.members, tile, self.range_step)
        fitted = self.fits[tile] = Fitted.empty(self.fitter, cut)
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
        trial = quantise_tiles(self.fitter, fitted, np.full(len(cut), base), tiles, passes=0)
        cost = member_mean(cut, tiles, trial.bits + TILE_OVERHEAD_BITS, positions)
        mse = member_mean(cut, tiles, trial.error, positions)
        bits = float((cost * np.diff(cut.first)).mean())
        return bits, float(np.mean([psnr_of_mse(m) for m in mse]))
