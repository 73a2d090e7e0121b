"""The coarsest step and its integers within a mean squared error.

Of all steps at which an error can be reached the coarsest takes the fewest bits. The error of the
fit guesses a step, and the descent at each step that is tried tells how far it is off.
"""

from __future__ import annotations

from math import log2

import numpy as np
import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import squared_error
from velcodec.formats.arrays import Float64, Int64
from velcodec.quantise.costs import BitCosts
from velcodec.quantise.descent import Passes, Reached, Tiles
from velcodec.quantise.expansion import Expansion

TRIES = 6
"""Steps tried: the guess, the one that it foretells, finer ones where that misses."""

REACHED_BY_PRICE = 1.26
"""So many times the error asked is brought down to it by a lower price of a bit."""

COARSE, FINE = 1.6, 0.93
"""Errors at the usual price, over the one asked, that tell a step as too coarse and too fine."""

FINER_EXPONENT, COARSER_EXPONENT = 1.25, 1.7
"""The error goes with about these powers of the step."""

SLOWER = 2.0
"""From try to try the fall of the error with finer steps is taken to change by no more."""

FIT_OCTAVES, GUESS = (-4.0, -1.0, -0.3, 1.7), (-4.0, 0.0, 1.0, 7.0)
"""How much finer than usual a step is guessed, by the binary logarithm of the error of the fit over
the one asked.
"""

MOST_OFF = 1e6
"""No error counts as farther off than by this factor."""

HOPELESS = 1.2
"""A tile that takes too many bits for so many times the error asked is given up."""

FARTHEST = 5
"""Most steps moved at a time."""


class Ladder:
    """What the steps of one tile that were tried say about the coarsest that reaches an error.

    Indices go up to `last`, each finer than the one before by `per_index` octaves.
    """

    def __init__(self, last: int, per_index: float) -> None:
        self.last, self.per_index = last, per_index
        self.fall = FINER_EXPONENT * per_index
        self.coarse: tuple[int, float] | None = None
        self.fine: tuple[int, float] | None = None

    def add(self, index: int, off: float) -> None:
        """`off`, the binary logarithm of the error found over the one asked; the newest counts."""
        if off > 0:
            if self.coarse is not None and self.coarse[0] < index:
                fall = (self.coarse[1] - off) / (index - self.coarse[0])
                self.fall = min(max(fall, self.fall / SLOWER), self.fall * SLOWER)
            self.coarse = index, off
            if self.fine is not None and self.fine[0] <= index:
                self.fine = None
        else:
            self.fine = index, off
            if self.coarse is not None and self.coarse[0] >= index:
                self.coarse = None

    def is_coarsest(self, index: int) -> bool:
        """Whether no coarser step is left to be tried."""
        return index == 0 or (self.coarse is not None and self.coarse[0] >= index - 1)

    def next(self) -> int:
        """The step to be tried next."""
        if self.coarse is not None and self.fine is not None:
            (low, much), (high, little) = self.coarse, self.fine
            between = low + (high - low) * much / (much - little)
            return min(max(round(between), low + 1), high)
        if self.coarse is not None:
            index, off = self.coarse
            move = max(1, round(off / self.fall))
        else:
            assert self.fine is not None
            index, off = self.fine
            move = min(-1, round(off / (COARSER_EXPONENT * self.per_index)))
        return min(max(index + min(max(move, -FARTHEST), FARTHEST), 0), self.last)


@torch.no_grad()
def descend_within(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    most: Tensor,
    costs: BitCosts,
    passes: Passes,
    expansion: Expansion,
    enough: Float64,
) -> tuple[Tensor, Tensor]:
    """Coefficients int32 (B, D) and their step indices (B,) within the mean squared error `most`
    (B,), or of the least error found; `step_index` are guesses, `expansion` is at `latent`. A tile
    that takes more than its `enough` bits (B,) for a greater error is given up.
    """
    search = _Search(decoder, latent, target, points, step_index, most, costs, expansion, enough)
    for number in range(TRIES):
        search.try_steps(passes, number)
        if not len(search.active):
            break
    device = latent.device
    return torch.from_numpy(search.found).to(device), torch.from_numpy(search.at).to(device)


