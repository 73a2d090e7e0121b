"""Views of a tile: some of its points, determined by a seed."""

from __future__ import annotations

import torch
from torch import Tensor


def some_points(count: int, keep: int, seed: int, device: torch.device) -> Tensor:
    """Numbers of `keep` of `count` points in rising order, or of all where they are fewer: one is
    drawn from each of `keep` runs of equal length, so that every part of a grid is seen.
    """
    if keep >= count:
        return torch.arange(count, device=device)
    generator = torch.Generator().manual_seed(seed)
    share = torch.arange(keep) + torch.rand(keep, generator=generator, dtype=torch.float64)
    return (share * (count / keep)).long().clamp(max=count - 1).to(device)
