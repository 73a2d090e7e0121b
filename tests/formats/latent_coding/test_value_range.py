"""Value ranges: never wider than the tile's own, and exactly what will be stored."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from velcodec.formats.latent_coding.value_range import grid_index, inward_range, on_grid

VALUES = st.floats(allow_nan=False, allow_infinity=False)
VELOCITIES = st.floats(0, 9000, allow_nan=False)


@settings(deadline=None, max_examples=150)
@given(VALUES | VELOCITIES, VALUES | VELOCITIES, st.sampled_from([0.0, 1500.0]))
@example(1e-20, 3000.0, 1500.0)
@example(-1e308, 1e308, 0.0)
def test_a_range_never_leaves_the_minimum_and_maximum(a: float, b: float, base: float) -> None:
    least, greatest = min(a, b), max(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = inward_range(least, greatest, base, 1.0)
    assert least <= low <= high <= greatest
    assert (low == high) == (least == greatest)


def test_a_wide_range_moves_to_the_next_whole_steps() -> None:
    low, high = inward_range([1500.2], [4499.7], 0.0, 1.0)
    assert (low[0], high[0]) == (1501.0, 4499.0)


def test_a_narrow_range_lies_on_the_fine_grid() -> None:
    low, high = inward_range([1500.01], [1502.0], 0.0, 1.0)
    assert (low[0], high[0]) == (1500.015625, 1502.0)


def test_a_range_too_narrow_for_any_grid_is_exact() -> None:
    low, high = inward_range([1500.01], [1500.1], 0.0, 1.0)
    assert (low[0], high[0]) == (1500.01, 1500.1)


@settings(deadline=None, max_examples=100)
@given(VALUES | st.integers(-(2**20), 2**20).map(float))
@example(1e-20)
@example(-0.0)
def test_what_is_on_the_grid_comes_back_exactly(value: float) -> None:
    values = np.array([value])
    for base in (0.0, 1500.0):
        if on_grid(values, base, 0.25, 16)[0]:
            assert base + grid_index(values, base, 0.25)[0] * 0.25 == value


def test_the_grid_ends_where_its_bits_do() -> None:
    values = np.array([1499.0, 1500.0, 1515.0, 1516.0])
    assert on_grid(values, 1500.0, 1.0, 4).tolist() == [False, True, True, False]
