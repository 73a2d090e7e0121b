"""Adam on the latent with the decoder frozen: the paper's way to a latent (section 3.3).

Its many small steps at changing views of a tile find their way past local minima that sharp edges
make; Levenberg-Marquardt is far quicker at the bottom. The default fit takes one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder

from .views import some_points

TILES_AT_ONCE = 8
"""Tiles that descend together: few enough for the cache."""


def adam(
    decoder: Decoder,
    latent: Tensor,
    target: Tensor,
    points: Tensor,
    precision: Tensor,
    steps: int = 800,
    view: int = 512,
    learning_rate: float = 1e-2,
) -> Tensor:
    """Latents (B, D) after `steps` Adam steps on the same objective as `lm.descend`.

    Each step looks at `view` points, drawn afresh. The learning rate falls to zero; it is relative
    to the deviation that each coefficient would have were the Hessian the identity, which is what
    the frozen basis makes it on average.
    """
    parts = [
        _descend(decoder, z, y, points, weight, steps, view, learning_rate)
        for z, y, weight in zip(
            latent.split(TILES_AT_ONCE),
            target.split(TILES_AT_ONCE),
            precision.expand_as(latent).split(TILES_AT_ONCE),
            strict=True,
        )
    ]
    return torch.cat(parts)


def _descend(
    decoder: Decoder, latent: Tensor, target: Tensor, points: Tensor, precision: Tensor,
    steps: int, view: int, learning_rate: float,
) -> Tensor:  # fmt: skip
    deviation = (precision + 1).rsqrt()
    unit = (latent / deviation).detach().clone().requires_grad_(True)
    optimiser = torch.optim.Adam([unit], lr=learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for number in range(steps):
            some = some_points(len(points), view, number, points.device)
            current = unit * deviation
            error = (decoder(points[some], current) - target[:, some]).square().mean(1)
            loss = (error + (precision * current.square()).sum(1)).sum()
            optimiser.zero_grad(set_to_none=True)
            (unit.grad,) = torch.autograd.grad(loss, unit)
            optimiser.step()
            schedule.step()
    return (unit * deviation).detach()
