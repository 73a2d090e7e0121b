"""Generated volumes: three-dimensional velocity models, drawn from a seed, exact at every grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from velcodec.synth.volume.base import Volume, Volumes
from velcodec.synth.volume.channels import draw_channels
from velcodec.synth.volume.faults import draw_blended, draw_faulted
from velcodec.synth.volume.gradient import draw_gradient
from velcodec.synth.volume.layers import draw_flat, draw_folded
from velcodec.synth.volume.numbers import Numbers
from velcodec.synth.volume.salt import draw_salt

_FAMILIES: dict[str, Callable[[Numbers], Volume]] = {
    "flat": draw_flat,
    "folded": draw_folded,
    "faulted": draw_faulted,
    "blended": draw_blended,
    "salt": draw_salt,
    "channels": draw_channels,
    "gradient": draw_gradient,
}

VOLUME_FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""Names that `draw_volumes` takes."""

VOLUME_SUMMARIES: dict[str, str] = {
    "flat": "4 to 8 flat layers",
    "folded": "4 to 8 layers under one relief or plunging folds",
    "faulted": "3 to 8 layers, one to three dipping faults, sharp",
    "blended": "2 to 4 layers, one dipping fault, edges a cell wide",
    "salt": "salt bodies in folded layers, with water or gradients",
    "channels": "thin beds with meandering channels",
    "gradient": "smooth trends, soft shapes, texture and lenses",
}
"""A short description of each family."""


def draw_volumes(
    family: str, seed: int, start: int, count: int, device: torch.device | str = "cpu"
) -> Volumes:
    """Volumes start .. start + count - 1 of `family` and `seed`.

    (family, seed, number) determines a volume, whatever the batch. Raises ValueError for an unknown
    family, a negative start or a count below one.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(VOLUME_FAMILIES)}, found {family!r}")
    if start < 0 or count < 1:
        raise ValueError(
            f"start, count: expected start >= 0 and count >= 1, found {start}, {count}"
        )
    place, index = torch.device(device), VOLUME_FAMILIES.index(family)
    drawn = [
        _FAMILIES[family](Numbers(index, seed, number, place))
        for number in range(start, start + count)
    ]
    return Volumes(tuple(drawn), place)


def volumes(
    family: str, n: int, seed: int, shape: tuple[int, int, int] = (128, 128, 128)
) -> NDArray[np.float32]:
    """Volumes 0 .. n - 1 of `family` and `seed` on a grid of `shape` (nz, ny, nx): (n, nz, ny, nx)
    m/s, float32, depth down. Raises ValueError as `draw_volumes`.
    """
    rendered: NDArray[np.float32] = draw_volumes(family, seed, 0, n).render(*shape).numpy()
    return rendered
