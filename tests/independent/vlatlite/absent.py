"""Absent samples (docs/format-exact.md)."""

import numpy as np

from .coder import clamp
from .container import check


def absent_samples(stream, shape):
    """Which samples (nz, nx) or (nz, ny, nx) are absent."""
    nz, nx = shape[0], shape[-1]
    models = [[1 << 15, 0] for _ in range(4096)]
    behind = None
    sections = []
    for _ in range(shape[1] if len(shape) == 3 else 1):
        columns = []
        for x in range(nx):
            column = []
            top = behind[x][0] if behind else 0
            for z in range(nz):
                rows = [clamp(z + k, 0, nz - 1) for k in range(-2, 3)]
                context = 0
                for bit in (
                    *(behind[x][row] if behind else 0 for row in rows),
                    column[z - 1] if z > 0 else top,
                    column[z - 2] if z > 1 else top,
                    *(columns[x - 1][row] if x > 0 else 0 for row in rows),
                ):
                    context = 2 * context + bit
                column.append(stream.bit(models[context]))
            columns.append(column)
        sections.append(columns)
        behind = columns
    stream.finish()
    found = np.array(sections, dtype=bool).transpose(2, 0, 1).reshape(shape)
    check(found.any() and not found.all(), "absent samples: none or all")
    return found


def nearest(absent, grid):
    """Which samples of another grid are absent: their nearest is (ties to the lower index)."""
    places = (
        [-(-(2 * j + 1) * n // (2 * m)) - 1 for j in range(m)]
        for n, m in zip(absent.shape, grid, strict=True)
    )
    return absent[np.ix_(*places)]
