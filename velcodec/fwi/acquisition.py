"""Acoustic acquisitions: from velocity to recorded data, by deepwave's scalar wave equation.

Needs the `fwi` extra (deepwave); nothing else in this package does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.formats.extras import needed

GRADIENT_INTERVAL = 5
"""Time steps between those that a gradient adds up; saves memory."""


@dataclass(frozen=True)
class Acquisition:
    """Shots over a grid of nz x nx cells: call it with a velocity (nz, nx) in m/s for data
    (shots, receivers, samples), differentiable.

    `source_columns` and `receiver_columns` are cells along x, all `row` cells deep. The source is a
    Ricker wavelet of `frequency` Hz, whose peak comes 1.1 / frequency seconds after the start. All
    four sides absorb, in `absorbing_cells` cells; there is no free surface. `accuracy` is the order
    of the differences in space, `fastest` (m/s) the greatest velocity that the time step is made
    for. The wavelet has no frequencies below `lowest` Hz, by a causal filter. Raises OptionError
    where a step of `dt` / `steps_per_sample` seconds would be unstable.
    """

    source_columns: tuple[int, ...]
    receiver_columns: tuple[int, ...]
    row: int = 1
    dx: float = 10.0
    dt: float = 1e-3
    samples: int = 1000
    frequency: float = 15.0
    accuracy: int = 4
    absorbing_cells: int = 10
    fastest: float = 4500.0
    steps_per_sample: int = 1
    lowest: float | None = None

    def __post_init__(self) -> None:
        if self.courant > 0.85:
            raise OptionError(
                f"acquisition: {self.fastest:g} m/s moves {self.courant:.2f} of a diagonal cell in "
                f"a step, expected at most 0.85: raise steps_per_sample"
            )

    @classmethod
    def openfwi(cls, nx: int = 70, dx: float = 10.0) -> Acquisition:
        """OpenFWI's: five sources across the model, a receiver in every column, 10 m deep, 15 Hz,
        1,000 samples of 1 ms.
        """
        sources = tuple(round(k * (nx - 1) / 4) for k in range(5))
        return cls(sources, tuple(range(nx)), row=max(1, round(10.0 / dx)), dx=dx)

    @property
    def shots(self) -> int:
        """Number of sources."""
        return len(self.source_columns)

    def some(self, shots: Sequence[int]) -> Acquisition:
        """The acquisition of some of the shots, by number."""
        return replace(self, source_columns=tuple(self.source_columns[k] for k in shots))

    @property
    def courant(self) -> float:
        """Share of a cell's diagonal that the fastest wave moves in a time step, just above it: so
        deepwave does not halve the step.
        """
        step = self.dt / self.steps_per_sample
        return 1.001 * self.fastest * step * math.sqrt(2) / self.dx

    def wavelet(self) -> Tensor:
        """The source's Ricker wavelet, (samples,)."""
        time = torch.arange(self.samples, dtype=torch.float64) * self.dt - 1.1 / self.frequency
        shape = (math.pi * self.frequency * time).square()
        ricker = (1 - 2 * shape) * torch.exp(-shape)
        if self.lowest is None:
            return ricker
        from scipy.signal import butter, sosfilt

        sections = butter(4, self.lowest, "highpass", fs=1 / self.dt, output="sos")
        return torch.from_numpy(sosfilt(sections, ricker.numpy()))

    def __call__(self, velocity: Tensor) -> Tensor:
        """Data (shots, receivers, samples) of a velocity (nz, nx) in m/s.

        Raises MissingExtraError without deepwave, InputShapeError for a batch or a grid that the
        shots do not fit.
        """
        deepwave = needed("deepwave", "fwi", "modelling of waves")
        last = max(*self.source_columns, *self.receiver_columns)
        if velocity.ndim != 2 or velocity.shape[1] <= last or velocity.shape[0] <= self.row:
            raise InputShapeError(
                f"velocity: found shape {tuple(velocity.shape)}, expected (nz, nx) with more than "
                f"{self.row} rows and {last} columns"
            )
        shots, device = self.shots, velocity.device
        amplitudes = self.wavelet().to(velocity).expand(shots, 1, -1).contiguous()
        source = torch.full((shots, 1, 2), self.row, device=device)
        source[:, 0, 1] = torch.tensor(self.source_columns, device=device)
        receiver = torch.full((shots, len(self.receiver_columns), 2), self.row, device=device)
        receiver[..., 1] = torch.tensor(self.receiver_columns, device=device)
        recorded: Tensor = deepwave.scalar(
            velocity, self.dx, self.dt,
            source_amplitudes=amplitudes, source_locations=source, receiver_locations=receiver,
            accuracy=self.accuracy, pml_width=self.absorbing_cells, pml_freq=self.frequency,
            max_vel=self.fastest, courant_number=self.courant,
            model_gradient_sampling_interval=GRADIENT_INTERVAL if velocity.requires_grad else 1,
        )[-1]  # fmt: skip
        return recorded
