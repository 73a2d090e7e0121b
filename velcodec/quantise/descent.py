"""Integer descent: change rounded coefficients one by one while rate and distortion gain.

Rounding follows a quadratic model of the error around the fitted latent, which is wrong a few steps
away. Here gradient and model are those at the rounded latent itself, a short list of changes is
made by the model's word, and as much of the list is kept as the true error confirms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import error_and_gradient, hessian_of, squared_error
from velcodec.fit.views import some_points
from velcodec.quantise.costs import BitCosts

MARKS = (1, 3, 8, 20)
"""Lengths of the list of changes at which the true error is measured."""

PASSES_PER_HESSIAN = 4
HESSIAN_POINTS = 1225


@torch.no_grad()
def integer_descent(
    decoder: Decoder,
    coefficients: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    costs: BitCosts,
    passes: int,
) -> Tensor:
    """Coefficients int32 (B, D) of no greater mean squared error + price x bits than before.

    Changes are to a neighbouring integer or to zero. A tile that a pass could not improve leaves.
    """
    result = coefficients.clone()
    active = torch.arange(len(result), device=result.device)
    hessian = result.new_zeros(0)
    for number in range(passes):
        index, wanted = step_index[active], target[active]
        step = decoder.steps[index]
        if number % PASSES_PER_HESSIAN == 0:
            some = points[some_points(len(points), HESSIAN_POINTS, number, points.device)]
            hessian = hessian_of(decoder, some, result[active] * step[:, None])
        changed, gained = _one_pass(decoder, result[active], wanted, points, index, costs, hessian)
        result[active] = changed
        active, hessian = active[gained], hessian[gained]
        if not len(active):
            break
    return result


def _one_pass(
    decoder: Decoder, coefficients: Tensor, target: Tensor, points: Tensor, index: Tensor,
    costs: BitCosts, hessian: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The best coefficients of one list of changes, and which tiles (B,) gained."""
    step, price = decoder.steps[index], decoder.bit_price(index)
    rows = costs.best_rows(coefficients, index)
    error, slope = error_and_gradient(decoder, points, coefficients * step[:, None], target)
    least = before = error + price * costs.of(coefficients, rows).sum(1)
    best, current = coefficients.clone(), coefficients.clone()
    curvature = hessian.diagonal(dim1=1, dim2=2)
    tile = torch.arange(len(current), device=current.device)
    for number in range(1, MARKS[-1] + 1):
        trial = torch.stack([current - 1, current + 1, torch.zeros_like(current)])
        move = (trial - current) * step[:, None]
        gain = 2 * move * slope + move.square() * curvature
        bits = costs.of(trial, rows.expand(3, -1, -1)) - costs.of(current, rows)
        gain = torch.where(move == 0, 0.0, gain + price[:, None] * bits)
        by_kind, kind = gain.min(0)
        change, which = by_kind.min(1)
        kind = kind[tile, which]
        move_chosen = torch.where(change < 0, move[kind, tile, which], 0.0)
        current[tile, which] = torch.where(
            change < 0, trial[kind, tile, which], current[tile, which]
        )
        slope = slope + hessian[tile, :, which] * move_chosen[:, None]
        if number in MARKS:
            after = squared_error(decoder, points, current * step[:, None], target)
            after = after + price * costs.of(current, costs.best_rows(current, index)).sum(1)
            good = after < least
            best[good], least = current[good], torch.where(good, after, least)
    return best, least < before
