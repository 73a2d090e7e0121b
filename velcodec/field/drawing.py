"""Generated models from a decoder's prior, or near given ones; numbered, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from velcodec.archive.archive import Archive
from velcodec.decode.units import to_m_s
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


def prior_field(
    shape: tuple[int, int],
    value_range: tuple[float, float],
    decoder: str | None = None,
    device: torch.device | str = "cpu",
) -> Field:
    """A field at the prior's mean, in one tile, whose draws have values within `value_range`.

    One tile, because the tiles of a draw have nothing to do with each other.
    """
    size = max(2, *shape)
    return Field(shape, bounds=value_range, tiles=size, decoder=decoder, device=device)


def fields_near(
    models: Sequence[NDArray[np.generic]],
    units: str,
    decoder: str | None = None,
    device: torch.device | str = "cpu",
) -> list[Field]:
    """Fields fitted to models [z, x] in `units`; their draws keep the models' value ranges."""
    return [
        Field(model.shape, bounds=None, decoder=decoder, device=device).fit_(to_m_s(model, units))
        for model in models
    ]


def fields_of(path: Path, device: torch.device | str = "cpu") -> list[Field]:
    """Fields of all models of an archive, from the latents as stored; see `Field.from_archive`."""
    with Archive(path) as archive:
        return [Field.from_archive(archive, k, device=device) for k in range(len(archive))]
