"""The points of a grid in the decoder's domain, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from velcodec.geometry import grid_points as grid_array


def grid_points(
    nz: int,
    nx: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Domain points (x, z) of an [nz, nx] grid, shape (nz * nx, 2), in the array's order: what
    `Decoder.forward` takes.
    """
    return torch.as_tensor(grid_array(nz, nx)).to(device=device, dtype=dtype)
