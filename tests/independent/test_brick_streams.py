"""The specification of bricks is enough: a reader made from it alone reads every one."""

from __future__ import annotations

import numpy as np
import pytest
from vlatlite.volumes import brick

from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.domain import EVEN, Domain
from velcodec.formats.volume_coding.coder import encode_brick, encode_within
from velcodec.formats.volume_coding.parts import smooth_parts

Shape = tuple[int, int, int]


def faulted(shape: Shape, seed: int = 0) -> Int64:
    """Integers of dipping layers cut by an inclined fault, with specks of another value."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    rng = np.random.default_rng(seed)
    depth = z + 0.37 * x - 0.21 * y + 5 * (x + z / 3 > shape[2] / 2) + 4
    found = rng.integers(0, 400, 64)[np.clip(depth // 6, 0, 63).astype(np.int64)]
    return np.where(rng.random(shape) < 0.004, rng.integers(0, 400, shape), found)


def waves(shape: Shape, height: float) -> Int64:
    """Integers of a smooth field, with a jump of thrice the height at an inclined plane."""
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    field = height * (2 + np.sin(x / 7 + z / 11) * np.cos(y / 6 - z / 9))
    field += 3 * height * (z + x / 3 > shape[0] / 2)
    return np.rint(field).astype(np.int64)


def check_exact(codes: Int64, span: int, smooth: bool) -> None:
    stream = encode_brick(codes, Domain(EVEN, 0.0, 1.0, span), smooth)
    assert np.array_equal(brick(stream, codes.shape, span), codes)


@pytest.mark.parametrize("smooth", [False, True], ids=["layered", "smooth"])
@pytest.mark.parametrize("shape", [(24, 9, 10), (1, 6, 7), (40, 1, 8), (30, 8, 1), (1, 1, 1)])
def test_layers_are_read(shape: Shape, smooth: bool) -> None:
    check_exact(faulted(shape), 400, smooth)


def test_quiet_stretches_that_break_anywhere_are_read() -> None:
    codes = np.zeros((50, 8, 8), dtype=np.int64)
    codes[30:] = 3
    for x, row in enumerate((3, 28, 29, 12, 31, 20)):
        codes[row : row + 2, 2 + x % 5, x + 1] = 5
    check_exact(codes, 9, smooth=False)


@pytest.mark.parametrize("smooth", [False, True], ids=["layered", "smooth"])
@pytest.mark.parametrize("span", [1 << 26, 1 << 45, 1 << 60])
def test_wide_spans_are_read(span: int, smooth: bool) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 20, (9, 6, 7))
    codes = waves((9, 6, 7), span / 16).clip(0, span - (1 << 20) - 1) + noise
    check_exact(codes, span, smooth)


@pytest.mark.parametrize("reach", [0, 1, 9])
@pytest.mark.parametrize("shape", [(17, 11, 14), (1, 9, 12), (2, 3, 1), (1, 1, 1), (33, 2, 5)])
def test_interpolated_bricks_are_read(shape: Shape, reach: int) -> None:
    codes = waves(shape, 300)
    span = max(int(codes.max()) + 1, 10)
    stream = encode_within(codes, Domain(EVEN, 0.0, 1.0, span), reach)
    found = brick(stream, shape, span)
    assert int(np.abs(found - codes).max()) <= reach


def test_smooth_parts_are_read() -> None:
    codes = waves((24, 12, 12), 500) + 4000 * (np.mgrid[:24, :12, :12][1] > 7)
    assert smooth_parts(codes, 9).max() > 1
    stream = encode_within(codes, Domain(EVEN, 0.0, 1.0, 8000), 4)
    assert int(np.abs(brick(stream, codes.shape, 8000) - codes).max()) <= 4


def test_a_padded_brick_is_read() -> None:
    check_exact(np.full((32, 64, 64), 7), 100, smooth=False)
