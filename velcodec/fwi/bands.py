"""Misfits of data in frequency bands, weighted along time; differentiable.

Filters are causal, so that filtering data is the same as filtering the source wavelet. Data have
time along their last axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from velcodec.formats.errors import OptionError

FILTER_ORDER = 4


def low_pass(samples: int, dt: float, corner: float) -> Tensor:
    """Impulse response (samples,) of a Butterworth low-pass of order 4 with a corner in Hz.

    Raises OptionError for a corner that is not between 0 and the Nyquist frequency.
    """
    from scipy.signal import butter, sosfilt

    if not 0 < corner < 0.5 / dt:
        raise OptionError(f"band: found {corner:g} Hz, expected 0 to {0.5 / dt:g} Hz")
    impulse = torch.zeros(samples, dtype=torch.float64)
    impulse[0] = 1.0
    sections = butter(FILTER_ORDER, corner, "lowpass", fs=1 / dt, output="sos")
    return torch.from_numpy(sosfilt(sections, impulse.numpy()))


def filtered(data: Tensor, response: Tensor) -> Tensor:
    """`data` (..., T) convolved along time with an impulse response (T,), cut to T samples."""
    samples = data.shape[-1]
    spectrum = torch.fft.rfft(data, 2 * samples)
    spectrum = spectrum * torch.fft.rfft(response.to(data), 2 * samples)
    return torch.fft.irfft(spectrum, 2 * samples)[..., :samples]


@dataclass(frozen=True)
class BandMisfit:
    """Squared difference from observed data below a corner frequency, relative to the data's.

    `observed` is filtered and weighted already; `response` is None for all frequencies, `weight`
    (T,) or a number.
    """

    observed: Tensor
    response: Tensor | None
    weight: Tensor

    def __call__(self, predicted: Tensor) -> Tensor:
        """The misfit, (): 1 for data of zeros."""
        difference = self._seen(predicted) - self.observed
        return difference.square().sum() / self.observed.square().sum()

    def of_noise(self, deviation: float) -> float:
        """The misfit that white noise of this standard deviation in the data makes on average."""
        samples = self.observed.shape[-1] if self.weight.ndim else 1
        power = torch.ones(samples, dtype=torch.float64)
        if self.response is not None:
            power = self.response.double().square().cumsum(0)
        power = power * self.weight.double().cpu().square()
        traces = self.observed.numel() / samples
        energy = float(self.observed.double().square().sum())
        return deviation**2 * traces * float(power.sum()) / energy

    def _seen(self, data: Tensor) -> Tensor:
        if self.response is not None:
            data = filtered(data, self.response)
        return data * self.weight.to(data)


def band_misfit(
    observed: Tensor, corner: float | None, dt: float | None, gain: float
) -> BandMisfit:
    """The misfit to `observed` (..., T) below `corner` Hz, or in all frequencies for None.

    Times are weighted by t ** gain, which balances late arrivals. `dt` is the sampling interval in
    seconds; without it data have no times, and `corner` must be None. Raises OptionError.
    """
    if dt is None:
        if corner is not None:
            raise OptionError(
                f"bands: found {corner:g} Hz for data without a sampling interval: give the "
                "forward model an attribute dt, or bands=(None,)"
            )
        return BandMisfit(observed.detach(), None, torch.ones(()))
    samples = observed.shape[-1]
    time = torch.arange(samples, dtype=torch.float64) * dt
    response = None if corner is None else low_pass(samples, dt, corner)
    empty = BandMisfit(observed.detach(), response, time**gain)
    return BandMisfit(empty._seen(observed.detach()), response, empty.weight)
