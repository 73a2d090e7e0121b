"""Check requested resolutions, the same way in Python and on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from velcodec.formats.errors import ResolutionError

LARGE_CELLS = 100_000_000
"""Samples over all models of one call above which a rendering must be confirmed."""

WRITTEN_PER_BYTE = 1 << 12
"""Samples for each byte of an archive above which files of as many must be asked for twice too. As
they are written piece by piece, it is the disk that fills, and the time that passes.
"""

Resolution = int | tuple[int, int]
"""N for N x N samples, or (nz, nx)."""


def check_resolution(
    res: int | Sequence[int] | None, models: int, allow_large: bool
) -> tuple[int, int] | None:
    """`res` as (nz, nx), or ResolutionError; None stays None."""
    if res is None:
        return None
    pair = (res, res) if isinstance(res, (int, np.integer)) else tuple(res)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) for n in pair):
        raise ResolutionError(f"resolution: expected N or (nz, nx), found {res!r}")
    nz, nx = (int(n) for n in pair)
    if nz < 1 or nx < 1:
        raise ResolutionError(f"resolution: found {nz}x{nx}, expected at least 1 sample per axis")
    cells = nz * nx * models
    if cells > LARGE_CELLS and not allow_large:
        raise ResolutionError(
            f"resolution {nz}x{nx} of {models} models makes {cells:,} samples, above "
            f"{LARGE_CELLS:,}: confirm with --allow-large (allow_large=True)"
        )
    return nz, nx


def check_volume_resolution(
    res: int | Sequence[int], place: str, allow_large: bool
) -> tuple[int, int, int]:
    """`res` of a volume, N or (nz, ny, nx), as the latter, or ResolutionError."""
    sizes = (res,) * 3 if isinstance(res, (int, np.integer)) else tuple(res)
    if len(sizes) != 3 or not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise ResolutionError(f"{place}: resolution: expected N or (nz, ny, nx), found {res!r}")
    nz, ny, nx = (int(n) for n in sizes)
    if min(nz, ny, nx) < 1:
        raise ResolutionError(f"{place}: resolution: found {sizes}, expected at least 1 along each")
    check_native((nz, ny, nx), f"{place}: the rendering", allow_large)
    return nz, ny, nx


def check_native(sizes: Sequence[int], place: str, allow_large: bool) -> None:
    """Raise ResolutionError for a model of these samples along its axes that is too large to decode
    without confirmation: a few bytes may stand for any number of equal samples.
    """
    if math.prod(sizes) > LARGE_CELLS and not allow_large:
        raise ResolutionError(
            f"{place}: has {' x '.join(map(str, sizes))} samples, above {LARGE_CELLS:,}: confirm "
            "with --allow-large (allow_large=True)"
        )


def is_large(samples: int) -> bool:
    """Whether a model of so many samples is decoded only if that is confirmed."""
    return samples > LARGE_CELLS


def check_total(samples: int, place: str, allow_large: bool) -> None:
    """ResolutionError for more samples, over all models of one call, than are decoded unasked."""
    if samples > LARGE_CELLS and not allow_large:
        raise ResolutionError(
            f"{place}: models of {samples:,} samples and more asked for together, above "
            f"{LARGE_CELLS:,}: take them one by one, or confirm with --allow-large "
            "(decode(..., allow_large=True))"
        )


def check_written(samples: int, size: int, place: str, allow_large: bool) -> None:
    """ResolutionError for files of more samples than an archive of `size` bytes should hold."""
    if samples > max(LARGE_CELLS, WRITTEN_PER_BYTE * size) and not allow_large:
        raise ResolutionError(
            f"{place}: its {size:,} bytes make {samples:,} samples: confirm with --allow-large "
            "(allow_large=True)"
        )
