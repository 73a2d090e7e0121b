"""The usual interpolations: where samples lie, what they keep exactly, and their range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from velcodec.geometry import cell_centres
from velcodec.report.upsampling import KERNELS, SPLINE, interpolate, positions, upsample, weights
from velcodec.sampler.compiled import cell_positions, spline_coefficients

METHODS = (*KERNELS, SPLINE)


def test_nearest_repeats_every_sample() -> None:
    model = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert np.array_equal(upsample(model, 6, "nearest"), np.kron(model, np.ones((3, 3))))


@pytest.mark.parametrize("method", ["bilinear", "bicubic", SPLINE])
@pytest.mark.parametrize("res", [27, 40])
def test_smooth_upsamplings_keep_a_ramp_where_it_is(method: str, res: int) -> None:
    """So cell centres are aligned: a shift of half a cell would show."""
    coarse = cell_centres(10)[:, None] + 3 * cell_centres(10)
    fine = cell_centres(res)[:, None] + 3 * cell_centres(res)
    inner = slice(8, -8)
    assert np.allclose(upsample(coarse, res, method)[inner, inner], fine[inner, inner])


@pytest.mark.parametrize("method", METHODS)
def test_every_sample_is_met_at_its_own_place(method: str) -> None:
    model = np.random.default_rng(1).normal(size=(6, 9))
    own = interpolate(model, np.arange(6) + 0.5, np.arange(9) + 0.5, method)
    assert np.allclose(own, model, atol=1e-12)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_torch_agrees_away_from_the_edges(method: str) -> None:
    """Its bicubic has a = -1/2 with antialias, which changes nothing else on the way up."""
    model = np.random.default_rng(2).normal(size=(12, 12))
    theirs = F.interpolate(
        torch.from_numpy(model)[None, None], (31, 31), mode=method, antialias=method == "bicubic"
    )[0, 0].numpy()
    inner = slice(6, -6)
    ours = upsample(model, 31, method)
    assert np.allclose(ours[inner, inner], theirs.clip(model.min(), model.max())[inner, inner])


def test_the_spline_is_the_natural_one_of_the_sampler() -> None:
    model = np.random.default_rng(3).normal(size=(7, 8))
    t = 0.25
    middle = [4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3]
    basis = np.array([(1 - t) ** 3, *middle, t**3]) / 6
    part = spline_coefficients(model)[4:8, 5:9]  # about sample (3, 4), with two more on each side
    found = interpolate(model, np.array([3.75]), np.array([4.75]), SPLINE)
    assert found[0, 0] == pytest.approx(np.clip(basis @ part @ basis, model.min(), model.max()))


@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    method=st.sampled_from(METHODS),
)
def test_no_upsampling_leaves_the_models_range(
    seed: int, shape: tuple[int, int], method: str
) -> None:
    model = np.random.default_rng(seed).uniform(1500, 4500, shape)
    fine = upsample(model, 20, method)
    assert model.min() <= fine.min() <= fine.max() <= model.max()


@given(samples=st.integers(1, 12), wanted=st.integers(1, 40), method=st.sampled_from(METHODS))
def test_weights_sum_to_one_wherever_they_are_asked_for(
    samples: int, wanted: int, method: str
) -> None:
    where = positions(samples, wanted)
    assert np.allclose(where, cell_positions(samples, wanted))
    assert np.allclose(weights(samples, where, method).sum(1), 1.0)
