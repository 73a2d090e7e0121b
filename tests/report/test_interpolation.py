"""The path between two latents starts and ends at their renderings; its symmetry is measured."""

from __future__ import annotations

import numpy as np
import pytest

from velcodec.metrics import mean_squared_error
from velcodec.report.coding import CodedFamily
from velcodec.report.interpolation import (
    ALPHAS,
    asymmetry,
    follow,
    follow_all,
    interpolation_table,
)


def test_the_ends_are_the_renderings_of_both_models(coded: CodedFamily) -> None:
    path = follow(coded, (0, 1))
    assert np.array_equal(path.renderings[0], coded.unquantised.rendering(0))
    assert np.array_equal(path.renderings[-1], coded.unquantised.rendering(1))
    assert path.errors[0, 0] == path.errors[-1, 1] == 0.0
    assert path.errors[0, 1] == path.errors[-1, 0] > 0.0


def test_errors_to_the_models_are_those_of_the_renderings(coded: CodedFamily) -> None:
    path = follow(coded, (0, 1))
    model = coded.family.models.m_s(1)
    for rendering, error in zip(path.renderings, path.errors[:, 3], strict=True):
        assert error == mean_squared_error(rendering, model)


def test_a_cross_fade_is_symmetric_and_a_lopsided_path_is_not() -> None:
    alpha = np.array(ALPHAS)
    assert asymmetry(np.stack([alpha**2, (1 - alpha) ** 2], axis=1)) == pytest.approx(0.0)
    late = np.where(alpha < 1, 0.0, 1.0)  # A along the whole path, then B
    assert asymmetry(np.stack([late, 1 - late], axis=1)) == pytest.approx(5 / 7)


def test_equal_models_make_a_symmetric_path() -> None:
    assert asymmetry(np.zeros((7, 4))) == 0.0


def test_the_table_has_a_row_for_every_alpha(coded: CodedFamily) -> None:
    table = interpolation_table(follow_all([coded]))
    assert table is not None
    assert [row["alpha"] for row in table["rows"]] == list(ALPHAS)
    assert table["pairs"] == 1
    assert table["rows"][0]["crossfade_to_b"] == table["rows"][0]["mse_to_b"]


def test_without_pairs_there_is_no_table() -> None:
    assert interpolation_table([]) is None
