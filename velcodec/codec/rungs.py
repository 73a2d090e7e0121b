"""The default mode: every model at the default step, and more where that misses the quality floor.

A model under the floor climbs: a finer step, then smaller tiles, whichever reaches the floor in
the fewest bytes. On a large model the search looks at a few of its tiles only. Whatever is chosen
is then measured on the whole model; where the ladder ends below the floor, its best is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from velcodec.codec.coded import TILE_OVERHEAD_BITS, CodedModel, code_members
from velcodec.codec.cut import Cut, ModelSet, cut_models
from velcodec.codec.fitting import Fitted, Fitter, fit_error, quantise_tiles
from velcodec.coordinates import Float64
from velcodec.metrics import psnr_of_mse
from velcodec.tiling import Int64, plan

QUALITY_FLOOR_DB = 30.0
TILE_SIZES = (70, 48, 35, 24, 16, 12, 8)
SAMPLE_TILES = 24
"""A model with more tiles than this is judged by so many of them, spread evenly."""

BASE_OFFSETS = (-8, -6, -4, -2, 0, 2, 4, 6, 8)
"""Step indices tried, relative to the decoder's default."""

MARGIN_DB = 0.15
"""What a sample must show above the floor before the whole model is tried."""


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
    sizes = [plan(*source.models[i].shape, TILE_SIZES[0]).tiles for i in range(len(source))]
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
        last = fitter.last_step
        self.bases = np.unique(np.clip(np.array(BASE_OFFSETS) + fitter.base_step, 0, last))

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
                tiling = plan(*self.source.models[i].shape, tile)
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
        """For each member the coarsest base step that reaches the floor with tiles of this size."""
        cut = cut_models(self.source, members, tile, self.range_step)
        fitted = Fitted.empty(self.fitter, cut)
        positions = np.arange(len(members))
        tiles = sample_tiles(cut, positions)
        fitted.fit(self.fitter, tiles)
        limit = member_mean(cut, tiles, fit_error(self.fitter, fitted, tiles), positions)
        able = positions[[self._reaches(mse) for mse in limit]]
        return self._bisect(cut, fitted, able) if len(able) else {}

    def _bisect(self, cut: Cut, fitted: Fitted, able: Int64) -> dict[int, Rung]:
        low = np.zeros(len(able), dtype=np.int64)  # first base not yet ruled out
        high = np.full(len(able), len(self.bases))  # first base known to reach, or none
        bits = np.full(len(able), np.inf)
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low[open_] + high[open_]) // 2
            base = np.zeros(len(cut), dtype=np.int64)
            for position, step in zip(able[open_], self.bases[middle], strict=True):
                base[cut.tiles_of(int(position))] = step
            tiles = sample_tiles(cut, able[open_])
            trial = quantise_tiles(self.fitter, fitted, base, tiles)
            mse = member_mean(cut, tiles, trial.error, able[open_])
            cost = member_mean(cut, tiles, trial.bits + TILE_OVERHEAD_BITS, able[open_])
            good = np.array([self._reaches(m) for m in mse])
            count = np.diff(cut.first)[able[open_]]
            high[open_] = np.where(good, middle, high[open_])
            bits[open_] = np.where(good, cost * count, bits[open_])
            low[open_] = np.where(good, low[open_], middle + 1)
        return {
            int(cut.members[position]): Rung(cut.tile, int(self.bases[high[k]]), float(bits[k]))
            for k, position in enumerate(able)
            if high[k] < len(self.bases)
        }

    def _reaches(self, mse: float) -> bool:
        return psnr_of_mse(mse) >= self.floor_db + MARGIN_DB

    def _code(self, members: list[int], tile: int, rungs: dict[int, Rung]) -> dict[int, CodedModel]:
        """Code whole members with tiles of one size, one step finer while they miss the floor."""
        cut = cut_models(self.source, np.array(members), tile, self.range_step)
        fitted = Fitted.empty(self.fitter, cut)
        last = int(self.bases[-1])
        base = np.array([rungs[i].base if i in rungs else last for i in members])
        result: dict[int, CodedModel] = {}
        waiting = np.arange(len(members))
        while len(waiting):
            coded = code_members(self.fitter, fitted, waiting, base[waiting])
            result.update((members[p], c) for p, c in zip(waiting, coded, strict=True))
            missed = [p for p in waiting if result[members[p]].psnr < self.floor_db]
            waiting = np.array([p for p in missed if base[p] < last], dtype=np.int64)
            base[waiting] += 1
        return result


def member_mean(cut: Cut, tiles: Int64, value: Float64, positions: Int64) -> Float64:
    """Mean of `value` over the `tiles` of each member at `positions`."""
    owner = cut.owner[tiles]
    total = np.bincount(owner, value, minlength=len(cut.members))
    count = np.bincount(owner, minlength=len(cut.members))
    return (total / np.maximum(count, 1))[positions]