class _Search:
    """The search of a batch: for each tile the best coefficients `found` (B, D) and their step
    indices `at` (B,); those whose step is not settled are `active`.
    """

    def __init__(
        self,
        decoder: Decoder,
        latent: Tensor,
        target: Tensor,
        points: Tensor,
        step_index: Tensor,
        most: Tensor,
        costs: BitCosts,
        expansion: Expansion,
        enough: Float64,
    ) -> None:
        self.decoder, self.latent, self.costs = decoder, latent, costs
        self.target, self.points, self.expansion = target, points, expansion
        self.enough = enough
        self.most = most.double().cpu().numpy()
        last = len(decoder.steps) - 1
        per_index = log2(float(decoder.steps[0] / decoder.steps[-1])) / max(1, last)
        self.ladders = [Ladder(last, per_index) for _ in range(len(latent))]
        fit = expansion.error.double().cpu().numpy()
        finer = np.interp(_octaves(fit / self.most), FIT_OCTAVES, GUESS)
        self.index = (step_index.cpu().numpy() + np.rint(finer).astype(np.int64)).clip(0, last)
        self.found, self.at = np.zeros(latent.shape, np.int32), self.index.copy()
        self.error = np.full(len(latent), np.inf)
        self.active = np.arange(len(latent))

    def _error(self, latent: Tensor, tiles: Int64) -> Float64:
        """Mean squared errors (N,) of latents (N, D) of these tiles."""
        goal = self.target[torch.from_numpy(tiles)]
        error: Float64 = (
            squared_error(self.decoder, self.points, latent, goal).double().cpu().numpy()
        )
        return error

    def try_steps(self, passes: Passes, number: int) -> None:
        """Descend at the step of every active tile, and settle it or move it."""
        active, device = self.active, self.latent.device
        rows, most = torch.from_numpy(active).to(device), self.most[active]
        where = torch.from_numpy(self.index[active]).to(device)
        aim = self.target[rows], self.points, where
        latent = self.latent[rows]
        tiles = Tiles(self.decoder, latent, *aim, self.costs, seed=number)
        tiles.improve_as_foreseen(latent, self.expansion.part(rows))
        for _ in range(passes.views):
            tiles.improve_on_view()
        for _ in range(passes.usual):
            tiles.improve_on_all(None)
            if not len(tiles.active):
                break
        everyone = np.arange(len(active))
        tiles.error = self._error(tiles.latents(tiles.coefficients, everyone), active)
        off = tiles.error / most
        closed = np.array([self.ladders[t].is_coarsest(int(self.index[t])) for t in active])
        near = (off < COARSE) & ((off > FINE) | closed)
        tiles.active = np.flatnonzero(near | (number == TRIES - 1))
        reached = Reached(most, tiles)
        bits = self.costs.lengths(tiles.coefficients, tiles.index)
        reached.add(tiles.coefficients, everyone, tiles.error, bits)
        for _ in range(passes.full if len(tiles.active) else 0):
            tiles.improve_on_all(reached)
        settled = near & (reached.error <= most)
        given_up = ~settled & (np.minimum(off, reached.error / most) > HOPELESS)
        given_up &= bits > self.enough[active]
        better = settled | ((reached.error < self.error[active]) & (self.error[active] > most))
        self.found[active[better]] = reached.coefficients[better]
        self.error[active[better]] = reached.error[better]
        self.at[active[better]] = self.index[active[better]]
        octaves = _octaves(np.where(near, reached.error / most, off / REACHED_BY_PRICE))
        for row in np.flatnonzero(~settled):
            tile = active[row]
            self.ladders[tile].add(int(self.index[tile]), float(octaves[row]))
            self.index[tile] = self.ladders[tile].next()
        self.active = active[~settled & ~given_up]


def _octaves(off: Float64) -> Float64:
    """Binary logarithms of errors over those asked, within limits."""
    octaves: Float64 = np.log2(np.clip(off, 1.0 / MOST_OFF, MOST_OFF))
    return octaves
