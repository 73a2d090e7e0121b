"""Layers filled up to the sizes that the compiled loops take (`velcodec.decoder.siren_mixture.cpu_product`)."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

UNIT = 4
"""Rows and columns of a layer are a multiple of this."""

BLOCK = 128
"""Points evaluated together."""

LEAST_POINTS = 2048
"""Points that are worth a thread of their own."""

Scalar = TypeVar("Scalar", bound=np.generic)


def filled_up(size: int) -> int:
    """The least multiple of UNIT that holds `size`."""
    return -(-size // UNIT) * UNIT


def filled(array: NDArray[Scalar], *sizes: int, value: Any = 0) -> NDArray[Scalar]:
    """An array (B, ...) filled up with `value` to these sizes of its other axes."""
    if array.shape[1:] == sizes:
        return array
    out = np.full((len(array), *sizes), value, dtype=array.dtype)
    out[tuple(slice(size) for size in array.shape)] = array
    return out


def in_blocks(matrix: NDArray[Scalar]) -> NDArray[Scalar]:
    """A matrix (M, N) filled up and cut into blocks of columns, (T, M, BLOCK)."""
    rows, columns = matrix.shape
    blocks = -(-columns // BLOCK)
    whole = np.zeros((filled_up(rows), blocks * BLOCK), matrix.dtype)
    whole[:rows, :columns] = matrix
    return np.ascontiguousarray(whole.reshape(-1, blocks, BLOCK).swapaxes(0, 1))
