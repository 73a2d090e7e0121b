"""From fitted latents to integers and back.

The decoder's latent is already in a decorrelated basis in which one step means one output error, so
a coefficient is the latent's component divided by the step of its tile. What this module decides is
which integers: each is rounded for rate and distortion, and those not yet rounded make up for it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.lm import RELATIVE_FLOOR, Descent, LMOptions, some_points
from velcodec.formats.tile_stream import PRECISION, LatentTables

GROUPS = (24, 40, 64, 128)
"""Coefficients rounded together; between groups the free ones are re-fitted."""

REFIT = LMOptions(attempts=2)
REFIT_POINTS = 1225


def dequantise(decoder: Decoder, coefficients: Tensor, step_index: Tensor) -> Tensor:
    """Latents (B, D) that coefficients (B, D) stand for, at step indices (B,)."""
    steps: Tensor = decoder.steps.to(coefficients.device)
    return coefficients.to(steps.dtype) * steps[step_index][:, None]


class BitCosts:
    """Code length of every symbol of every table row, for decisions of the encoder only."""

    def __init__(self, tables: LatentTables, device: torch.device) -> None:
        frequency = torch.from_numpy(tables.frequencies.astype("float32"))
        self.bits = (PRECISION - torch.log2(frequency)).to(device)
        self.classes = torch.from_numpy(tables.classes.astype("int64")).to(device)
        self.limit = (frequency.shape[1] - 2) // 2

    def of(self, coefficients: Tensor, rows: Tensor) -> Tensor:
        """Bits of integer coefficients under table rows of the same shape."""
        size = coefficients.abs()
        symbol = torch.where(size > self.limit, 2 * self.limit + 1, coefficients + self.limit)
        beyond = (size - self.limit).clamp(min=1).to(self.bits.dtype)
        escape = torch.where(size > self.limit, 2 + 2 * torch.log2(beyond).floor(), 0.0)
        return self.bits[rows, symbol.long()] + escape

    def best_rows(self, coefficients: Tensor, step_index: Tensor) -> Tensor:
        """Table rows (B, D) of the record class that codes each tile (B, D) in the fewest bits."""
        rows = self.classes[:, step_index]
        total = torch.stack([self.of(coefficients, r).sum(1) for r in rows])
        return rows[total.argmin(0), torch.arange(len(coefficients), device=rows.device)]


def _round_group(
    latent: Tensor, hessian: Tensor, step: Tensor, price: Tensor, costs: BitCosts | None,
    rows: Tensor, count: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Round the first `count` of the free coefficients one after the other.

    `latent` (B, n) and `hessian` (B, n, n) are restricted to the free ones. Returns the integers
    (B, count) and the best values (B, n - count) of the rest given them.
    """
    n = latent.shape[1]
    # In reversed order the last row of the Cholesky factor belongs to the coefficient rounded
    # first: its diagonal is the curvature left when every other one may still move.
    factor = torch.linalg.cholesky(hessian.flip(1, 2))
    z = latent.flip(1)
    error = torch.zeros_like(z)
    integers = []
    for k in range(count):
        i = n - 1 - k
        curvature = factor[:, i, i]
        pull = (factor[:, i + 1 :, i] * error[:, i + 1 :]).sum(1) / curvature
        centre = z[:, i] - pull
        nearest = torch.round(centre / step)
        smaller = nearest - torch.sign(nearest)
        candidates = torch.stack([nearest, smaller, torch.zeros_like(nearest)])
        loss = (curvature * (candidates * step - centre)).square()
        if costs is not None:
            loss = loss + price * costs.of(candidates.int(), rows[:, k].expand(3, -1))
        chosen = candidates.gather(0, loss.argmin(0, keepdim=True))[0]
        integers.append(chosen)
        error[:, i] = chosen * step - z[:, i]
    left = n - count
    pull = torch.einsum("bji,bj->bi", factor[:, left:, :left], error[:, left:])
    free = (
        z[:, :left]
        - torch.linalg.solve_triangular(factor[:, :left, :left].mT, pull[..., None], upper=True)[
            ..., 0
        ]
    )
    return torch.stack(integers, dim=1), free.flip(1)


@torch.no_grad()
def quantise(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    step_index: Tensor,
    groups: tuple[int, ...] = GROUPS,
) -> Tensor:
    """Coefficients int32 (B, D) for fitted latents (B, D), at step indices (B,).

    `target` (B, P) at `points` (P, 2) as for `velcodec.fit.fit_latents`. Coefficients are rounded
    in order of importance, each by squared error plus the price of its bits, with error feedback
    through the Hessian; between groups the free ones are re-fitted.
    """
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
        hessian = descent.hessian
        floor = RELATIVE_FLOOR * hessian.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
        hessian = hessian + torch.diag_embed(weight + 10 * floor)
        guess = result.clone()
        guess[:, start:] = torch.round(z[:, start:] / step[:, None]).int()
        rows = costs.best_rows(guess, step_index)[:, start:] if costs else guess
        part = hessian[:, start:, start:]
        fixed, rest = _round_group(z[:, start:], part, step, price, costs, rows, count)
        result[:, start : start + count] = fixed.int()
        z[:, start : start + count] = fixed * step[:, None]
        start += count
        z[:, start:] = rest
    return result
