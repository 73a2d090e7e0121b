"""Misfits in frequency bands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt

from velcodec.formats.errors import OptionError
from velcodec.fwi.bands import band_misfit, filtered, low_pass

SAMPLES, DT = 200, 2e-3


@pytest.fixture
def data() -> torch.Tensor:
    return torch.randn(2, 3, SAMPLES, generator=torch.Generator().manual_seed(1)).double()


def test_the_filter_is_the_causal_butterworth(data: torch.Tensor) -> None:
    found = filtered(data, low_pass(SAMPLES, DT, 12.0))
    sections = butter(4, 12.0, "lowpass", fs=1 / DT, output="sos")
    assert found.numpy() == pytest.approx(sosfilt(sections, data.numpy()), abs=1e-10)


def test_nothing_comes_before_its_cause(data: torch.Tensor) -> None:
    late = data.clone()
    late[..., 120:] += 5.0
    response = low_pass(SAMPLES, DT, 12.0)
    change = (filtered(late, response) - filtered(data, response)).abs()
    assert change[..., :120].max() < 1e-9
    assert change[..., 121:].max() > 1e-2


@pytest.mark.parametrize("corner", [None, 20.0])
def test_a_misfit_is_one_for_silence_and_zero_for_the_data(
    data: torch.Tensor, corner: float | None
) -> None:
    misfit = band_misfit(data, corner, DT, 2.0)
    assert float(misfit(torch.zeros_like(data))) == pytest.approx(1.0)
    assert float(misfit(data)) == pytest.approx(0.0, abs=1e-20)


def test_late_times_count_more_with_a_gain(data: torch.Tensor) -> None:
    early, late = torch.zeros_like(data), torch.zeros_like(data)
    early[..., 20], late[..., 180] = 1.0, 1.0
    misfit = band_misfit(data, None, DT, 2.0)
    assert misfit(data + late) > 1000 * misfit(data + early)


def test_high_frequencies_count_little_below_the_corner(data: torch.Tensor) -> None:
    time = torch.arange(SAMPLES) * DT
    slow, fast = (torch.sin(2 * np.pi * f * time) * time for f in (4.0, 100.0))
    misfit = band_misfit(data, 10.0, DT, 0.0)
    assert misfit(data + fast) < 1e-3 * misfit(data + slow)


@pytest.mark.parametrize(("corner", "dt"), [(None, DT), (20.0, DT), (None, None)])
def test_the_misfit_of_noise_is_what_noise_makes_on_average(
    data: torch.Tensor, corner: float | None, dt: float | None
) -> None:
    misfit = band_misfit(data, corner, dt, 2.0)
    random = torch.Generator().manual_seed(3)
    noise = 0.3 * torch.randn(200, *data.shape, generator=random).double()
    found = np.mean([float(misfit(data + each)) for each in noise])
    assert misfit.of_noise(0.3) == pytest.approx(found, rel=0.1)


def test_bands_need_a_sampling_interval(data: torch.Tensor) -> None:
    with pytest.raises(OptionError, match="without a sampling interval"):
        band_misfit(data, 6.0, None, 2.0)
    assert float(band_misfit(data, None, None, 2.0)(data * 0)) == pytest.approx(1.0)


@pytest.mark.parametrize("corner", [0.0, 250.0, 300.0])
def test_corners_beyond_the_sampling_are_refused(data: torch.Tensor, corner: float) -> None:
    with pytest.raises(OptionError, match="expected 0 to 250 Hz"):
        band_misfit(data, corner, DT, 2.0)
