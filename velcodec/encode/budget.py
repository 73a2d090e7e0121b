"""Spending a budget of bytes: which tile size, step and samples each model gets, so that all fit.

The tile size and the middle of the steps are found on a sample of the models; then every model is
quantised at a few steps around it, its samples are coded at several errors, and bytes go first
where they buy most PSNR. What is promised is the size of the real file; ideal code lengths only
guide the search.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from velcodec.decode.tiling import Int64
from velcodec.encode.coded import TILE_OVERHEAD_BITS, CodedModel, code_members
from velcodec.encode.fitting import Fitted, Fitter, quantise_tiles, rounded_bits
from velcodec.encode.options import FEW_MODELS, Options, Size, domains_of, total_worth, worth
from velcodec.encode.rungs import member_mean, sample_tiles
from velcodec.encode.target import LATENT_WORTH
from velcodec.encode.tiles import ModelSet, cut_models, plan_model
from velcodec.formats.errors import BudgetError
from velcodec.metrics import psnr_of_mse

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

GAP_TRIALS, FILLED = 6, 0.98
"""Of few models the samples are coded at errors in between, so many times, until so much of the
budget is spent: more models fill it by their differences.
"""

FURTHER, LEAST_ERROR = 1.5, 0.05
"""How many times greater an error is tried where samples of all others take too much, and its
square, how many times smaller where they take little; none that is not 0 is smaller.
"""

SHARING_MODELS = 64
"""Among so few models it is asked of each domain of samples whether it is worth its place in the
header.
"""

SPEND_TRIALS = 3


class Spending:
    """Some models coded in many ways, of which `fill` chooses what a budget allows.

    Before that `use` tells the real size of the whole file for some choice, and what samples of a
    model there are in place of a latent.
    """

    def __init__(
        self, fitter: Fitter, source: ModelSet, range_step: float, bytes_per_model: float
    ) -> None:
        self.fitter, self.source = fitter, source
        self.range_step, self.bytes_per_model = range_step, bytes_per_model
        sample = _Sample(fitter, source, range_step, bytes_per_model)
        tile, self.middle = sample.choose()
        self.members = np.arange(len(source))
        self.fitted = Fitted.empty(fitter, cut_models(source, self.members, tile, range_step))
        self.fitted.adopt(sample.fits[tile])
        self.options = Options(len(source))
        self.polished: set[tuple[int, int]] = set()
        self.coarsest = max(0, self.middle + STEPS_AROUND[0])
        self.finest = self.middle + STEPS_AROUND[-1]
        few = len(self.fitted.cut) <= FEW_TILES
        for offset in STEPS_AROUND + (STEPS_BETWEEN if few else ()):
            if self.coarsest <= self.middle + offset <= fitter.last_step:
                self._offer(self.middle + offset)

    def use(self, size: Size, samples: Samples | None) -> None:
        """Take these samples, in place of any that there were."""
        self.size, self.samples = size, samples
        self.options = self.options.in_domains(())
        self.at_error: list[dict[float, list[CodedModel]]] = [{} for _ in self.members]
        self.domains: set[int] | None = None
        if samples is not None:
            self._offer_samples()

    def fill(self, budget: float) -> list[CodedModel]:
        """The best choice, in order, whose file takes at most `budget` bytes.

        Raises BudgetError with the least possible when even the coarsest coding takes more.
        """
        while self.coarsest > 0 and self.size(self._cheapest(budget)) > budget:
            self.coarsest = max(0, self.coarsest - COARSER)
            self._offer(self.coarsest)
        if self.size(self._cheapest(budget)) > budget:
            _add_one_tile(self.fitter, self.fitted, self.range_step, self.options)
            least = self.size(self._cheapest(budget))
            if least > budget:
                models = len(self.source)
                raise BudgetError(
                    f"budget of {self.bytes_per_model:g} bytes per model: the least possible for "
                    f"these {models} models is {-(-least // models)} bytes per model "
                    f"({least} bytes in all)"
                )
        cheapest = self._cheapest(budget)
        fits = self.size(self.options.cheapest()) <= budget
        self.domains = None if fits else domains_of(cheapest)
        chosen = self._choose(budget)
        while self.finest < self.fitter.last_step and self.options.exhausted(chosen):
            self.finest = min(self.fitter.last_step, self.finest + FINER)
            self._offer(self.finest)
            chosen = self._choose(budget)
        while self._offer_coarse(chosen):
            chosen = self._choose(budget)
        chosen = self._leave_out_domains(chosen, budget)
        for _ in range(POLISHINGS):
            if not self._polish(chosen):
                break
            chosen = self._choose(budget)
        return self._prefer_latents(self._close_gaps(chosen, budget), budget)

    def _cheapest(self, budget: float) -> list[CodedModel]:
        """A choice of the fewest bytes: where that of the fewest bits takes more than the budget,
        with no samples, or those of one domain, if what the header says of the others costs more.
        """
        best = self.options.cheapest()
        least = self.size(best)
        if least <= budget:
            return best
        for domains in [set[int](), *({domain} for domain in sorted(domains_of(best)))]:
            trial = self.options.in_domains(domains).cheapest()
            size = self.size(trial)
            if size < least:
                best, least = trial, size
        return best

    def _prefer_latents(self, chosen: list[CodedModel], budget: float) -> list[CodedModel]:
        """The choice with latents in place of samples that are no better, where they take little
        more and the budget allows it.
        """
        found = list(chosen)
        for i, now in enumerate(chosen):
            if now.exact is None:
                continue
            latents = [
                model
                for model in self.options.of[i]
                if model.exact is None
                and model.mse <= now.mse
                and model.bits <= LATENT_WORTH * now.bits
            ]
            if latents:
                trial = [*found[:i], min(latents, key=lambda model: model.mse), *found[i + 1 :]]
                if self.size(trial) <= budget:
                    found = trial
        return found

    def _choose(self, budget: float) -> list[CodedModel]:
        return self._allowed().choose(budget, self.size)

    def _allowed(self) -> Options:
        return self.options if self.domains is None else self.options.in_domains(self.domains)

    def _leave_out_domains(self, chosen: list[CodedModel], budget: float) -> list[CodedModel]:
        """A choice at least as good, without domains of samples that are not worth their place in
        the header.
        """
        if len(self.source) > SHARING_MODELS:
            return chosen
        best = self.options.top_up(chosen, budget, self.size)
        alone = [{domain} for domain in self.options.domains()]
        best = self._best_within([set(), *alone], best, budget)
        while True:
            self.domains = domains_of(best)
            fewer = [self.domains - {domain} for domain in sorted(self.domains)]
            better = self._best_within(fewer, best, budget)
            if better is best:
                return best
            best = better

    def _best_within(
        self, trials: list[set[int]], best: list[CodedModel], budget: float
    ) -> list[CodedModel]:
        """`best`, or a choice with samples in some of these sets of domains that is worth more, or
        as much in fewer bytes.
        """
        least = self.size(best)
        rank = (total_worth(best) if least <= budget else -np.inf), -least
        for domains in trials:
            options = self.options.in_domains(domains)
            trial = options.top_up(options.choose(budget, self.size), budget, self.size)
            size = self.size(trial)
            if size <= budget and (total_worth(trial), -size) > rank:
                best, rank = trial, (total_worth(trial), -size)
        return best

    def _close_gaps(self, chosen: list[CodedModel], budget: float) -> list[CodedModel]:
        """A choice that leaves less of the budget, by options off the hulls, and by samples of
        errors in between.
        """
        chosen = self._allowed().top_up(chosen, budget, self.size)
        between = self.samples is not None and len(self.source) <= FEW_MODELS
        for _ in range(GAP_TRIALS if between else 0):
            spare = 8.0 * (budget - self.size(chosen))
            if spare <= (1.0 - FILLED) * 8.0 * budget:
                break
            for i, model in enumerate(chosen):
                self._offer_between(i, model.bits + spare)
            chosen = self._leave_out_domains(self.options.choose(budget, self.size), budget)
        return chosen

    def _offer_between(self, i: int, bits: float) -> None:
        """Samples of model i of an error between those of more than `bits` and those of fewer, in
        the way that promises most at so many bits.
        """
        known = self.at_error[i]
        ways = max(map(len, known.values()), default=0)
        trials = [
            _between({error: some[way % len(some)] for error, some in known.items()}, bits)
            for way in range(ways)
        ]
        promising = [trial for trial in trials if trial is not None]
        if promising:
            self._offer_samples_of(i, max(promising)[1])

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
            if model.bits <= chosen[i].bits:  # else the rough one may be all that the budget allows
                self.options.of[i] = [one for one in self.options.of[i] if one is not chosen[i]]
            self.options.of[i].append(model)
        return True

    def _offer_samples(self) -> None:
        """Samples of models where they may come within reach."""
        assert self.samples is not None
        for i in map(int, self.members):
            for error in self._within_reach(i):
                self._offer_samples_of(i, error)
            self.fitter.on_progress(i + 1, len(self.source), "samples")

    def _within_reach(self, i: int) -> list[float]:
        """Errors, the greatest first, of which model i's samples are short enough to be tried."""
        assert self.samples is not None
        found: list[float] = []
        for error in ERRORS_M_S:
            if self.samples.least(i, error) >= REACH * 8.0 * self.bytes_per_model:
                break
            found.append(error)
        return found

    def _offer_samples_of(self, i: int, error: float) -> None:
        """Samples of model i of this error."""
        assert self.samples is not None
        found = self.samples.of_error(i, error)
        self.options.of[i] += found
        self.at_error[i][error] = found


