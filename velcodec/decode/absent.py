"""Putting the no-data value at the absent samples of a rendering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.stored import x_first
from velcodec.formats.container.header import Layout
from velcodec.formats.no_data import no_data_value
from velcodec.masks import Absent, at_grid

if TYPE_CHECKING:
    from torch import Tensor


def put_no_data(
    array: NDArray[np.generic], layout: Layout, absent: Absent | None
) -> NDArray[np.generic]:
    """A rendering in the user's layout, with the no-data value at its absent samples."""
    if absent is None or layout.no_data is None:
        return array
    out: NDArray[Any] = array.copy()
    value = no_data_value(layout.no_data, out.dtype)
    if x_first(layout):
        out.T[at_grid(absent, out.shape[::-1])] = value
    else:
        out[at_grid(absent, out.shape)] = value
    return out


def put_no_data_in_tensor(tensor: Tensor, layout: Layout, absent: Absent | None) -> Tensor:
    """`put_no_data` for a tensor, on its device."""
    if absent is None or layout.no_data is None:
        return tensor
    import torch

    transposed = x_first(layout)
    nz, nx = tensor.shape[::-1] if transposed else tensor.shape
    mask = torch.as_tensor(at_grid(absent, (nz, nx)), device=tensor.device)
    value = no_data_value(layout.no_data, np.dtype(layout.dtype))
    number = float(value) if tensor.is_floating_point() else int(value.astype(np.int64))
    return tensor.masked_fill(mask.T if transposed else mask, number)
