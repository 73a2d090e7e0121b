"""Stored samples at another resolution: linear between them, for models that have no latent."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray


def interpolated(samples: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.generic]:
    """Samples (nz, nx) at `shape` over the same extent, in their own dtype and units.

    Bilinear between the cell centres of `velcodec.coordinates`, without a filter where the grid
    becomes coarser; constant beyond the outermost centres, so that no value leaves the samples'
    range. Integers are rounded to nearest even.
    """
    grid = torch.as_tensor(samples.astype(np.float64))[None, None]
    values = F.interpolate(grid, size=shape, mode="bilinear", align_corners=False)[0, 0].numpy()
    if np.issubdtype(samples.dtype, np.integer):
        values = np.rint(values)
    # A weighted mean may step out by a rounding error.
    return values.clip(float(samples.min()), float(samples.max())).astype(samples.dtype)
