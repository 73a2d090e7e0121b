"""How a budget of shot-gradients is spent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from velcodec.formats.errors import OptionError
from velcodec.fwi.plan import planned, shares, spread


class Forward:
    dt = 1e-3

    def __init__(self, shots: int) -> None:
        self.shots = shots

    def __call__(self, velocity: Tensor) -> Tensor:
        return velocity.new_ones(self.shots, 3, 50)

    def some(self, shots: Sequence[int]) -> Forward:
        return Forward(len(shots))


def test_early_bands_take_few_shots_and_more_evaluations() -> None:
    bands = planned(Forward(5), torch.rand(5, 3, 50), (6.0, 12.0, None), 200, few=True)
    assert [band.shots for band in bands] == [1, 2, 3]
    assert [band.evaluations for band in bands] == [47, 33, 29]
    assert sum(band.shots * band.evaluations for band in bands) == 200
    assert [band.misfit.observed.shape[0] for band in bands] == [1, 2, 3]


def test_the_misfit_of_few_shots_is_that_of_their_data() -> None:
    data = torch.zeros(5, 3, 50)
    data[2] = 1.0
    (first, *_) = planned(Forward(5), data, (6.0, 12.0, None), 200, few=True)
    assert float(first.misfit(first.forward(torch.zeros(2, 2)))) == pytest.approx(0.0)


def test_the_prior_weighs_more_where_noise_leaves_few_data() -> None:
    low, *_, whole = planned(Forward(5), torch.rand(5, 3, 50), (6.0, 12.0, None), 200, few=True)
    assert low.prior_weight(0.0, 256) == 0
    assert whole.prior_weight(0.2, 256) == pytest.approx(4 * whole.prior_weight(0.1, 256))
    assert whole.prior_weight(0.1, 512) == pytest.approx(2 * whole.prior_weight(0.1, 256))
    assert (low.data, whole.data) == (pytest.approx(0.012 * 150), 450)


def test_all_shots_are_taken_where_few_are_not_wanted() -> None:
    bands = planned(Forward(5), torch.rand(5, 3, 50), (6.0, None), 100, few=False)
    assert [band.shots for band in bands] == [5, 5]
    assert sum(band.shots * band.evaluations for band in bands) == 100


def test_chosen_shots_are_evenly_spread() -> None:
    assert [spread(5, count) for count in (0, 1, 2, 3, 5)] == [
        (2,), (2,), (1, 3), (0, 2, 4), (0, 1, 2, 3, 4),
    ]  # fmt: skip
    assert spread(40, 4) == (5, 15, 25, 35)


def test_shares_rise_to_a_whole() -> None:
    assert sum(shares(3)) == pytest.approx(1)
    assert shares(3) == sorted(shares(3))


def test_a_budget_without_an_evaluation_in_every_band_is_refused() -> None:
    with pytest.raises(OptionError, match="found 10 gradients of 5 shots"):
        planned(Forward(5), torch.rand(5, 3, 50), (6.0, 12.0, None), 10, few=False)
