"""From tiles to coefficients: fit the latents once, quantise them at as many steps as are tried.

Work goes in groups of equal tile size, always the same ones for the same models. Errors are in
m/s; nothing here knows about bytes beyond the ideal code length of the coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.decode.stored import tables_of
from velcodec.decode.tiling import Int64
from velcodec.decode.torch_render import render_tiles, tile_values
from velcodec.decoder import Decoder, load_encoder
from velcodec.encode.tiles import Cut
from velcodec.fit import Encoder, LMOptions, Method, fit_latents
from velcodec.fit.parallel import spread
from velcodec.formats.errors import OptionError
from velcodec.formats.latent_coding.stream import tile_bits
from velcodec.geometry import Float64, grid_points
from velcodec.metrics import DATA_RANGE
from velcodec.progress import Progress, no_progress
from velcodec.quantise import DESCENT_PASSES, dequantise, quantise, round_alone


@dataclass(frozen=True)
class Fitter:
    """What a fit needs: the frozen decoder, the amortised encoder if there is one, the method.

    `options` say how long Levenberg-Marquardt goes on; None for the usual.
    """

    decoder: Decoder
    encoder: Encoder | None = None
    method: Method = "lm"
    on_progress: Progress = no_progress
    options: LMOptions | None = None

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return self.decoder.device

    @property
    def base_step(self) -> int:
        """The decoder's documented default step index."""
        return int(self.decoder.default_step)

    @property
    def last_step(self) -> int:
        """The finest step index."""
        return len(self.decoder.steps) - 1


def make_fitter(decoder: Decoder, fit: str, on_progress: Progress = no_progress) -> Fitter:
    """What fits latents of a decoder by the method `fit`. Raises OptionError for another method, or
    one that needs an encoder where there is none.
    """
    encoder = load_encoder(decoder)
    if fit not in ("lm", "adam", "amortised"):
        raise OptionError(f"fit: expected lm, adam or amortised, found {fit!r}")
    if fit == "amortised" and encoder is None:
        raise OptionError(f"fit amortised: decoder {decoder.name!r} has no encoder beside it")
    return Fitter(decoder, encoder, cast("Method", fit), on_progress)


def log_step_ratio(steps: Tensor) -> float:
    """Natural logarithm of the ratio of neighbouring steps of the geometric ladder."""
    if len(steps) == 1:
        return 1.0
    return float(torch.log(steps[0] / steps[-1])) / (len(steps) - 1)


def step_indices(steps: Tensor, base: Int64, low: Float64, high: Float64) -> Int64:
    """Step index of each tile, so that one `base` means one error in m/s whatever the contrast.

    Latents live in units of the tile's own range: a tile of range R m/s takes a step coarser than
    `base` by 3000/R, to the nearest step of the geometric ladder `steps`, within the ladder.
    """
    contrast = np.maximum(high - low, 1e-6) / DATA_RANGE
    index = np.rint(base + np.log(contrast) / log_step_ratio(steps))
    return np.clip(index, 0, len(steps) - 1).astype(np.int64)


