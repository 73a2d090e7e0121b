"""The smooth map onto an interval."""

from __future__ import annotations

import pytest
import torch

from velcodec.field.smooth import within, within_inverse

LEAST, GREATEST, WIDTH = 1500.0, 4500.0, 6.0


def test_every_number_is_mapped_into_the_interval_in_order() -> None:
    values = torch.linspace(-1e5, 1e5, 2001, dtype=torch.float64)
    mapped = within(values, LEAST, GREATEST, WIDTH)
    assert mapped.min() > LEAST
    assert mapped.max() < GREATEST
    assert (mapped.diff() > 0).all()


def test_values_well_inside_stay_as_they_are() -> None:
    values = torch.linspace(1600, 4400, 50, dtype=torch.float64)
    assert within(values, LEAST, GREATEST, WIDTH) == pytest.approx(values, abs=0.1)


@pytest.mark.parametrize("value", [1000.0, 1500.0, 4500.0, 6000.0])
def test_no_slope_vanishes(value: float) -> None:
    at = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    within(at, LEAST, GREATEST, WIDTH).backward()
    assert at.grad is not None
    assert at.grad > 1e-6


def test_the_inverse_undoes_the_map() -> None:
    values = torch.linspace(1504, 4496, 100, dtype=torch.float64)
    inverse = within_inverse(values, LEAST, GREATEST, WIDTH)
    assert within(inverse, LEAST, GREATEST, WIDTH) == pytest.approx(values, abs=1e-6)


def test_an_end_is_taken_as_just_inside() -> None:
    inverse = within_inverse(torch.tensor([LEAST, GREATEST]), LEAST, GREATEST, WIDTH)
    mapped = within(inverse, LEAST, GREATEST, WIDTH)
    assert mapped == pytest.approx(torch.tensor([1503.0, 4497.0]), abs=0.1)
