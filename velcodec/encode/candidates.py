"""Every way to code the models of a group, with its rate and distortion: latents of a tile size and
a step, samples of an error.

Latents are fitted once for each tile size. All rates and errors that the searches compare are made
here; of a large model a few tiles stand for the whole until it is coded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from velcodec.decode.tiling import Int64, Tiling
from velcodec.encode.coded import TILE_OVERHEAD_BITS, CodedModel, assemble
from velcodec.encode.fitting import Fitted, Fitter, fit_error, quantise_tiles
from velcodec.encode.mean_error import MeanErrorCoder
from velcodec.encode.samples import SampleCoder
from velcodec.encode.tiles import Cut, ModelSet, cut_models, plan_model
from velcodec.geometry import Float64
from velcodec.metrics import mse_of_psnr
from velcodec.quantise import DESCENT_PASSES

SAMPLE_TILES = 24
"""A model with more tiles than this is judged by so many of them, spread evenly."""

MARGIN_DB = 0.15
"""A sample of tiles shows so much less error than the whole model may have."""


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
        self.samples = None if coder is None else MeanErrorCoder(coder)

    @property
    def descends(self) -> bool:
        """Whether integer descent serves: amortised latents are not worth its time."""
        return self.fitter.method != "amortised"

    def tiling(self, i: int, tile: int) -> Tiling:
        """Model i cut into tiles of about `tile` samples."""
        return plan_model(self.source.models[i], tile)

    def floor(self, members: list[int], tile: int) -> dict[int, float]:
        """Each member's mean squared error, (m/s)^2, without quantisation."""
        fitted, positions = self._fitted(members, tile)
        tiles = sample_tiles(fitted.cut, positions)
        fitted.fit(self.fitter, tiles)
        errors = fit_error(self.fitter, fitted, tiles)
        means = _member_mean(fitted.cut, tiles, errors, positions)
        return dict(zip(members, means.tolist(), strict=True))

    def estimated(
        self, steps: Mapping[int, int], tile: int, descent: bool = False
    ) -> dict[int, Candidate]:
        """A latent of each member at its step, of a large one by some of its tiles."""
        return self._latents(steps, tile, descent, whole=False)

    def latents(
        self, steps: Mapping[int, int], tile: int, descent: bool = False
    ) -> dict[int, CodedModel]:
        """A latent of each member at its step, every tile coded, with integer descent or not."""
        found = self._latents(steps, tile, descent, whole=True)
        return {i: each.model for i, each in found.items() if each.model is not None}

    def _latents(
        self, steps: Mapping[int, int], tile: int, descent: bool, whole: bool
    ) -> dict[int, Candidate]:
        members = sorted(steps)
        fitted, positions = self._fitted(members, tile)
        cut = fitted.cut
        base = np.zeros(len(cut), dtype=np.int64)
        for i, position in zip(members, positions.tolist(), strict=True):
            base[cut.tiles_of(position)] = steps[i]
        tiles = _all_tiles(cut, positions) if whole else sample_tiles(cut, positions)
        fitted.fit(self.fitter, tiles)
        passes = DESCENT_PASSES if descent and self.descends else 0
        coded = quantise_tiles(self.fitter, fitted, base, tiles, passes)
        errors = _member_mean(cut, tiles, coded.error, positions) * mse_of_psnr(-MARGIN_DB, 1.0)
        rates = _member_mean(cut, tiles, coded.bits + TILE_OVERHEAD_BITS, positions)
        found, row = {}, 0
        for k, (i, position) in enumerate(zip(members, positions.tolist(), strict=True)):
            count, step = cut.tilings[position].tiles, steps[i]
            rows = slice(row, row + (count if whole else min(count, SAMPLE_TILES)))
            row = rows.stop
            if rows.stop - rows.start == count:
                here = np.array([position]), np.array([step])
                (model,) = assemble(self.fitter, fitted, coded.part(rows), *here)
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
