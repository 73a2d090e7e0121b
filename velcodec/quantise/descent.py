"""Integer descent: change rounded coefficients while the rate-distortion cost falls.

A quadratic model of the error at the current integers, its gradient and Gauss-Newton Hessian,
proposes a list of changes; the error that the decoder really makes decides how much of the list is
kept. The first list comes from the expansion at the fitted latent, which serves every step. Early
passes see a part of the points, drawn anew for each, which is cheap and leaves local minima; the
last ones see all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import error_and_gradient, hessian_of, leading_coefficients, squared_error
from velcodec.fit.views import some_points
from velcodec.formats.arrays import Float32, Float64, Int64
from velcodec.quantise import kernels
from velcodec.quantise.costs import BitCosts
from velcodec.quantise.expansion import Expansion

FIRST_MARKS = np.array([8, 32, 128, 512])
"""Lengths of the list of changes at which the expansion's first integers are measured."""

MARKS = np.array([1, 3, 8, 20, 50])
"""Lengths of the list of changes at which the error of a view is measured."""

FULL_MARKS = np.array([1, 4, 16])
"""The same for the error of all points, which takes four times as long."""

POINTS_PER_VIEW = 4
"""A view has one of so many points."""

PASSES_PER_HESSIAN = 3
VIEW_HESSIAN, FULL_HESSIAN = 640, 1225
"""Points of a Hessian for a pass on a view, and on all points."""

PRICES, HALVINGS = (0.2, 5.0), 6
"""Least and greatest price of a bit, over the one of the step, that an error asked is aimed at by,
and how often this interval is halved.
"""


SEEDS = 1000
"""Seeds of views that a descent may take."""


