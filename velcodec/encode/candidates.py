"""Every way to code the models of a group, with its rate and distortion: latents of a tile size and
a step, samples of an error.

Latents are fitted once for each tile size. All rates and errors that the searches compare are made
here; of a large model a few tiles stand for the whole until it is coded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from velcodec.decode.tiling import Tiling
from velcodec.encode.coded import TILE_OVERHEAD_BITS, CodedModel, assemble
from velcodec.encode.fitting import (
    Fitted,
    Fitter,
    Quantised,
    guess_errors,
    quantise_tiles,
    quantise_tiles_within,
)
from velcodec.encode.mean_error import MeanErrorCoder
from velcodec.encode.samples import SampleCoder
from velcodec.encode.tiles import Cut, ModelSet, cut_models, plan_model
from velcodec.formats.arrays import Float64, Int64
from velcodec.metrics import mse_of_psnr, psnr_of_mse
from velcodec.quantise import Passes

SAMPLE_TILES = 24
"""A model with more tiles than this is judged by so many of them, spread evenly."""

MARGIN_DB = 0.15
"""A sample of tiles shows so much less error than the whole model may have."""

BRIEF = 2
"""Passes of integer descent where only a rate or a rough error is asked for, at most."""

STEP_AT_35_DB, DB_PER_STEP = 15.0, 1.0
"""Base step at which most models of one tile have 35 dB, and what a finer step adds."""

GUESSED_SIZES = (280, 70)
"""Sizes of tiles by which the bits of latents are foretold."""

GUESS_BITS, GUESS_POWER, GUESS_REACHES = 215.0, 0.46, 8.0
"""Bits that a tile takes if the encoder's guess has the error asked; the power with which they grow
with that error; and how far off guesses may be that reach it. Of published models.
"""

UNEVEN = 3.0
"""A tile may take so many times an even share of a model's bits."""

FIT_FINER = 5
"""A fit whose prior has the weight of a step finer by so much leaves room for rounding."""


def expected_step(fitter: Fitter, mse: float) -> int:
    """About the base step at which models have a mean squared error, (m/s)^2."""
    step = round(STEP_AT_35_DB + (psnr_of_mse(mse) - 35.0) / DB_PER_STEP)
    return min(max(step, 0), fitter.last_step)


@dataclass(frozen=True)
class Candidate:
    """A latent of a model at one tile size and step: its rate in bits and mean squared error,
    (m/s)^2, estimated where not all of its tiles are coded, and there is no `model`.
    """

    tile: int
    step: int
    bits: float
    mse: float
    model: CodedModel | None


