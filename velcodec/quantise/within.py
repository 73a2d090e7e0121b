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
from velcodec.quantise.costs import BitCosts
from velcodec.quantise.descent import LEAST_ERROR, Passes, Reached, Tiles

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
) -> tuple[Tensor, Tensor]:
    """Coefficients int32 (B, D) and their step indices (B,) within the mean squared error `most`
    (B,), or of the least error found; `step_index` are guesses.
    """
    per_index = log2(float(decoder.steps[0] / decoder.steps[-1])) / max(1, len(decoder.steps) - 1)
    index, last = step_index.cpu().numpy().copy(), len(decoder.steps) - 1
    aim = most.double().cpu().numpy()
    fit = squared_error(decoder, points, latent, target).double().cpu().numpy()
    octaves = np.log2(np.maximum(fit, LEAST_ERROR) / aim)
    index = (index + np.rint(np.interp(octaves, FIT_OCTAVES, GUESS)).astype(np.int64)).clip(0, last)
    found = np.zeros(latent.shape, np.int32)
    error, at = np.full(len(latent), np.inf), index.copy()
    ladders = [Ladder(last, per_index) for _ in range(len(latent))]
    active = np.arange(len(latent))
    for number in range(TRIES):
        rows = torch.from_numpy(active)
        here, goal, where = latent[rows], target[rows], torch.from_numpy(index[active])
        tiles = Tiles(decoder, here, goal, points, where, costs, seed=number)
        for _ in range(passes.views):
            tiles.improve_on_view()
        for _ in range(passes.usual):
            tiles.improve_on_all(None)
            if not len(tiles.active):
                break
        everyone = np.arange(len(active))
        now = tiles.latents(tiles.coefficients, everyone)
        tiles.error = squared_error(decoder, points, now, goal).double().cpu().numpy()
        off = tiles.error / aim[active]
        closed = np.array([ladders[tile].is_coarsest(int(index[tile])) for tile in active])
        near = (off < COARSE) & ((off > FINE) | closed)
        tiles.active = np.flatnonzero(near | (number == TRIES - 1))
        reached = Reached(aim[active], tiles)
        bits = costs.lengths(tiles.coefficients, tiles.index)
        reached.add(tiles.coefficients, everyone, tiles.error, bits)
        for _ in range(passes.full if len(tiles.active) else 0):
            tiles.improve_on_all(reached)
        within = reached.error <= aim[active]
        better = reached.error < error[active]
        better = within & near | better & (error[active] > aim[active])
        found[active[better]] = reached.coefficients[better]
        error[active[better]], at[active[better]] = reached.error[better], index[active[better]]
        left = ~(within & near)
        if not left.any():
            break
        off = np.where(near, reached.error / aim[active], off / REACHED_BY_PRICE)
        for row in np.flatnonzero(left):
            octave = float(np.log2(np.clip(off[row], 1.0 / MOST_OFF, MOST_OFF)))
            ladders[active[row]].add(int(index[active[row]]), octave)
            index[active[row]] = ladders[active[row]].next()
        active = active[left]
    device = latent.device
    return torch.from_numpy(found).to(device), torch.from_numpy(at).to(device)
