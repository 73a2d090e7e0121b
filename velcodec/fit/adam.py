"""The paper's way to a latent: Adam on the latent with the decoder frozen (section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder


def adam(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    precision: Tensor,
    steps: int = 800,
    learning_rate: float = 5e-3,
) -> Tensor:
    """Latents (B, D) after `steps` Adam steps on the same objective as `lm.descend`.

    The learning rate is relative to each coefficient's prior standard deviation and falls to zero.
    """
    deviation = decoder.prior_precision.rsqrt()
    unit = (latent / deviation).detach().clone().requires_grad_(True)
    optimiser = torch.optim.Adam([unit], lr=learning_rate * 10)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            current = unit * deviation
            error = (decoder(points, current) - target).square().mean(1)
            loss = (error + (precision * current.square()).sum(1)).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return (unit * deviation).detach()
