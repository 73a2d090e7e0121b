"""Both activations are trained on the same models, and training determines the figures."""

from __future__ import annotations

import pytest

from velcodec.progress import no_progress
from velcodec.report.ablation import AblationRecipe, ablation_table, normalised_models, train

RECIPE = AblationRecipe(steps=20, width=16, hidden_layers=1, models=1, points=64)


@pytest.mark.parametrize("activation", ["sine", "relu"])
def test_training_reduces_the_error(activation: str) -> None:
    target = normalised_models(["flatvel_a"], RECIPE)
    flat = (target - target.mean(1, keepdim=True)).square().mean(1)
    assert train(activation, 2e-3, target, RECIPE, lambda _: None)[0] < 0.9 * flat[0]


def test_the_same_recipe_gives_the_same_figures() -> None:
    tables = [ablation_table(["flatvel_a", "style_a"], RECIPE, no_progress) for _ in range(2)]
    assert tables[0] is not None
    assert tables[0] == tables[1]
    assert tables[0]["models"] == 2
    assert len(tables[0]["runs"]) == 2 * len(RECIPE.learning_rates)


def test_without_steps_the_table_is_omitted() -> None:
    assert ablation_table(["flatvel_a"], AblationRecipe(steps=0), no_progress) is None
