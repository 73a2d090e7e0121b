"""Latents of a wanted PSNR: for every model the tile size and the step that take fewest bytes.

Each tile size is tried at several steps until the coarsest one that reaches the target is closed
in, large tiles first, and smaller ones while they save bytes. On a large model the search looks at
a few of its tiles only. Whatever is chosen is measured on the whole model; where no step of no tile
size reaches the target, the best that was found is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.tiling import Int64
from velcodec.encode.coded import TILE_OVERHEAD_BITS, CodedModel, assemble, code_members
from velcodec.encode.fitting import (
    Fitted,
    Fitter,
    Quantised,
    fit_error,
    log_step_ratio,
    quantise_tiles,
)
from velcodec.encode.tiles import Cut, ModelSet, cut_models, plan_model
from velcodec.geometry import Float64
from velcodec.metrics import mse_of_psnr, psnr_of_mse

TARGET_DB = 35.0
"""PSNR that every model gets where the user says nothing."""

TILE_SIZES = (280, 140, 70, 48, 35, 24, 16, 12, 8)
SAMPLE_TILES = 24
"""A model with more tiles than this is judged by so many of them, spread evenly."""

MARGIN_DB = 0.15
"""What a sample must show above the target before the whole model is tried."""

NEAR_ENOUGH_DB = 0.4
"""A step that is above the target by no more is not made coarser."""

DESCENTS, DESCENT_DB, STEP_DB = 4, 1.5, 0.65
"""Steps that are tried with integer descent; about how much it gains, and what a step makes."""

TRIALS = 5
"""Quantisations of a sample that a search for the right step may take."""

CLEARLY, TILE_BITS = 1.3, 400.0
"""Latents take clearly more bits than other means where it is so many times as much; a tile that
missed the target takes so many at least.
"""

FEW_BITS = 800.0
"""A tile that takes no more bits is not cut into smaller ones."""


@dataclass(frozen=True)
class Rung:
    """One way to code a model, with the bits it is expected to take; `model` is it, coded, where
    the search looked at all of its tiles.
    """

    tile: int
    base: int
    bits: float
    model: CodedModel | None = None


def encode_to_psnr(
    fitter: Fitter,
    source: ModelSet,
    range_step: float,
    target_db: float,
    enough: Float64 | None = None,
) -> list[CodedModel]:
    """Latents of every model, in order, at `target_db` or better where a latent reaches it.

    `enough` (models,) are bits for which other means reach it: smaller tiles are tried no further
    where latents take clearly more.
    """
    if enough is None:
        enough = np.full(len(source), np.inf)
    climb = _Climb(fitter, source, range_step, target_db, enough)
    coded = climb.run(np.arange(len(source)))
    return [coded[i] for i in range(len(source))]


def sample_tiles(cut: Cut, positions: Int64) -> Int64:
    """Tiles that stand for the members at `positions`: all of a few, some of many."""
    chosen = []
    for position in positions:
        numbers = cut.tiles_of(int(position))
        count = numbers.stop - numbers.start
        some = np.arange(count)
        if count > SAMPLE_TILES:
            some = np.unique(np.linspace(0, count - 1, SAMPLE_TILES).round().astype(np.int64))
        chosen.append(numbers.start + some)
    return np.concatenate(chosen)


class _Climb:
    """The search for the cheapest rung of every model."""

    def __init__(
        self,
        fitter: Fitter,
        source: ModelSet,
        range_step: float,
        target_db: float,
        enough: Float64,
    ) -> None:
        self.fitter, self.source, self.enough = fitter, source, enough
        self.range_step, self.target_db = range_step, target_db
        self.allowed = mse_of_psnr(target_db)
        self.fits: dict[int, Fitted] = {}
        self.closest: dict[int, CodedModel] = {}

    def run(self, members: Int64) -> dict[int, CodedModel]:
        """The final code of every member."""
        rungs = self._search(members)
        result = {i: rung.model for i, rung in rungs.items() if rung.model is not None}
        result |= {i: model for i, model in self.closest.items() if i not in rungs}
        waiting = [int(i) for i in members if int(i) not in result]
        finest = Rung(TILE_SIZES[-1], self.fitter.last_step, 0.0)
        for tile in TILE_SIZES:
            mine = [i for i in waiting if rungs.get(i, finest).tile == tile]
            if mine:
                result.update(self._code(mine, tile, rungs))
        return result

    def _search(self, members: Int64) -> dict[int, Rung]:
        """The cheapest rung of each member that, by its sample, reaches the target."""
        best: dict[int, Rung] = {}
        active = [int(i) for i in members]
        seen: dict[int, tuple[int, int]] = {}
        for tile in TILE_SIZES:
            fresh = []
            for i in active:
                tiling = plan_model(self.source.models[i], tile)
                if seen.get(i) != tiling.tile_shape:
                    fresh.append(i)
                seen[i] = tiling.tile_shape
            if not fresh:
                continue
            found = self._probe(np.array(fresh), tile)
            for i in fresh:
                tiles = plan_model(self.source.models[i], tile).tiles
                bits = found[i].bits if i in found else TILE_BITS * tiles
                if bits > CLEARLY * self.enough[i] and i not in found:
                    active.remove(i)
            for i, rung in found.items():
                tiles = plan_model(self.source.models[i], tile).tiles
                dearer = i in best and rung.bits >= best[i].bits
                if dearer or rung.bits <= FEW_BITS * tiles or rung.bits > CLEARLY * self.enough[i]:
                    active.remove(i)
                if not dearer:
                    best[i] = rung
            self.fitter.on_progress(len(members) - len(active), len(members), "search")
            if not active:
                break
        return best

    def _probe(self, members: Int64, tile: int) -> dict[int, Rung]:
        """For each member about the coarsest base step that reaches the target with these tiles."""
        cut = cut_models(self.source, members, tile, self.range_step)
        fitted = self.fits[tile] = Fitted.empty(self.fitter, cut)
        positions = np.arange(len(members))
        tiles = sample_tiles(cut, positions)
        fitted.fit(self.fitter, tiles)
        limit = member_mean(cut, tiles, fit_error(self.fitter, fitted, tiles), positions)
        search = _StepSearch(self.fitter, fitted, limit, self.allowed)
        for _ in range(TRIALS):
            open_ = positions[search.unfinished()]
            if not len(open_):
                break
            search.advance(open_)
        search.polish()
        for p, model in search.missed.items():
            i = int(members[p])
            if i not in self.closest or model.mse < self.closest[i].mse:
                self.closest[i] = model
        return {
            int(members[p]): Rung(
                tile, int(search.reached[p]), float(search.bits[p]), search.coded.get(int(p))
            )
            for p in positions
            if np.isfinite(search.bits[p])
        }

    def _code(self, members: list[int], tile: int, rungs: dict[int, Rung]) -> dict[int, CodedModel]:
        """Code whole members with tiles of one size, one step finer while they miss the target."""
        fitted = self._fitted(members, tile)
        place = {int(i): k for k, i in enumerate(fitted.cut.members)}
        finest = self.fitter.last_step
        base = np.array([rungs[i].base if i in rungs else finest for i in members])
        result: dict[int, CodedModel] = {}
        waiting = np.arange(len(members))
        while len(waiting):
            positions = np.array([place[members[w]] for w in waiting])
            coded = code_members(self.fitter, fitted, positions, base[waiting])
            result.update((members[w], c) for w, c in zip(waiting, coded, strict=True))
            missed = np.array([result[members[w]].mse > self.allowed for w in waiting])
            waiting = waiting[missed & (base[waiting] < finest)]
            base[waiting] += 1
        return result

    def _fitted(self, members: list[int], tile: int) -> Fitted:
        """The fits of the search, where it looked at all these members with such tiles."""
        known = self.fits.get(tile)
        if known is not None and set(members) <= set(known.cut.members.tolist()):
            return known
        cut = cut_models(self.source, np.array(members), tile, self.range_step)
        return Fitted.empty(self.fitter, cut)


class _StepSearch:
    """For members of one cut, the coarsest base step that reaches an error, closed in from both
    sides: `failed` is the finest known to miss it, `reached` the coarsest known to reach it, with
    its `bits`. `coded` and `missed` are the models at both, where all of their tiles are looked at.
    `limit` is their error without quantisation.
    """

    def __init__(self, fitter: Fitter, fitted: Fitted, limit: Float64, allowed: float) -> None:
        self.fitter, self.fitted, self.limit, self.allowed = fitter, fitted, limit, allowed
        self.failed = np.full(len(limit), -1)
        self.reached = np.full(len(limit), fitter.last_step + 1)
        self.next = np.full(len(limit), fitter.base_step)
        self.bits = np.full(len(limit), np.inf)
        self.near = np.zeros(len(limit), dtype=bool)
        self.coded: dict[int, CodedModel] = {}
        self.missed: dict[int, CodedModel] = {}

    def unfinished(self) -> NDArray[np.bool_]:
        """Which members are worth another trial: those never tried, and those that could reach it
        and are not closed in.
        """
        fresh = (self.failed < 0) & ~np.isfinite(self.bits)
        open_ = (self.limit < self.allowed) & (self.failed + 1 < self.reached) & ~self.near
        found: NDArray[np.bool_] = fresh | open_
        return found

    def advance(self, positions: Int64) -> None:
        """Quantise the sample of these members once more and move one of their ends."""
        cut = self.fitted.cut
        tiles = sample_tiles(cut, positions)
        trial = quantise_tiles(self.fitter, self.fitted, self.next[cut.owner], tiles, passes=0)
        mse = member_mean(cut, tiles, trial.error, positions)
        bits = member_mean(cut, tiles, trial.bits + TILE_OVERHEAD_BITS, positions)
        bits *= np.diff(cut.first)[positions]
        margin = mse_of_psnr(MARGIN_DB, 1.0)
        models: dict[int, CodedModel] = {}
        row = 0
        for k, position in enumerate(positions.tolist()):
            count = len(sample_tiles(cut, np.array([position])))
            if count == cut.tilings[position].tiles:
                model = self._assemble(trial, slice(row, row + count), position)
                models[position], mse[k] = model, model.mse
            else:
                mse[k] /= margin
            row += count
        good, now = mse <= self.allowed, self.next[positions]
        self.reached[positions] = np.where(good, now, self.reached[positions])
        self.failed[positions] = np.where(good, self.failed[positions], now)
        self.bits[positions] = np.where(good, bits, self.bits[positions])
        self.near[positions] = good & (mse >= self.allowed * mse_of_psnr(NEAR_ENOUGH_DB, 1.0))
        for position, reached in zip(positions.tolist(), good, strict=True):
            if position in models:
                (self.coded if reached else self.missed)[position] = models[position]
        self._aim(positions, mse)

    def polish(self) -> None:
        """Put integer descent, which takes long and makes coarser steps do, to the models that
        reached the error without it: at steps as coarse as they can be. Amortised latents are not
        worth it.
        """
        if self.fitter.method == "amortised":
            return
        failed = dict.fromkeys(sorted(self.coded), -1)
        tried: set[int] = set()
        waiting = list(failed)
        for _ in range(DESCENTS):
            waiting = [p for p in waiting if self.reached[p] - 1 > failed[p]]
            if not waiting:
                break
            bases = [self._coarser(p, failed[p], p in tried) for p in waiting]
            for position, base, good in self._descend(waiting, bases):
                if good:
                    self.reached[position] = base
                    tried.add(position)
                else:
                    failed[position] = base
        rest = [position for position in failed if position not in tried]
        if rest:
            self._descend(rest, [int(self.reached[position]) for position in rest])

    def _descend(self, positions: list[int], bases: list[int]) -> list[tuple[int, int, bool]]:
        """Quantise members with integer descent, and keep what reaches the error in fewer bits:
        each position, its base step, and whether the error is reached.
        """
        models = code_members(self.fitter, self.fitted, np.array(positions), np.array(bases))
        for position, model in zip(positions, models, strict=True):
            if model.mse <= self.allowed and model.bits < self.coded[position].bits:
                self.coded[position], self.bits[position] = model, model.bits
        good = [model.mse <= self.allowed for model in models]
        return list(zip(positions, bases, good, strict=True))

    def _coarser(self, position: int, failed: int, tried: bool) -> int:
        """The step, coarser than the coarsest known to do, that descent is expected to bring to the
        error.
        """
        spare = psnr_of_mse(self.coded[position].mse) - psnr_of_mse(self.allowed)
        spare += 0.0 if tried else DESCENT_DB
        return max(failed + 1, int(self.reached[position]) - max(1, int(spare / STEP_DB)), 0)

    def _assemble(self, trial: Quantised, rows: slice, position: int) -> CodedModel:
        own = Quantised(
            trial.tiles[rows],
            trial.step[rows],
            trial.coefficients[rows],
            trial.error[rows],
            trial.bits[rows],
        )
        base = self.next[[position]]
        return assemble(self.fitter, self.fitted, own, np.array([position]), base)[0]

    def _aim(self, positions: Int64, mse: Float64) -> None:
        """Choose the next step: what quantisation adds to the error goes about with its square."""
        added = np.maximum(mse - self.limit[positions], 1e-3 * self.allowed)
        room = np.maximum(self.allowed - self.limit[positions], 1e-3 * self.allowed)
        moves = np.log(added / room) / (2.0 * log_step_ratio(self.fitter.decoder.steps))
        wanted = self.next[positions] + np.ceil(moves - 0.25).astype(np.int64)
        self.next[positions] = np.clip(
            wanted, self.failed[positions] + 1, self.reached[positions] - 1
        )


def member_mean(cut: Cut, tiles: Int64, value: Float64, positions: Int64) -> Float64:
    """Mean of `value` over the `tiles` of each member at `positions`."""
    owner = cut.owner[tiles]
    total = np.bincount(owner, value, minlength=len(cut.members))
    count = np.bincount(owner, minlength=len(cut.members))
    return (total / np.maximum(count, 1))[positions]
