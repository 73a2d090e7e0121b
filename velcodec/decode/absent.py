"""Absent samples of models: filled before they are coded, and known again at any grid and point.

A sample of another grid, or a point, is absent where the nearest sample of the model's own grid is;
of two as near, the one of the lower index counts. No torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.container.header import Layout
from velcodec.formats.no_data import no_data_value
from velcodec.geometry import Float64

if TYPE_CHECKING:
    from torch import Tensor

Absent = NDArray[np.bool_]


def filled(model: NDArray[np.generic], absent: Absent) -> NDArray[np.generic]:
    """A model with the nearest sample that is there in place of each absent one: cheap to code."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(absent, return_distances=False, return_indices=True)
    return np.asarray(model)[tuple(nearest)]


def at_grid(absent: Absent, grid: tuple[int, int]) -> Absent:
    """Which samples of a rendering (nz, nx) are absent."""
    if grid == absent.shape:
        return absent
    rows, columns = (
        # The centre of cell j of m is (2 j + 1) n / (2 m); sample i reaches from i to i + 1.
        -(-(2 * np.arange(m) + 1) * n // (2 * m)) - 1
        for n, m in zip(absent.shape, grid, strict=True)
    )
    return absent[rows][:, columns]


def at_cells(absent: Absent, cells: Float64) -> Absent:
    """Which of the points at cell coordinates (x, z), shape (P, 2), are absent."""
    x, z = np.maximum(np.ceil(cells).astype(np.int64) - 1, 0).T
    return absent[z, x]


def put_no_data(
    array: NDArray[np.generic], layout: Layout, absent: Absent | None
) -> NDArray[np.generic]:
    """A rendering as the user's array, with the no-data value where it is absent."""
    if absent is None or layout.no_data is None:
        return array
    out: NDArray[Any] = array.copy()
    value = no_data_value(layout.no_data, out.dtype)
    if layout.axes.endswith("xz"):
        out.T[at_grid(absent, out.shape[::-1])] = value
    else:
        out[at_grid(absent, out.shape)] = value
    return out


def put_no_data_in_tensor(tensor: Tensor, layout: Layout, absent: Absent | None) -> Tensor:
    """As `put_no_data`, on the tensor's device."""
    if absent is None or layout.no_data is None:
        return tensor
    import torch

    x_first = layout.axes.endswith("xz")
    nz, nx = tensor.shape[::-1] if x_first else tensor.shape
    there = torch.as_tensor(at_grid(absent, (nz, nx)), device=tensor.device)
    value = no_data_value(layout.no_data, np.dtype(layout.dtype))
    number = float(value) if tensor.is_floating_point() else int(value.astype(np.int64))
    return tensor.masked_fill(there.T if x_first else there, number)
