"""Random views of a tile: the same for the same seed."""

from __future__ import annotations

import torch
from torch import Tensor


def some_points(count: int, keep: int, seed: int, device: torch.device) -> Tensor:
    """Numbers of at most `keep` of `count` points in random order, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:keep].to(device)
