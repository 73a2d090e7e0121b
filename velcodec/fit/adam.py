"""Adam on the latent with the decoder frozen: the paper's way to a latent (section 3.3).

Its many small steps at changing views of a tile find their way past local minima that sharp edges
make; Levenberg-Marquardt is far quicker at the bottom. The default fit takes one after the other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.fit.views import some_points

BETAS = 0.9, 0.99


@torch.no_grad()
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
    deviation = (precision + 1).rsqrt()
    unit, first, second = latent / deviation, torch.zeros_like(latent), torch.zeros_like(latent)
    for number in range(steps):
        some = some_points(len(points), view, number, points.device)
        current = unit * deviation
        gradient = decoder.error_and_gradient(points[some], current, target[:, some])[1]
        gradient = 2 * deviation * (gradient + precision * current)
        first.lerp_(gradient, 1 - BETAS[0])
        second.lerp_(gradient.square(), 1 - BETAS[1])
        rate = learning_rate * (1 + math.cos(math.pi * number / steps)) / 2
        bias = [1 - beta ** (number + 1) for beta in BETAS]
        unit -= rate / bias[0] * first / ((second / bias[1]).sqrt() + 1e-8)
    return unit * deviation
