"""L-BFGS with a budget."""

from __future__ import annotations

import pytest
import torch

from velcodec.fwi.descent import descend


def test_a_bowl_over_several_tensors_is_minimised() -> None:
    one, other = torch.zeros(2, 3, requires_grad=True), torch.full((4,), 5.0, requires_grad=True)
    least = descend(
        [one, other], lambda: (one - 2).square().sum() + 10 * (other + 1).square().sum(), 40
    )
    assert least == pytest.approx(0.0, abs=1e-6)
    assert one.detach() == pytest.approx(torch.full((2, 3), 2.0), abs=1e-3)
    assert other.detach() == pytest.approx(torch.full((4,), -1.0), abs=1e-3)


@pytest.mark.parametrize("budget", [1, 7, 30])
def test_the_budget_is_kept_and_the_best_point_is_the_result(budget: int) -> None:
    at = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    losses = []

    def rosenbrock() -> torch.Tensor:
        loss = 100 * (at[1] - at[0] ** 2) ** 2 + (1 - at[0]) ** 2
        losses.append(float(loss.detach()))
        return loss

    least = descend([at], rosenbrock, budget)
    assert len(losses) == budget
    assert least == min(losses)
    assert float(rosenbrock().detach()) == pytest.approx(least)


def test_a_minimum_that_is_reached_ends_the_descent() -> None:
    at, count = torch.tensor([3.0], requires_grad=True), 0

    def loss() -> torch.Tensor:
        nonlocal count
        count += 1
        return at.square().sum()

    descend([at], loss, 1000)
    assert count < 100
    assert float(at.detach()) == pytest.approx(0.0, abs=1e-4)
