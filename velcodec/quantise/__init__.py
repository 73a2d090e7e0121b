"""From fitted latents to integers and back.

The decoder's latent is already in a decorrelated basis in which one step means one output error, so
a coefficient is the latent's component divided by the step of its tile. What this package decides
is which integers: `rounding` picks them one after the other, `descent` changes them while that
gains, both for rate and distortion.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import RELATIVE_FLOOR, Descent, LMOptions, block_sizes
from velcodec.fit.parallel import by_parts
from velcodec.fit.views import some_points
from velcodec.quantise.costs import BitCosts
from velcodec.quantise.descent import integer_descent
from velcodec.quantise.rounding import round_group

GROUPS = (24, 40, 64, 128)
"""Coefficients rounded together; between groups the free ones are re-fitted."""

REFIT = LMOptions(attempts=2)
REFIT_POINTS = 1225

DESCENT_PASSES = 8


def dequantise(decoder: Decoder, coefficients: Tensor, step_index: Tensor) -> Tensor:
    """Latents (B, D) that coefficients (B, D) stand for, at step indices (B,)."""
    steps: Tensor = decoder.steps.to(coefficients.device)
    return coefficients.to(steps.dtype) * steps[step_index][:, None]


@torch.no_grad()
def quantise(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    groups: tuple[int, ...] = GROUPS,
    passes: int = DESCENT_PASSES,
) -> Tensor:
    """Coefficients int32 (B, D) for fitted latents (B, D), at step indices (B,).

    `target` (B, P) at `points` (P, 2) as for `velcodec.fit.fit_latents`. Coefficients are rounded
    in order of importance, each by squared error plus the price of its bits, with error feedback
    through the Hessian; between groups the free ones are re-fitted. With tables, up to
    `passes` passes of integer descent follow.
    """

    def integers(tiles: slice) -> Tensor:
        aim = target[tiles], points, step_index[tiles]
        return _quantise(decoder, latent[tiles], *aim, groups, passes)

    return by_parts(integers, len(latent), block_sizes(points)[0], latent.device)


@torch.no_grad()
def _quantise(
    decoder: Decoder, latent: Tensor, target: Tensor, points: Tensor, step_index: Tensor,
    groups: tuple[int, ...], passes: int,
) -> Tensor:  # fmt: skip
    """As `quantise`, for tiles that are looked at together."""
    step = decoder.steps[step_index]
    price = decoder.bit_price(step_index)
    weight = decoder.prior_weight(step_index)[:, None] * decoder.prior_precision
    costs = BitCosts(decoder.tables, latent.device) if decoder.tables is not None else None
    everyone = torch.arange(len(latent), device=latent.device)
    some = some_points(len(points), REFIT_POINTS, 0, points.device)
    seen, wanted = points[some], target[:, some]
    descent = Descent(decoder, latent, weight, REFIT)
    result = torch.zeros_like(latent, dtype=torch.int32)
    z, start = descent.latent, 0
    for count in groups:
        free = torch.arange(start, z.shape[1], device=z.device)
        descent.renew_hessian(everyone, seen[: REFIT.hessian_points])
        if start:
            descent.step(everyone, seen, wanted, free)
        hessian = descent.whole_hessian()
        floor = RELATIVE_FLOOR * hessian.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
        hessian = hessian + torch.diag_embed(weight + 10 * floor)
        guess = result.clone()
        guess[:, start:] = torch.round(z[:, start:] / step[:, None]).int()
        rows = costs.best_rows(guess, step_index)[:, start:] if costs else guess
        part = hessian[:, start:, start:]
        fixed, rest = round_group(z[:, start:], part, step, price, costs, rows, count)
        result[:, start : start + count] = fixed.int()
        z[:, start : start + count] = fixed * step[:, None]
        start += count
        z[:, start:] = rest
    if costs is None:
        return result
    return integer_descent(decoder, result, target, points, step_index, costs, passes)


@torch.no_grad()
def round_alone(decoder: Decoder, latent: Tensor, step_index: Tensor) -> Tensor:
    """As `quantise`, each coefficient for itself and nothing rendered: by its own error, as the
    latent's basis has it, plus the price of its bits. For latents that were not fitted.
    """
    step = decoder.steps[step_index][:, None]
    nearest = torch.round(latent / step)
    if decoder.tables is None:
        return nearest.int()
    costs = BitCosts(decoder.tables, latent.device)
    rows = costs.best_rows(nearest.int(), step_index)
    candidates = torch.stack([nearest, nearest - torch.sign(nearest), torch.zeros_like(nearest)])
    bits = costs.of(candidates.int(), rows.expand(3, -1, -1))
    loss = (candidates * step - latent).square() + decoder.bit_price(step_index)[:, None] * bits
    return candidates.gather(0, loss.argmin(0, keepdim=True))[0].int()


__all__ = ["DESCENT_PASSES", "BitCosts", "dequantise", "integer_descent", "quantise", "round_alone"]
