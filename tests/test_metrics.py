"""The figures of merit, at a fixed range of 3000 m/s."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from velcodec import metrics


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    a = random.uniform(1500, 4500, (40, 30))
    return a, a + random.normal(0, 50, a.shape)


def test_psnr_uses_3000_m_s_whatever_the_models_own_range(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    a, b = pair
    assert metrics.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=3000.0))
    assert metrics.psnr(a / 10, a / 10 + 30.0) == pytest.approx(40.0)


def test_psnr_of_equal_models_is_the_cap() -> None:
    a = np.full((3, 3), 1500.0)
    assert metrics.psnr(a, a) == metrics.PSNR_CAP == 100.0


def test_errors_are_in_m_s() -> None:
    a, b = np.zeros((2, 2)), np.array([[1.0, -3.0], [0.0, 0.0]])
    assert metrics.mae(a, b) == 1.0
    assert metrics.max_error(a, b) == 3.0


def test_integers_do_not_wrap_around() -> None:
    a, b = np.array([[0, 200]], dtype=np.uint8), np.array([[200, 0]], dtype=np.uint8)
    assert metrics.max_error(a, b) == 200.0
    assert metrics.mean_squared_error(a, b) == 40_000.0


def test_ssim_is_scikit_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import structural_similarity

    expected = structural_similarity(*pair, data_range=3000.0, win_size=7)
    assert metrics.ssim(*pair) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(3, 50), (4, 4), (6, 9)])
def test_ssim_of_a_small_grid_takes_a_smaller_window(shape: tuple[int, int]) -> None:
    a = np.linspace(1500, 4500, math.prod(shape)).reshape(shape)
    assert metrics.ssim(a, a) == pytest.approx(1.0)
    assert metrics.ssim(a, a[::-1]) < 0.9


def test_ssim_of_a_grid_too_small_is_not_a_number_unless_equal() -> None:
    a = np.array([[1500.0, 2000.0]])
    assert metrics.ssim(a, a) == 1.0
    assert math.isnan(metrics.ssim(a, a + 1))


def test_quality_holds_all_figures(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = metrics.quality(*pair).to_dict()
    assert found == {
        "psnr": metrics.psnr(*pair),
        "ssim": metrics.ssim(*pair),
        "mae": metrics.mae(*pair),
        "max_error": metrics.max_error(*pair),
    }
