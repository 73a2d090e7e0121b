"""L-BFGS with a budget of evaluations, on any tensors of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

RESTARTS = 5
"""A line search that fails starts again from the best point, so often at most."""


class _SpentError(Exception):
    """All evaluations are used."""


def descend(
    parameters: Sequence[Tensor],
    loss: Callable[[], Tensor],
    evaluations: int,
    *,
    memory: int = 20,
) -> float:
    """Minimise `loss()` over leaf tensors, which end at the best point met; returns its loss.

    At most `evaluations` losses with gradients are computed. The first step has length 1 in the
    parameters' units.
    """
    from scipy.optimize import minimize

    sizes = [tensor.numel() for tensor in parameters]
    best, least = _flat(parameters), np.inf
    used, scale = 0, 0.0

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best, least, used, scale
        if used == evaluations:
            raise _SpentError
        used += 1
        _assign(parameters, sizes, x)
        value = loss()
        slopes = torch.autograd.grad(value, parameters)
        slope = torch.cat([each.detach().reshape(-1) for each in slopes]).double().cpu().numpy()
        found = float(value.detach())
        if found < least:
            best, least = x.copy(), found
        if not scale:
            scale = 1.0 / max(float(np.linalg.norm(slope)), 1e-300)
        return found * scale, slope * scale

    options = {
        "maxiter": evaluations,
        "maxfun": evaluations,
        "maxcor": memory,
        "ftol": 0,
        "gtol": 0,
    }
    try:
        for _ in range(RESTARTS):
            before = used
            minimize(
                evaluate,
                best,
                jac=True,
                method="L-BFGS-B",
                options=options,
            )
            scale = 0.0
            if used - before < 3:
                break
    except _SpentError:
        pass
    _assign(parameters, sizes, best)
    return least


def _flat(parameters: Sequence[Tensor]) -> np.ndarray:
    return torch.cat([each.detach().reshape(-1) for each in parameters]).double().cpu().numpy()


@torch.no_grad()
def _assign(parameters: Sequence[Tensor], sizes: Sequence[int], x: np.ndarray) -> None:
    for tensor, part in zip(parameters, torch.from_numpy(x).split(list(sizes)), strict=True):
        tensor.copy_(part.view_as(tensor))