class Candidates:
    """Codes the models of a group in any way that a search asks for.

    `samples` makes them as samples; None where only latents may serve.
    """

    def __init__(
        self, fitter: Fitter, source: ModelSet, range_step: float, coder: SampleCoder | None
    ) -> None:
        self.fitter, self.source, self.range_step = fitter, source, range_step
        self._fits: dict[int, Fitted] = {}
        self.use(coder)

    def __len__(self) -> int:
        return len(self.source)

    def use(self, coder: SampleCoder | None) -> None:
        """Make samples by this coder from now on."""
        self.coder = coder
        self.samples = None if coder is None else MeanErrorCoder(coder, self.fitter.effort)

    def tiling(self, i: int, tile: int) -> Tiling:
        """Model i cut into tiles of about `tile` samples."""
        return plan_model(self.source.models[i], tile)

    def foretold(self, members: list[int], mse: float) -> dict[int, float]:
        """About how many bits the latents of each member take within a mean squared error,
        (m/s)^2, by the error of the encoder's guess; infinite where none reaches it, 0 without an
        encoder.
        """
        if self.fitter.encoder is None:
            return dict.fromkeys(members, 0.0)
        found, shapes = dict.fromkeys(members, inf), dict[int, tuple[int, int]]()
        for tile in GUESSED_SIZES:
            own = {i: self.tiling(i, tile).tile_shape for i in members}
            anew = [i for i in members if shapes.get(i) != own[i]]
            shapes = own
            if not anew:
                continue
            cut = cut_models(self.source, np.array(anew), tile, self.range_step)
            positions = np.arange(len(anew))
            tiles = sample_tiles(cut, positions)
            off = guess_errors(self.fitter, cut, tiles) / mse
            bits = GUESS_BITS * off**GUESS_POWER + TILE_OVERHEAD_BITS
            bits[off > GUESS_REACHES] = inf
            for k, rate in enumerate(_member_mean(cut, tiles, bits, positions)):
                count = cut.tilings[k].tiles
                found[anew[k]] = min(found[anew[k]], count * float(rate))
        return found

    def within(
        self, members: list[int], tile: int, mse: float, most: Mapping[int, float]
    ) -> dict[int, Candidate]:
        """Of each member the latent of the fewest bits that is found within a mean squared error,
        (m/s)^2, or the closest to it; of a large model by some of its tiles. One that takes more
        than `most` bits, and has not come so close, is improved no further.
        """
        fitted, positions, tiles = self._ready(members, tile, False, mse)
        base = expected_step(self.fitter, mse)
        enough = np.full(len(fitted.cut), inf)
        for i, position in zip(members, positions.tolist(), strict=True):
            count = fitted.cut.tilings[position].tiles
            share = most[i] if count == 1 else UNEVEN * most[i] / count
            enough[fitted.cut.tiles_of(position)] = share - TILE_OVERHEAD_BITS
        coded = quantise_tiles_within(self.fitter, fitted, base, mse, tiles, enough)
        return self._found(members, tile, fitted, positions, coded, dict.fromkeys(members, base))

    def wholly_within(self, i: int, tile: int, mse: float) -> CodedModel:
        """As `within`, of every tile of model i."""
        fitted, positions, tiles = self._ready([i], tile, True, mse)
        base = expected_step(self.fitter, mse)
        coded = quantise_tiles_within(self.fitter, fitted, base, mse, tiles)
        model = self._found([i], tile, fitted, positions, coded, {i: base})[i].model
        assert model is not None
        return model

    def estimated(self, steps: Mapping[int, int], tile: int) -> dict[int, Candidate]:
        """A latent of each member at its step, briefly improved; of a large one by some of its
        tiles.
        """
        brief = Passes(min(BRIEF, self.fitter.passes.views), 0)
        return self._at_steps(steps, tile, brief, whole=False)

    def latents(self, steps: Mapping[int, int], tile: int) -> dict[int, CodedModel]:
        """A latent of each member at its step, every tile coded."""
        found = self._at_steps(steps, tile, None, whole=True)
        return {i: each.model for i, each in found.items() if each.model is not None}

    def _at_steps(
        self, steps: Mapping[int, int], tile: int, passes: Passes | None, whole: bool
    ) -> dict[int, Candidate]:
        members = sorted(steps)
        fitted, positions, tiles = self._ready(members, tile, whole, None)
        base = np.zeros(len(fitted.cut), dtype=np.int64)
        for i, position in zip(members, positions.tolist(), strict=True):
            base[fitted.cut.tiles_of(position)] = steps[i]
        coded = quantise_tiles(self.fitter, fitted, base, tiles, passes)
        return self._found(members, tile, fitted, positions, coded, steps)

    def _ready(
        self, members: list[int], tile: int, whole: bool, mse: float | None
    ) -> tuple[Fitted, Int64, Int64]:
        """The fits of the members' tiles, or of those that stand for a large member; where the
        members stand among the fitted ones; and the numbers of the tiles.
        """
        fitted, positions = self._fitted(members, tile)
        cut = fitted.cut
        tiles = _all_tiles(cut, positions) if whole else sample_tiles(cut, positions)
        base = None
        if mse is not None:
            base = min(expected_step(self.fitter, mse) + FIT_FINER, self.fitter.last_step)
        fitted.fit(self.fitter, tiles, base, mse)
        return fitted, positions, tiles

    def _found(
        self,
        members: list[int],
        tile: int,
        fitted: Fitted,
        positions: Int64,
        coded: Quantised,
        steps: Mapping[int, int],
    ) -> dict[int, Candidate]:
        """The members' candidates from their quantised tiles, all or some of each."""
        cut = fitted.cut
        errors = _member_mean(cut, coded.tiles, coded.error, positions) * mse_of_psnr(-MARGIN_DB, 1)
        rates = _member_mean(cut, coded.tiles, coded.bits + TILE_OVERHEAD_BITS, positions)
        owners, found = cut.owner[coded.tiles], {}
        for k, (i, position) in enumerate(zip(members, positions.tolist(), strict=True)):
            count, step = cut.tilings[position].tiles, steps[i]
            (rows,) = np.nonzero(owners == position)
            if len(rows) == count:
                here = np.array([position]), np.array([step])
                part = coded.part(slice(int(rows[0]), int(rows[-1]) + 1))
                (model,) = assemble(self.fitter, fitted, part, *here)
                found[i] = Candidate(tile, step, model.bits, model.mse, model)
            else:
                rate = count * float(rates[k])
                found[i] = Candidate(tile, step, rate, float(errors[k]), None)
        return found

    def _fitted(self, members: list[int], tile: int) -> tuple[Fitted, Int64]:
        """The fits of tiles of one size, grown by members not yet known, and where these stand."""
        known = self._fits.get(tile)
        everyone = set(members) | set([] if known is None else known.cut.members.tolist())
        if known is None or len(everyone) > len(known.cut.members):
            cut = cut_models(self.source, np.array(sorted(everyone)), tile, self.range_step)
            grown = Fitted.empty(self.fitter, cut)
            if known is not None:
                grown.adopt(known)
            known = self._fits[tile] = grown
        return known, np.searchsorted(known.cut.members, members)


def _all_tiles(cut: Cut, positions: Int64) -> Int64:
    numbers = [np.arange(len(cut))[cut.tiles_of(int(position))] for position in positions]
    return np.concatenate(numbers)


def sample_tiles(cut: Cut, positions: Int64) -> Int64:
    """Tiles that stand for the members at `positions`: all of a few, some of many."""
    chosen = []
    for position in positions:
        numbers = cut.tiles_of(int(position))
        count = numbers.stop - numbers.start
        some = np.linspace(0, count - 1, min(count, SAMPLE_TILES)).round().astype(np.int64)
        chosen.append(numbers.start + some)
    return np.concatenate(chosen)


def _member_mean(cut: Cut, tiles: Int64, value: Float64, positions: Int64) -> Float64:
    """Mean of `value` over the `tiles` of each member at `positions`."""
    owner = cut.owner[tiles]
    total = np.bincount(owner, value, minlength=len(cut.members))
    count = np.bincount(owner, minlength=len(cut.members))
    return (total / np.maximum(count, 1))[positions]
