"""Upsamplings line up with the generator's finer grids, and stay in range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velcodec.coordinates import cell_centres
from velcodec.report.data import generated_families, generated_truth
from velcodec.report.super_resolution import UPSAMPLINGS, upsample


def test_nearest_repeats_every_sample() -> None:
    model = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert np.array_equal(upsample(model, 6, "nearest"), np.kron(model, np.ones((3, 3))))


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_smooth_upsamplings_keep_a_ramp_where_it_is(method: str) -> None:
    """So cell centres are aligned: a shift of half a cell would show."""
    coarse = cell_centres(10)[:, None] + 3 * cell_centres(10)
    fine = cell_centres(40)[:, None] + 3 * cell_centres(40)
    inner = slice(8, -8)
    assert np.allclose(upsample(coarse, 40, method)[inner, inner], fine[inner, inner])


@given(seed=st.integers(0, 99), method=st.sampled_from(UPSAMPLINGS))
def test_no_upsampling_leaves_the_models_range(seed: int, method: str) -> None:
    model = np.random.default_rng(seed).uniform(1500, 4500, (5, 5))
    fine = upsample(model, 20, method)
    assert model.min() <= fine.min() <= fine.max() <= model.max()


def test_the_truth_is_the_same_models_as_those_fitted() -> None:
    (family,) = generated_families(["flatfault_a"], 2)
    truth = generated_truth("flatfault_a", 2)
    assert np.array_equal(family.models.m_s(1), truth.render(70, 70)[1].numpy())
    # 210 is an odd refinement of 70, so it shares cell centres with it.
    shared = truth.render(210, 210)[1, 1::3, 1::3].numpy()
    assert np.mean(np.abs(shared - family.models.m_s(1)) < 1.0) > 0.99
