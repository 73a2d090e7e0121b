"""The default mode: every model at the default step, and more where that misses the quality floor.

A model under the floor climbs: a finer step, then smaller tiles, whichever reaches the floor in
the fewest bytes. On a large model the search looks at a few of its tiles only. Whatever is chosen
is then measured on the whole model; where the ladder ends below the floor, its best is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from velcodec.codec.coded import TILE_OVERHEAD_BITS, CodedModel, code_members
from velcodec.codec.cut import Cut, ModelSet, cut_models, plan_model
from velcodec.codec.fitting import (
    Fitted,
    Fitter,
    fit_error,
    log_step_ratio,
    quantise_tiles,
)
from velcodec.coordinates import Float64
from velcodec.metrics import mse_of_psnr
from velcodec.tiling import Int64

QUALITY_FLOOR_DB = 30.0
TILE_SIZES = (70, 48, 35, 24, 16, 12, 8)
SAMPLE_TILES = 24
"""A model with more tiles than this is judged by so many of them, spread evenly."""

COARSER, FINER = 8, 12
"""How far from the decoder's default the step index may go."""

MARGIN_DB = 0.15
"""What a sample must show above the floor before the whole model is tried."""

TRIALS = 4
"""Quantisations of a sample that a search for the right step may take."""


@dataclass(frozen=True)
class Rung:
    """One way to code a model, with the bits it is expected to take."""

    tile: int
    base: int
    bits: float


