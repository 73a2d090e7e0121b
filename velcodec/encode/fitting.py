"""Tiles to coefficients: latents are fitted once, then quantised at every step that is tried.

Tiles of equal size are fitted in groups, which depend on the models alone. Errors are in m/s. The
only rate known here is the ideal code length of the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.decode.stored import tables_of
from velcodec.decode.torch_tiles import render_tiles, tile_values
from velcodec.decoder import Decoder, load_encoder
from velcodec.effort import DEFAULT_EFFORT, LEVELS, Effort, effort_of
from velcodec.encode.tiles import Cut
from velcodec.fit import Encoder, LMOptions, Method, amortised_latents, fit_latents
from velcodec.fit.lm import squared_error
from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.latent_coding.stream import tile_bits
from velcodec.geometry import grid_points
from velcodec.metrics import DATA_RANGE
from velcodec.parallel import spread
from velcodec.progress import Progress, no_progress
from velcodec.quantise import Expansion, Passes, dequantise, expand, quantise, quantise_within
from velcodec.quantise.expansion import joined

FIT_POINTS = 640
"""Points of a tile that a pass of the fit sees."""

LEAST_NORMALISED = 1e-9
"""No smaller mean squared error is asked of a tile, in units of its range."""

SETTLED = 0.4
"""A tile whose fit has so much of the error asked leaves the rest to rounding."""


@dataclass(frozen=True)
class Fitter:
    """What a fit needs: the frozen decoder, its encoder or None, and the effort.

    With `options` or the method "adam" latents are fitted as these say, whatever the effort.
    """

    decoder: Decoder
    encoder: Encoder | None = None
    effort: Effort = LEVELS[DEFAULT_EFFORT]
    method: Method = "lm"
    on_progress: Progress = no_progress
    options: LMOptions | None = None

    @property
    def device(self) -> torch.device:
        """The decoder's device."""
        return self.decoder.device

    @property
    def base_step(self) -> int:
        """The decoder's documented default step index."""
        return int(self.decoder.default_step)

    @property
    def last_step(self) -> int:
        """The finest step index."""
        return len(self.decoder.steps) - 1

    @property
    def passes(self) -> Passes:
        """Passes of integer descent."""
        return Passes(self.effort.view_passes, self.effort.full_passes)

    @property
    def fit_options(self) -> LMOptions:
        """The length of a fit; a decoder without an encoder beside it needs the longest."""
        if self.options is not None:
            return self.options
        effort = self.effort if self.encoder is not None else LEVELS[max(LEVELS)]
        stages = ((FIT_POINTS, effort.fit_passes), (2 * FIT_POINTS, effort.fit_passes // 2))
        return LMOptions(stages, effort.fit_steps, adam_steps=effort.adam_steps)


def make_fitter(
    decoder: Decoder,
    level: int = DEFAULT_EFFORT,
    on_progress: Progress = no_progress,
    method: Method = "lm",
) -> Fitter:
    """A fitter of a decoder's latents at an effort of 1 to 9. Raises OptionError for another."""
    return Fitter(decoder, load_encoder(decoder), effort_of(level), method, on_progress)


def log_step_ratio(steps: Tensor) -> float:
    """Natural logarithm of the ratio of neighbouring steps of the geometric ladder."""
    if len(steps) == 1:
        return 1.0
    return float(torch.log(steps[0] / steps[-1])) / (len(steps) - 1)


def step_indices(steps: Tensor, base: Int64, low: Float64, high: Float64) -> Int64:
    """Step index of each tile, chosen so that `base` means the same error in m/s at any contrast.

    Latents are in units of the tile's value range: a tile of range R m/s takes a step coarser than
    `base` by 3000/R, to the nearest step of the geometric ladder `steps`, within the ladder.
    """
    contrast = np.maximum(high - low, 1e-6) / DATA_RANGE
    index = np.rint(base + np.log(contrast) / log_step_ratio(steps))
    return np.clip(index, 0, len(steps) - 1).astype(np.int64)


def _targets(fitter: Fitter, cut: Cut, tiles: Int64) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Normalised targets (B, P) and points (P, 2) as the decoder's kind of tensor, and the grid."""
    like = next(fitter.decoder.parameters())
    grid = cut.shape_of(int(tiles[0]))
    return torch.as_tensor(cut.targets(tiles)).to(like), _points(like, grid), grid


def _points(like: Tensor, grid: tuple[int, int]) -> Tensor:
    return torch.as_tensor(grid_points(*grid)).to(like)


@dataclass
class Fitted:
    """Latents of a cut's tiles, float32 on the CPU; rows of tiles not fitted are zero.

    `strangeness` (tiles,) is the cost of a tile's latent and of its residual, per coefficient:
    about 1 for tiles like those that the decoder was trained on. `expansions` are those of the
    error at the latents, by tile.
    """

    cut: Cut
    latents: Tensor
    known: NDArray[np.bool_]
    strangeness: Float64
    expansions: dict[int, Expansion] = field(default_factory=dict)

    @classmethod
    def empty(cls, fitter: Fitter, cut: Cut) -> Fitted:
        """No tile fitted yet; constant tiles count as known."""
        latents = torch.zeros(len(cut), fitter.decoder.latent_size)
        return cls(cut, latents, cut.high <= cut.low, np.zeros(len(cut)))

    def adopt(self, other: Fitted) -> None:
        """Copy the fits of another cut of the same models into tiles of the same size."""
        for position, member in enumerate(other.cut.members):
            (here,) = np.flatnonzero(self.cut.members == member)
            ours, theirs = self.cut.tiles_of(int(here)), other.cut.tiles_of(position)
            self.latents[ours] = other.latents[theirs]
            self.known[ours] = other.known[theirs]
            self.strangeness[ours] = other.strangeness[theirs]
            for k in range(theirs.stop - theirs.start):
                if theirs.start + k in other.expansions:
                    self.expansions[ours.start + k] = other.expansions[theirs.start + k]

    def fit(
        self,
        fitter: Fitter,
        tiles: Int64 | None = None,
        base: int | None = None,
        mse: float | None = None,
    ) -> None:
        """Fit the tiles of `tiles` (default all) that are not known yet, for about step `base`, or
        until rounding to a mean squared error `mse`, (m/s)^2, decides their quality.
        """
        chosen = np.arange(len(self.cut)) if tiles is None else tiles
        groups = self.cut.groups(chosen[~self.known[chosen]], fitter.device.type)
        total, done = sum(len(g) for g in groups), 0
        start = np.full(len(self.cut), fitter.base_step if base is None else base)
        steps = fitter.decoder.steps
        index = step_indices(steps, start, self.cut.low, self.cut.high)

        def fit_group(group: Int64) -> tuple[Tensor, Float64, Expansion]:
            target, points, grid = _targets(fitter, self.cut, group)
            wanted = torch.as_tensor(index[group], device=target.device)
            latents = fit_latents(
                fitter.decoder,
                target,
                points,
                method=fitter.method,
                encoder=fitter.encoder,
                grid=grid,
                precision=fitter.decoder.prior_weight(wanted),
                options=fitter.fit_options,
                enough=None if mse is None else self.normalised(SETTLED * mse, group, target),
            )
            around = expand(fitter.decoder, latents, target, points)
            return latents, _strangeness(fitter, latents, target, points), around

        for group, (latents, strangeness, around) in spread(fit_group, groups, fitter.device):
            for k, tile in enumerate(group.tolist()):
                self.expansions[tile] = around.part(slice(k, k + 1))
            self.latents[torch.as_tensor(group)] = latents.to(self.latents)
            self.strangeness[group] = strangeness
            self.known[group] = True
            done += len(group)
            fitter.on_progress(done, total, "fit")

    def expansion(self, group: Int64) -> Expansion:
        """The expansion of the error of fitted tiles at their latents."""
        return joined([self.expansions[int(tile)] for tile in group])

    def normalised(self, mse: float, tiles: Int64, like: Tensor) -> Tensor:
        """A mean squared error, (m/s)^2, in units of each tile's range, (B,)."""
        half = (self.cut.high[tiles] - self.cut.low[tiles]) / 2.0
        return torch.as_tensor(np.maximum(mse / np.square(half), LEAST_NORMALISED)).to(like)


@torch.no_grad()
def _strangeness(fitter: Fitter, latents: Tensor, target: Tensor, points: Tensor) -> Float64:
    """About the objective of the fit at the decoder's default step, per coefficient: (residual /
    prior weight + weighted square of the latent) / latent size. Residuals are those of values
    clamped to [-1, 1], as they are delivered.
    """
    decoder, end = fitter.decoder, np.ones(len(latents))
    values = tile_values(decoder, render_tiles(latents, -end, end, decoder), points)
    default = torch.full((1,), fitter.base_step, device=target.device)
    residual = (values - target).square().mean(dim=1) / decoder.prior_weight(default)
    size = (decoder.prior_precision * latents.square()).sum(dim=1)
    strangeness: Float64 = ((residual + size) / decoder.latent_size).double().cpu().numpy()
    return strangeness


@dataclass
class Quantised:
    """Coefficients of n tiles at one step index each, with their rate and error.

    `error` (n,) is the mean squared error in (m/s)^2 of each tile rendered alone; `bits` (n,) the
    ideal length of its coefficients. Both are zero for constant tiles.
    """

    tiles: Int64
    step: Int64
    coefficients: NDArray[np.int32]
    error: Float64
    bits: Float64

    def part(self, rows: slice) -> Quantised:
        """The tiles in `rows`."""
        return Quantised(
            self.tiles[rows],
            self.step[rows],
            self.coefficients[rows],
            self.error[rows],
            self.bits[rows],
        )


def quantise_tiles(
    fitter: Fitter,
    fitted: Fitted,
    base: Int64,
    tiles: Int64 | None = None,
    passes: Passes | None = None,
) -> Quantised:
    """Quantise `tiles` (default all) at the base step indices `base`, one per tile of the cut, with
    the passes of integer descent that the effort allows, or `passes`.
    """
    step = step_indices(fitter.decoder.steps, base, fitted.cut.low, fitted.cut.high)

    def integers(group: Int64, latents: Tensor, target: Tensor, points: Tensor) -> _Integers:
        index = torch.as_tensor(step[group], device=target.device)
        found = quantise(
            fitter.decoder, latents, target, points, index, passes or fitter.passes,
            fitted.expansion(group),
        )  # fmt: skip
        return found, index

    return _quantised(fitter, fitted, step, tiles, integers)


def quantise_tiles_within(
    fitter: Fitter,
    fitted: Fitted,
    base: int,
    most: float,
    tiles: Int64,
    enough: Float64 | None = None,
) -> Quantised:
    """Quantise `tiles` to the fewest bits that are found within a mean squared error `most`,
    (m/s)^2, of each, or to the least error; their steps are first guessed as that of `base`. A tile
    of the cut that takes more than its bits of `enough` for a greater error is given up.
    """
    cut, decoder = fitted.cut, fitter.decoder
    step = step_indices(decoder.steps, np.full(len(cut), base), cut.low, cut.high)

    def integers(group: Int64, latents: Tensor, target: Tensor, points: Tensor) -> _Integers:
        index = torch.as_tensor(step[group], device=target.device)
        aim = fitted.normalised(most, group, target)
        known = fitted.expansion(group)
        limit = np.full(len(group), np.inf) if enough is None else enough[group]
        return quantise_within(
            decoder, latents, target, points, index, aim, fitter.passes, known, limit
        )

    return _quantised(fitter, fitted, step, tiles, integers)


_Integers = tuple[Tensor, Tensor]
"""Coefficients (B, D) and step indices (B,)."""


def _quantised(
    fitter: Fitter,
    fitted: Fitted,
    step: Int64,
    tiles: Int64 | None,
    integers: Callable[[Int64, Tensor, Tensor, Tensor], _Integers],
) -> Quantised:
    """What `integers` makes of groups of tiles (default all), their latents, targets and points.
    Constant tiles keep zero coefficients and `step`.
    """
    cut, decoder = fitted.cut, fitter.decoder
    chosen = np.arange(len(cut)) if tiles is None else tiles
    coefficients = np.zeros((len(cut), decoder.latent_size), dtype=np.int32)
    error, bits, step = np.zeros(len(cut)), np.zeros(len(cut)), step.copy()
    groups = cut.groups(chosen, fitter.device.type)
    total, done = sum(len(g) for g in groups), 0

    def quantise_group(group: Int64) -> tuple[NDArray[np.int32], Int64, Float64, Float64]:
        target, points, _ = _targets(fitter, cut, group)
        latents = fitted.latents[torch.as_tensor(group)].to(target)
        found, index = integers(group, latents, target, points)
        mse = _group_error(decoder, cut, group, dequantise(decoder, found, index), points)
        array: NDArray[np.int32] = found.cpu().numpy()
        at = index.cpu().numpy()
        return array, at, mse, tile_bits(array, at, tables_of(decoder))

    for group, quantised in spread(quantise_group, groups, fitter.device):
        coefficients[group], step[group], error[group], bits[group] = quantised
        done += len(group)
        fitter.on_progress(done, total, "quantise")
    return Quantised(chosen, step[chosen], coefficients[chosen], error[chosen], bits[chosen])


def guess_errors(fitter: Fitter, cut: Cut, tiles: Int64) -> Float64:
    """Mean squared error (m/s)^2 of `tiles` from the encoder's guess."""
    error = np.zeros(len(cut))

    def error_of(group: Int64) -> Float64:
        target, points, grid = _targets(fitter, cut, group)
        guess = amortised_latents(fitter.decoder, fitter.encoder, target, grid)
        off = squared_error(fitter.decoder, points, guess, target).double().cpu().numpy()
        return off * np.square((cut.high[group] - cut.low[group]) / 2.0)

    groups = cut.groups(tiles, fitter.device.type)
    for group, mse in spread(error_of, groups, fitter.device):
        error[group] = mse
    return error[tiles]


def fit_error(fitter: Fitter, fitted: Fitted, tiles: Int64) -> Float64:
    """Mean squared error (m/s)^2 of `tiles` from unquantised latents: the least of any step."""
    cut, decoder = fitted.cut, fitter.decoder
    error = np.zeros(len(cut))
    like = next(decoder.parameters())

    def error_of(group: Int64) -> Float64:
        points = _points(like, cut.shape_of(int(group[0])))
        latents = fitted.latents[torch.as_tensor(group)]
        return _group_error(decoder, cut, group, latents, points)

    for group, mse in spread(error_of, cut.groups(tiles, like.device.type), like.device):
        error[group] = mse
    return error[tiles]


def _group_error(
    decoder: Decoder, cut: Cut, group: Int64, latents: Tensor, points: Tensor
) -> Float64:
    """Mean squared error (m/s)^2 of each tile of a group, rendered from `latents`."""
    ready = render_tiles(latents, cut.low[group], cut.high[group], decoder)
    values = tile_values(decoder, ready, points).cpu().numpy()
    original = cut.values(group).reshape(len(group), -1)
    return cut.means(group, np.square(values - original))