class Samples(Protocol):
    """What can be had of models' samples."""

    def least(self, i: int, error: float) -> float:
        """About the fewest bits of model i's samples of a root mean square error (m/s)."""
        ...

    def of_error(self, i: int, error: float) -> list[CodedModel]:
        """Samples of model i of about that error, in each of some ways."""
        ...


def _between(known: dict[float, CodedModel], bits: float) -> tuple[float, float] | None:
    """What samples of some error may be worth at `bits`, where those of these errors (m/s) are
    known, and that error; None where nothing lies between.
    """
    dear = [error for error, model in known.items() if model.bits > bits]
    cheap = [error for error in known if error not in dear]
    if not cheap:
        return worth(known[max(dear)]), FURTHER * max(dear)
    below = min(cheap)
    finer = below / FURTHER**2
    if not dear:
        return None if below == 0 else (worth(known[below]), finer if finer > LEAST_ERROR else 0.0)
    above = max(dear)
    if above == 0 and finer <= LEAST_ERROR:
        return None
    part = (bits - known[below].bits) / (known[above].bits - known[below].bits)
    promised = part * worth(known[above]) + (1.0 - part) * worth(known[below])
    return promised, finer if above == 0 else (above * below) ** 0.5


def _add_one_tile(fitter: Fitter, fitted: Fitted, range_step: float, options: Options) -> None:
    """Add the least that a model can take: the coarsest step, one tile for the whole of it."""
    cut = fitted.cut
    if len(cut) > len(cut.members):
        whole = max(max(model.shape) for model in cut.source.models)
        single = Fitted.empty(fitter, cut_models(cut.source, cut.members, whole, range_step))
        coarsest = np.zeros(len(cut.members), dtype=np.int64)
        options.add(code_members(fitter, single, np.arange(len(cut.members)), coarsest))


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