def _targets(fitter: Fitter, cut: Cut, tiles: Int64) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Normalised targets (B, P), their points (P, 2) and grid, as the decoder wants them."""
    like = next(fitter.decoder.parameters())
    grid = cut.shape_of(int(tiles[0]))
    return torch.as_tensor(cut.targets(tiles)).to(like), _points(like, grid), grid


def _points(like: Tensor, grid: tuple[int, int]) -> Tensor:
    return torch.as_tensor(grid_points(*grid)).to(like)


@dataclass
class Fitted:
    """Latents of a cut's tiles, float32 on the CPU; rows of tiles not fitted are zero.

    `strangeness` (tiles,) is how much a tile's latent and what it misses cost, per coefficient,
    where a tile of the kind that the decoder was trained on costs about 1.
    """

    cut: Cut
    latents: Tensor
    known: NDArray[np.bool_]
    strangeness: Float64

    @classmethod
    def empty(cls, fitter: Fitter, cut: Cut) -> Fitted:
        """No tile fitted yet; constant tiles need no fit."""
        latents = torch.zeros(len(cut), fitter.decoder.latent_size)
        return cls(cut, latents, cut.high <= cut.low, np.zeros(len(cut)))

    def adopt(self, other: Fitted) -> None:
        """Take over what is known of the same models in tiles of the same size."""
        for position, member in enumerate(other.cut.members):
            (here,) = np.flatnonzero(self.cut.members == member)
            own, theirs = self.cut.tiles_of(int(here)), other.cut.tiles_of(position)
            self.latents[own] = other.latents[theirs]
            self.known[own] = other.known[theirs]
            self.strangeness[own] = other.strangeness[theirs]

    def fit(self, fitter: Fitter, tiles: Int64 | None = None, base: int | None = None) -> None:
        """Fit those of `tiles` (default all) that are not known yet, for about step `base`."""
        chosen = np.arange(len(self.cut)) if tiles is None else tiles
        groups = self.cut.groups(chosen[~self.known[chosen]], fitter.device.type)
        total, done = sum(len(g) for g in groups), 0
        start = np.full(len(self.cut), fitter.base_step if base is None else base)
        steps = fitter.decoder.steps
        index = step_indices(steps, start, self.cut.low, self.cut.high)

        def fit_group(group: Int64) -> tuple[Tensor, Float64]:
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
                options=fitter.options,
            )
            return latents, _strangeness(fitter, latents, target, points)

        for group, (latents, strangeness) in spread(fit_group, groups, fitter.device):
            self.latents[torch.as_tensor(group)] = latents.to(self.latents)
            self.strangeness[group] = strangeness
            self.known[group] = True
            done += len(group)
            fitter.on_progress(done, total, "fit")


@torch.no_grad()
def _strangeness(fitter: Fitter, latents: Tensor, target: Tensor, points: Tensor) -> Float64:
    """About what the fit minimises, at the decoder's default step, over the prior's weight and
    size; misfits are those of values held within the target's ends, as they are delivered.
    """
    decoder, end = fitter.decoder, np.ones(len(latents))
    values = tile_values(decoder, render_tiles(latents, -end, end, decoder), points)
    default = torch.full((1,), fitter.base_step, device=target.device)
    missed = (values - target).square().mean(dim=1) / decoder.prior_weight(default)
    size = (decoder.prior_precision * latents.square()).sum(dim=1)
    found: Float64 = ((missed + size) / decoder.latent_size).double().cpu().numpy()
    return found


@dataclass
class Quantised:
    """Coefficients of tiles at one step index each, with what they cost and miss.

    `error` (n,) is the mean squared error in (m/s)^2 of each tile rendered on its own; `bits` (n,)
    the ideal length of its coefficients. Both are zero for constant tiles.
    """

    tiles: Int64
    step: Int64
    coefficients: NDArray[np.int32]
    error: Float64
    bits: Float64

    def part(self, rows: slice) -> Quantised:
        """Some of these tiles."""
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
    passes: int = DESCENT_PASSES,
) -> Quantised:
    """Quantise `tiles` (default all) at base step index `base`, one per tile of the cut, with at
    most so many passes of integer descent; amortised latents are rounded without any rendering.
    """
    cut, decoder = fitted.cut, fitter.decoder
    chosen = np.arange(len(cut)) if tiles is None else tiles
    step = step_indices(decoder.steps, base, cut.low, cut.high)
    size = decoder.latent_size
    coefficients = np.zeros((len(cut), size), dtype=np.int32)
    error, bits = np.zeros(len(cut)), np.zeros(len(cut))
    groups = cut.groups(chosen, fitter.device.type)
    total, done = sum(len(g) for g in groups), 0

    def quantise_group(group: Int64) -> tuple[NDArray[np.int32], Float64, Float64]:
        target, points, _ = _targets(fitter, cut, group)
        index = torch.as_tensor(step[group], device=target.device)
        latents = fitted.latents[torch.as_tensor(group)].to(target)
        if fitter.method == "amortised":
            integers = round_alone(decoder, latents, index)
        else:
            integers = quantise(decoder, latents, target, points, index, passes=passes)
        missed = _group_error(decoder, cut, group, dequantise(decoder, integers, index), points)
        own: NDArray[np.int32] = integers.cpu().numpy()
        return own, missed, tile_bits(own, step[group], tables_of(decoder))

    for group, found in spread(quantise_group, groups, fitter.device):
        coefficients[group], error[group], bits[group] = found
        done += len(group)
        fitter.on_progress(done, total, "quantise")
    return Quantised(chosen, step[chosen], coefficients[chosen], error[chosen], bits[chosen])


def fit_error(fitter: Fitter, fitted: Fitted, tiles: Int64) -> Float64:
    """Mean squared error (m/s)^2 of `tiles` with latents not quantised: what no step can beat."""
    cut, decoder = fitted.cut, fitter.decoder
    error = np.zeros(len(cut))
    like = next(decoder.parameters())

    def error_of(group: Int64) -> Float64:
        points = _points(like, cut.shape_of(int(group[0])))
        latents = fitted.latents[torch.as_tensor(group)]
        return _group_error(decoder, cut, group, latents, points)

    for group, found in spread(error_of, cut.groups(tiles, like.device.type), like.device):
        error[group] = found
    return error[tiles]


def _group_error(
    decoder: Decoder, cut: Cut, group: Int64, latents: Tensor, points: Tensor
) -> Float64:
    """Mean squared error (m/s)^2 of each tile of a group, rendered from `latents`."""
    ready = render_tiles(latents, cut.low[group], cut.high[group], decoder)
    values = tile_values(decoder, ready, points).cpu().numpy()
    exact = cut.values(group).reshape(len(group), -1)
    return cut.means(group, np.square(values - exact))
