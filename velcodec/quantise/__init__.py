"""From fitted latents to integers and back.

The decoder's latent is already in a decorrelated basis in which one step means one output error, so
a coefficient is a latent component divided by the tile's step. This package chooses the integers by
rate and distortion: each alone at first, then `descent` changes them while that gains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import block_sizes
from velcodec.formats.arrays import Float64
from velcodec.parallel import by_parts
from velcodec.quantise.costs import BitCosts
from velcodec.quantise.descent import Passes, integer_descent
from velcodec.quantise.expansion import Expansion, expand
from velcodec.quantise.within import descend_within

HARD = 0.5
"""Where the fit has so much of the error asked, descent on part of the points does harm."""


def dequantise(decoder: Decoder, coefficients: Tensor, step_index: Tensor) -> Tensor:
    """Latents (B, D) of coefficients (B, D) at step indices (B,)."""
    steps: Tensor = decoder.steps.to(coefficients.device)
    return coefficients.to(steps.dtype) * steps[step_index][:, None]


@torch.no_grad()
def quantise(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    passes: Passes | None = None,
    expansion: Expansion | None = None,
) -> Tensor:
    """Coefficients int32 (B, D) for latents (B, D) at step indices (B,).

    `target` (B, P) at `points` (P, 2) as for `velcodec.fit.fit_latents`. Coefficients are rounded
    one by one and changed by `passes` of integer descent, the first as the `expansion` at the
    latents foresees, which is made if not given; without tables each goes to the nearest.
    """

    def integers(tiles: slice) -> Tensor:
        index = step_index[tiles]
        if decoder.tables is None:
            return torch.round(latent[tiles] / decoder.steps[index][:, None]).int()
        costs, aim = BitCosts(decoder.tables), (target[tiles], points)
        known = expand(decoder, latent[tiles], *aim) if expansion is None else expansion.part(tiles)
        return integer_descent(
            decoder, latent[tiles], *aim, index, costs, passes or Passes(), known
        )

    return by_parts(integers, len(latent), block_sizes(points)[0], latent.device)


@torch.no_grad()
def quantise_within(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    most: Tensor,
    passes: Passes,
    expansion: Expansion,
    enough: Float64,
) -> tuple[Tensor, Tensor]:
    """Coefficients int32 (B, D) of few bits within a mean squared error `most` (B,), or of the
    least error found, and their step indices (B,); `step_index` are guesses. A tile that takes more
    than its `enough` bits (B,) for a greater error is given up. The other arguments are those of
    `quantise`; the decoder has tables.
    """
    assert decoder.tables is not None
    costs, found = BitCosts(decoder.tables), torch.empty_like(step_index)

    def integers(tiles: slice) -> Tensor:
        known = expansion.part(tiles)
        hard = known.error > HARD * most[tiles]
        coefficients = torch.empty_like(latent[tiles], dtype=torch.int32)
        thorough = passes.on_all_points()
        for some, own in ((~hard, passes), (hard, thorough)):
            rows = torch.arange(len(latent), device=latent.device)[tiles][some]
            if len(rows):
                aim = target[rows], points, step_index[rows], most[rows]
                coefficients[some], found[rows] = descend_within(
                    decoder,
                    latent[rows],
                    *aim,
                    costs,
                    own,
                    known.part(some),
                    enough[rows.cpu().numpy()],
                )
        return coefficients

    size = block_sizes(points)[0]
    return by_parts(integers, len(latent), size, latent.device), found


__all__ = ["BitCosts", "Expansion", "Passes", "dequantise", "expand", "quantise", "quantise_within"]