@dataclass(frozen=True)
class Passes:
    """Passes of integer descent after the expansion's: on `views` of a part of the points, then at
    most `full` on all. Where an error is asked for, `usual` ones of all points come between, at the
    step's own price.
    """

    views: int = 8
    full: int = 4
    usual: int = 0

    def on_all_points(self) -> Passes:
        """About as many passes without views."""
        return Passes(0, self.full + 2, -(-self.views // 2)) if self.views else self


@torch.no_grad()
def integer_descent(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    costs: BitCosts,
    passes: Passes,
    expansion: Expansion,
) -> Tensor:
    """Coefficients int32 (B, D) of little mean squared error + price x bits, near `latent`, where
    the `expansion` is.
    """
    tiles = Tiles(decoder, latent, target, points, step_index, costs)
    tiles.improve_as_foreseen(latent, expansion)
    for _ in range(passes.views):
        tiles.improve_on_view()
    for _ in range(passes.full):
        tiles.improve_on_all(None)
        if not len(tiles.active):
            break
    return tiles.result()


class Tiles:
    """A batch of tiles in descent: their coefficients (B, D), at first near `latent`, and which of
    them still gain.
    """

    def __init__(
        self,
        decoder: Decoder,
        latent: Tensor,
        target: Tensor,
        points: Tensor,
        step_index: Tensor,
        costs: BitCosts,
        seed: int = 0,
    ) -> None:
        self.decoder, self.target, self.points, self.costs = decoder, target, points, costs
        self.index = step_index.cpu().numpy()
        self.step = decoder.steps[step_index].cpu().numpy()
        self.usual_price = decoder.bit_price(step_index).cpu().numpy()
        self.price = self.usual_price.copy()
        self.curvature = decoder.mean_curvature().cpu().numpy()
        self.leading = leading_coefficients(decoder, decoder.prior_weight(step_index))
        self.active = np.arange(len(latent))
        self.error = np.full(len(latent), np.inf)
        self.number, self.seed = 0, SEEDS * seed
        self.hessian = np.zeros((len(latent), self.leading, self.leading), np.float32)
        self.coefficients = costs.rounded(
            latent.cpu().numpy(), self.index, self.step, self.usual_price
        )

    def latents(self, coefficients: NDArray[np.int32], tiles: Int64) -> Tensor:
        """Latents of coefficients (N, D) of these tiles."""
        latents = coefficients.astype(np.float32) * self.step[tiles, None]
        return torch.from_numpy(latents).to(self.target)

    def result(self) -> Tensor:
        """The coefficients (B, D) on the tiles' device."""
        return torch.from_numpy(self.coefficients).to(self.target.device)

    def improve_as_foreseen(self, latent: Tensor, expansion: Expansion) -> None:
        """The first pass, from the expansion at `latent` (B, D); judged on one view."""
        everyone = np.arange(len(self.coefficients))
        rounded = self.latents(self.coefficients, everyone)
        self.hessian = expansion.leading(self.leading).cpu().numpy()
        self.number += 1
        some = self._view(-(-len(self.points) // POINTS_PER_VIEW))
        seen, goal = self.points[some], self.target[:, some]
        before = squared_error(self.decoder, seen, rounded, goal).double().cpu().numpy()
        slope = expansion.slope_at(rounded - latent)
        self._keep_the_best(everyone, slope, before, FIRST_MARKS, seen, goal, None)

    def improve_on_view(self) -> None:
        """A pass on one view."""
        some = self._view(-(-len(self.points) // POINTS_PER_VIEW))
        seen, goal = self.points[some], self.target[:, some]
        latents = self.latents(self.coefficients, everyone := np.arange(len(self.coefficients)))
        self._renew_hessian(latents, VIEW_HESSIAN)
        error, slope = error_and_gradient(self.decoder, seen, latents, goal)
        before = error.double().cpu().numpy()
        self._keep_the_best(everyone, slope, before, MARKS, seen, goal, None)

    def improve_on_all(self, reached: Reached | None) -> None:
        """A pass on all points; with `reached`, at the price of a bit that is expected to lead to
        the error asked, otherwise tiles that do not gain leave.
        """
        tiles = self.active
        goal = self.target[torch.from_numpy(tiles)]
        latents = self.latents(self.coefficients[tiles], tiles)
        self._renew_hessian(latents, FULL_HESSIAN)
        error, slope = error_and_gradient(self.decoder, self.points, latents, goal)
        before = error.double().cpu().numpy()
        if reached is not None:
            self._aim(tiles, slope.cpu().numpy(), before, reached.most[tiles], FULL_MARKS)
        gained = self._keep_the_best(tiles, slope, before, FULL_MARKS, self.points, goal, reached)
        if reached is None:
            self.active = tiles[gained]

    def _view(self, keep: int) -> Tensor:
        """Numbers of `keep` points, others in every pass."""
        seed = self.seed + self.number
        return some_points(len(self.points), keep, seed, self.points.device)

    def _renew_hessian(self, latents: Tensor, points: int) -> None:
        """Recompute the Hessians of the active tiles every few passes."""
        if self.number % PASSES_PER_HESSIAN == 0:
            seen = self.points[self._view(points)]
            found = hessian_of(self.decoder, seen, latents, self.leading)
            self.hessian[self.active] = found.cpu().numpy()
        self.number += 1

    def _keep_the_best(
        self,
        tiles: Int64,
        slope: Tensor,
        before: Float64,
        marks: Int64,
        seen: Tensor,
        goal: Tensor,
        reached: Reached | None,
    ) -> NDArray[np.bool_]:
        """Of what the model proposes for `tiles` keep what costs the least at the points `seen`,
        whose target is `goal`; the error of what is there is `before`. Returns which tiles gained.
        """
        current, price = self.coefficients[tiles], self.price[tiles].astype(np.float64)
        trials, owner = self._proposed(tiles, slope.cpu().numpy(), marks)
        latents = self.latents(trials, tiles[owner])
        after = squared_error(self.decoder, seen, latents, goal[torch.from_numpy(owner)])
        errors = after.double().cpu().numpy()
        bits = self.costs.lengths(current, self.index[tiles])
        lengths = self.costs.lengths(trials, self.index[tiles[owner]])
        if reached is not None:
            reached.add(current, tiles, before, bits)
            reached.add(trials, tiles[owner], errors, lengths)
        least, kept = before + price * bits, before.copy()
        gained = np.zeros(len(tiles), dtype=bool)
        for k, cost in enumerate(errors + price[owner] * lengths):
            row = owner[k]
            if cost < least[row]:
                least[row], kept[row], gained[row] = cost, errors[k], True
                self.coefficients[tiles[row]] = trials[k]
        self.error[tiles] = kept
        return gained

    def _aim(
        self, tiles: Int64, slope: Float32, before: Float64, most: Float64, marks: Int64
    ) -> None:
        """Set the price of a bit to the greatest one at which the model expects the error, now
        `before`, to be within `most` after this pass.
        """
        low, high = (np.full(len(tiles), np.log(end)) for end in PRICES)
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            self.price[tiles] = self.usual_price[tiles] * np.exp(middle).astype(np.float32)
            within = before + self._propose(tiles, slope, marks)[2] <= most
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        self.price[tiles] = self.usual_price[tiles] * np.exp(low).astype(np.float32)

    def _proposed(
        self, tiles: Int64, slope: Float32, marks: Int64
    ) -> tuple[NDArray[np.int32], Int64]:
        """Coefficients (N, D) after as many of the changes that the model proposes as `marks` say,
        and the row among `tiles` of the tile of each.
        """
        trials, counts, _ = self._propose(tiles, slope, marks)
        made = np.arange(len(marks)) < counts[:, None]
        return trials[made], np.nonzero(made)[0]

    def _propose(
        self, tiles: Int64, slope: Float32, marks: Int64
    ) -> tuple[NDArray[np.int32], Int64, Float64]:
        """What `kernels.propose` fills."""
        trials = np.empty((len(tiles), len(marks), slope.shape[1]), np.int32)
        counts, change = np.zeros(len(tiles), np.int64), np.zeros(len(tiles))
        kernels.propose(
            self.coefficients[tiles],
            slope,
            self.hessian[tiles],
            self.curvature,
            self.index[tiles],
            self.step[tiles],
            self.price[tiles],
            self.costs.classes,
            self.costs.bits,
            marks,
            trials,
            counts,
            change,
        )
        return trials, counts, change


class Reached:
    """The coefficients (B, D) of the fewest bits within a mean squared error `most` (B,), or of the
    least error, among all that were tried.
    """

    def __init__(self, most: Float64, tiles: Tiles) -> None:
        self.most, self.coefficients = most, tiles.coefficients.copy()
        self.error = np.full(len(most), np.inf)
        self._bits = np.full(len(most), np.inf)

    def add(
        self, coefficients: NDArray[np.int32], tiles: Int64, error: Float64, bits: Float32
    ) -> None:
        """Coefficients (N, D) of these tiles, with their errors and bits (N,)."""
        for k, tile in enumerate(tiles):
            within, known = error[k] <= self.most[tile], self.error[tile] <= self.most[tile]
            better = bits[k] < self._bits[tile] if within and known else error[k] < self.error[tile]
            if (within and not known) or (better and within == known):
                self.coefficients[tile] = coefficients[k]
                self.error[tile], self._bits[tile] = error[k], bits[k]
