"""Tiles cover every sample, weigh one in sum, and leave no seam in a smooth field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velcodec.decode.tiling import Axis, Tiling, plan, plan_axis

SAMPLES = st.integers(1, 600)
TILES = st.sampled_from([8, 12, 16, 24, 35, 48, 70, 140])


def blended(axis: Axis, values: np.ndarray, n: int) -> np.ndarray:
    """What a rendering at n samples is when tile k holds values[k], one per output sample."""
    window = axis.window(n)
    out = np.zeros(n)
    for k, start in enumerate(window.start):
        out[start : start + window.weight.shape[1]] += window.weight[k] * values[k]
    return out


@given(SAMPLES, TILES, st.integers(1, 1500))
def test_weights_sum_to_one_at_any_resolution(n: int, tile: int, resolution: int) -> None:
    axis = plan_axis(n, tile)
    ones = np.ones((axis.tiles, axis.window(resolution).weight.shape[1]))
    np.testing.assert_allclose(blended(axis, ones, resolution), 1.0, atol=1e-12)
    assert (axis.window(resolution).weight >= -1e-12).all()


@given(SAMPLES, TILES, st.integers(1, 1500))
def test_a_tile_is_only_asked_within_its_own_domain(n: int, tile: int, resolution: int) -> None:
    window = plan_axis(n, tile).window(resolution)
    assert (np.abs(window.local[window.weight > 0]) <= 1 + 1e-9).all()


@given(SAMPLES, TILES)
def test_a_point_is_weighed_as_the_grid_is(n: int, tile: int) -> None:
    axis = plan_axis(n, tile)
    window = axis.window(n)
    cover = axis.cover(np.arange(n) + 0.5)
    dense = np.zeros((axis.tiles, n))
    for k, start in enumerate(window.start):
        dense[k, start : start + window.weight.shape[1]] = window.weight[k]
    rows = np.arange(n)[:, None]
    sparse = np.zeros_like(dense)
    np.add.at(sparse, (cover.tile, rows), cover.weight)
    np.testing.assert_allclose(sparse, dense, atol=1e-12)


@given(SAMPLES, TILES)
def test_tiles_cover_every_sample_and_stay_inside(n: int, tile: int) -> None:
    axis = plan_axis(n, tile)
    covered = np.zeros(n, dtype=bool)
    for offset in axis.offsets:
        assert 0 <= offset <= n - axis.size
        covered[offset : offset + axis.size] = True
    assert covered.all()
    assert axis.size <= 1.36 * tile + 1


@pytest.mark.parametrize("n", [1, 8, 70, 91])
def test_a_model_up_to_1_3_native_sizes_is_exactly_one_tile(n: int) -> None:
    tiling = plan(n, n, 70)
    assert tiling.tiles == 1
    assert tiling.tile_shape == (n, n)
    model = np.arange(n * n).reshape(n, n)
    np.testing.assert_array_equal(tiling.cut(model)[0], model)


def test_a_smooth_field_crosses_the_borders_without_a_seam() -> None:
    axis = plan_axis(351, 70)
    n = 1404

    def field(cells: np.ndarray) -> np.ndarray:
        return np.sin(cells / 40.0)

    window = axis.window(n)
    cells = axis.offsets[:, None] + (window.local + 1.0) / 2.0 * axis.size
    rendering = blended(axis, field(cells), n)
    np.testing.assert_allclose(rendering, field((np.arange(n) + 0.5) / 4), atol=1e-12)


def test_tiles_that_disagree_change_over_smoothly() -> None:
    axis = plan_axis(140, 70)
    n = 14_000
    window = axis.window(n)
    steps = np.arange(axis.tiles, dtype=float)[:, None] * np.ones(window.weight.shape[1])
    rendering = blended(axis, steps, n)
    slope = np.diff(rendering) * n / 140
    assert np.abs(slope).max() < 1.0  # per cell, for a jump of 1: the ramp is several cells wide
    assert np.abs(np.diff(slope)).max() < 0.01  # no kink


@given(st.integers(100, 400), TILES)
def test_the_slope_of_a_weight_is_its_derivative(n: int, tile: int) -> None:
    axis = plan_axis(n, tile)
    cells = np.linspace(0.3, n - 0.3, 97)
    step = 1e-5
    here, ahead, behind = (axis.cover(cells + d) for d in (0.0, step, -step))
    same = (ahead.tile == here.tile).all(1) & (behind.tile == here.tile).all(1)
    difference = (ahead.weight - behind.weight) / (2 * step)
    np.testing.assert_allclose(here.slope[same], difference[same], atol=1e-4)


def test_tile_numbers_run_row_by_row() -> None:
    tiling = Tiling(Axis(10, 6, 2), Axis(20, 8, 3))
    model = np.arange(200).reshape(10, 20)
    tiles = tiling.cut(model)
    assert tiles.shape == (6, 6, 8)
    np.testing.assert_array_equal(tiles[4], model[4:10, 6:14])


@pytest.mark.parametrize("bad", [(10, 4, 2), (10, 10, 2), (10, 5, 1), (10, 0, 12), (3, 2, 4)])
def test_tiles_that_leave_a_gap_are_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        Axis(*bad)
