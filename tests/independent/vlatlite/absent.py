"""Absent samples (docs/format-exact.md)."""

import numpy as np

from .coder import clamp
from .container import check


def absent_samples(stream, shape):
    """Which samples (nz, nx) are absent."""
    nz, nx = shape
    models = [[1 << 15, 0] for _ in range(128)]
    before = [0] * nz
    columns = []
    for _ in range(nx):
        column = []
        for z in range(nz):
            context = 0
            for bit in (
                column[z - 1] if z > 0 else 0,
                column[z - 2] if z > 1 else 0,
                *(before[clamp(z + k, 0, nz - 1)] for k in range(-2, 3)),
            ):
                context = 2 * context + bit
            column.append(stream.bit(models[context]))
        columns.append(column)
        before = column
    stream.finish()
    found = np.array(columns, dtype=bool).T
    check(found.any() and not found.all(), "absent samples: none or all")
    return found


def nearest(absent, grid):
    """Which samples of another grid are absent: their nearest is (ties to the lower index)."""
    rows, columns = (
        [-(-(2 * j + 1) * n // (2 * m)) - 1 for j in range(m)]
        for n, m in zip(absent.shape, grid, strict=True)
    )
    return absent[np.ix_(rows, columns)]
