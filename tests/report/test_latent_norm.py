"""Correlation of latent norm and quality."""

from __future__ import annotations

import pytest

from velcodec.report.coding import CodedFamily
from velcodec.report.latent_norm import correlation_table, pearson


def test_lines_correlate_fully() -> None:
    assert pearson([1.0, 2.0, 3.0], [5.0, 7.0, 9.0]) == pytest.approx(1.0)
    assert pearson([1.0, 2.0, 3.0], [9.0, 7.0, 5.0]) == pytest.approx(-1.0)


@pytest.mark.parametrize("x", [[1.0, 2.0], [4.0, 4.0, 4.0]])
def test_an_undefined_correlation_is_none(x: list[float]) -> None:
    assert pearson(x, [1.0, 2.0, 4.0][: len(x)]) is None


def test_differences_between_families_can_hide_a_correlation() -> None:
    norms = {"a": [1.0, 2.0, 3.0], "b": [11.0, 12.0, 13.0]}
    psnr = {"a": [3.0, 2.0, 1.0], "b": [13.0, 12.0, 11.0]}
    found = correlation_table(norms, psnr, psnr)
    assert found["families"]["a"]["latents"] == pytest.approx(-1.0)
    assert found["all"]["latents"] > 0.9


def test_a_models_norm_is_that_of_its_latent(coded: CodedFamily) -> None:
    latents = coded.unquantised.fitted.latents
    assert coded.unquantised.norms() == pytest.approx(latents.norm(dim=1).tolist())
