"""Rounding one coefficient after the other, those not yet rounded making up for it."""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.quantise.costs import BitCosts


def round_group(
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
