"""Random views of a tile, determined by the seed."""

from __future__ import annotations

import torch
from torch import Tensor


def some_points(count: int, keep: int, seed: int, device: torch.device) -> Tensor:
    """Numbers of at most `keep` of `count` points in random order, determined by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:keep].to(device)
