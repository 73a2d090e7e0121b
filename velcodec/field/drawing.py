"""Generated models from a decoder's prior, or near given ones; numbered, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from velcodec.field.field import Field

MASK = (1 << 63) - 1


@torch.no_grad()
def drawn_models(
    fields: Sequence[Field],
    seed: int,
    numbers: range,
    spread: float | None,
    res: tuple[int, int] | None = None,
) -> Tensor:
    """Models `numbers` of `seed`, (n, nz, nx) in m/s, at `res` or the fields' grid.

    Model k is drawn near field k modulo their number, with `spread`, or from the prior of its
    decoder, without. Seed and number determine a model, whatever the batch.
    """
    models = []
    for number in numbers:
        generator = torch.Generator().manual_seed(((seed << 32) ^ number) & MASK)
        field = fields[number % len(fields)]
        models.append(field.sample(1, spread=spread, generator=generator)(res)[0])
    return torch.stack(models)