def encode_to_floor(
    fitter: Fitter, source: ModelSet, range_step: float, floor_db: float = QUALITY_FLOOR_DB
) -> list[CodedModel]:
    """Code every model, in order, at `floor_db` or better where the ladder reaches it."""
    sizes = [plan_model(source.models[i], TILE_SIZES[0]).tiles for i in range(len(source))]
    coded: dict[int, CodedModel] = {}
    small = np.flatnonzero(np.array(sizes) <= SAMPLE_TILES)
    if len(small):
        fitted = Fitted.empty(fitter, cut_models(source, small, TILE_SIZES[0], range_step))
        bases = np.full(len(small), fitter.base_step)
        first = code_members(fitter, fitted, np.arange(len(small)), bases)
        coded.update(zip(small.tolist(), first, strict=True))
    climbing = [i for i in range(len(source)) if i not in coded or coded[i].psnr < floor_db]
    if climbing:
        climb = _Climb(fitter, source, range_step, floor_db)
        coded.update(climb.run(np.array(climbing), coded))
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
    """The search for the cheapest rung of models that miss the floor."""

    def __init__(self, fitter: Fitter, source: ModelSet, range_step: float, floor_db: float):
        self.fitter, self.source = fitter, source
        self.range_step, self.floor_db = range_step, floor_db
        self.allowed = mse_of_psnr(floor_db + MARGIN_DB)
        self.coarsest = max(0, fitter.base_step - COARSER)
        self.finest = min(fitter.last_step, fitter.base_step + FINER)
        self.fits: dict[int, Fitted] = {}

    def run(self, members: Int64, coded: dict[int, CodedModel]) -> dict[int, CodedModel]:
        """The final code of every member; `coded` holds the ones that missed."""
        rungs = self._search(members)
        result: dict[int, CodedModel] = {}
        finest = TILE_SIZES[-1]
        for tile in TILE_SIZES:
            mine = [int(i) for i in members if rungs.get(int(i), Rung(finest, 0, 0)).tile == tile]
            waiting = [i for i in mine if i not in result]
            if waiting:
                result.update(self._code(waiting, tile, rungs))
        for i, model in coded.items():
            if i in result and result[i].psnr < self.floor_db and model.psnr > result[i].psnr:
                result[i] = model
        return result

    def _search(self, members: Int64) -> dict[int, Rung]:
        """The cheapest rung of each member that, by its sample, reaches the floor."""
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
            for i, rung in found.items():
                if i in best and rung.bits >= best[i].bits:
                    active.remove(i)
                else:
                    best[i] = rung
            self.fitter.on_progress(len(members) - len(active), len(members), "search")
            if not active:
                break
        return best

    def _probe(self, members: Int64, tile: int) -> dict[int, Rung]:
        """For each member about the coarsest base step that reaches the floor with these tiles."""
        cut = cut_models(self.source, members, tile, self.range_step)
        fitted = self.fits[tile] = Fitted.empty(self.fitter, cut)
        positions = np.arange(len(members))
        tiles = sample_tiles(cut, positions)
        fitted.fit(self.fitter, tiles)
        limit = member_mean(cut, tiles, fit_error(self.fitter, fitted, tiles), positions)
        search = _StepSearch(self, fitted, limit)
        for _ in range(TRIALS):
            open_ = positions[(limit < self.allowed) & (search.failed + 1 < search.reached)]
            if not len(open_):
                break
            search.advance(open_)
        return {
            int(members[p]): Rung(tile, int(search.reached[p]), float(search.bits[p]))
            for p in positions
            if np.isfinite(search.bits[p])
        }

    def _code(self, members: list[int], tile: int, rungs: dict[int, Rung]) -> dict[int, CodedModel]:
        """Code whole members with tiles of one size, one step finer while they miss the floor."""
        fitted = self._fitted(members, tile)
        place = {int(i): k for k, i in enumerate(fitted.cut.members)}
        base = np.array([rungs[i].base if i in rungs else self.finest for i in members])
        result: dict[int, CodedModel] = {}
        waiting = np.arange(len(members))
        while len(waiting):
            positions = np.array([place[members[w]] for w in waiting])
            coded = code_members(self.fitter, fitted, positions, base[waiting])
            result.update((members[w], c) for w, c in zip(waiting, coded, strict=True))
            missed = np.array([result[members[w]].psnr < self.floor_db for w in waiting])
            waiting = waiting[missed & (base[waiting] < self.finest)]
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
    """For members of one cut, the coarsest base step that reaches the floor, closed in from both
    sides: `failed` is the finest known to miss it, `reached` the coarsest known to reach it.
    """

    def __init__(self, climb: _Climb, fitted: Fitted, limit: Float64) -> None:
        self.climb, self.fitted, self.limit = climb, fitted, limit
        self.failed = np.full(len(limit), climb.coarsest - 1)
        self.reached = np.full(len(limit), climb.finest + 1)
        self.next = np.full(len(limit), climb.fitter.base_step)
        self.bits = np.full(len(limit), np.inf)

    def advance(self, positions: Int64) -> None:
        """Quantise the sample of these members once more and move one of their ends."""
        cut, allowed = self.fitted.cut, self.climb.allowed
        tiles = sample_tiles(cut, positions)
        trial = quantise_tiles(self.climb.fitter, self.fitted, self.next[cut.owner], tiles)
        mse = member_mean(cut, tiles, trial.error, positions)
        bits = member_mean(cut, tiles, trial.bits + TILE_OVERHEAD_BITS, positions)
        good, now = mse <= allowed, self.next[positions]
        self.reached[positions] = np.where(good, now, self.reached[positions])
        self.failed[positions] = np.where(good, self.failed[positions], now)
        whole = bits * np.diff(cut.first)[positions]
        self.bits[positions] = np.where(good, whole, self.bits[positions])
        # What quantisation adds to the error goes about with the square of the step.
        added = np.maximum(mse - self.limit[positions], 1e-3 * allowed)
        room = np.maximum(allowed - self.limit[positions], 1e-3 * allowed)
        moves = np.log(added / room) / (2.0 * log_step_ratio(self.climb.fitter.decoder.steps))
        wanted = now + np.ceil(moves - 0.25).astype(np.int64)
        self.next[positions] = np.clip(
            wanted, self.failed[positions] + 1, self.reached[positions] - 1
        )


def member_mean(cut: Cut, tiles: Int64, value: Float64, positions: Int64) -> Float64:
    """Mean of `value` over the `tiles` of each member at `positions`."""
    owner = cut.owner[tiles]
    total = np.bincount(owner, value, minlength=len(cut.members))
    count = np.bincount(owner, minlength=len(cut.members))
    return (total / np.maximum(count, 1))[positions]
