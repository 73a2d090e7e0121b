"""Means and spreads of the figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velcodec.metrics import PSNR_CAP, psnr_of_mse
from velcodec.report import paper
from velcodec.report.figures import Figures, Spread, measure, spread, summary


def test_a_spread_has_the_papers_four_figures() -> None:
    assert spread([1.0, 3.0, 5.0, 7.0]) == Spread(4.0, 5.0**0.5, 7.0, 1.0)


def test_an_error_of_300_m_s_everywhere_is_20_db() -> None:
    model = np.full((9, 9), 2000.0)
    assert measure(model, model + 300.0).psnr_db == pytest.approx(20.0)
    assert measure(model, model + 300.0).mse == pytest.approx(90_000.0)


@given(st.lists(st.floats(1e-2, 1e6), min_size=1, max_size=9))
def test_the_mean_psnr_is_never_below_that_of_the_mean_error(errors: list[float]) -> None:
    found = summary([Figures(psnr_of_mse(mse), 1.0, mse) for mse in errors])
    assert found["psnr_db"]["max"] < PSNR_CAP
    assert found["psnr_db"]["mean"] >= found["psnr_db_of_mean_mse"] - 1e-9


def test_the_papers_family_means_average_to_its_overall_means() -> None:
    psnr, ssim = np.mean(list(paper.FAMILIES.values()), axis=0)
    assert psnr == pytest.approx(paper.OVERALL["psnr_db"][0], abs=0.005)
    assert ssim == pytest.approx(paper.OVERALL["ssim"][0], abs=0.0005)


@pytest.mark.parametrize("name", ["flatvel_a", "FlatVel-A", "flatvel", "flatvel_a_figure"])
def test_a_family_is_compared_with_the_papers_of_the_same_name(name: str) -> None:
    assert paper.family_figures(name) == paper.FAMILIES["flatvel"]


@pytest.mark.parametrize("name", ["flatvel_b", "marmousi2_10m", "geology"])
def test_other_families_have_no_figures_of_the_paper(name: str) -> None:
    assert paper.family_figures(name) is None
