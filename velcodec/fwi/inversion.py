"""`invert`: a velocity model from recorded data, in the latent space and on the grid.

The unknowns are the half-whitened latents and value ranges of a `Field`; L-BFGS takes one frequency
band after the other. The same budget is spent on the samples of the grid for comparison, and the
comparison says whether the result is to be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from velcodec.field.field import Field
from velcodec.formats.errors import InputShapeError, NonFiniteError, OptionError
from velcodec.fwi.bands import band_misfit
from velcodec.fwi.checkpoint import Checkpoint
from velcodec.fwi.descent import descend
from velcodec.fwi.grid import TOTAL_VARIATION, GridModel, roughness
from velcodec.fwi.guard import is_trusted
from velcodec.fwi.plan import GAIN, Band, Forward, planned
from velcodec.progress import Progress, no_progress

ENERGY_WEIGHT = 1e-4
"""Weight of the prior's energy beside the relative misfit; more where noise asks for it."""

LATENT, GRID = "latent", "grid"


@dataclass(frozen=True)
class Step:
    """One evaluation: by which method, in which band (Hz, None for all), the shot-gradients used so
    far by the method, and the relative misfit in the band.
    """

    method: str
    band: float | None
    used: int
    misfit: float


@dataclass(frozen=True)
class Inversion:
    """What `invert` found.

    `field` holds the latent, `grid` (nz, nx) the grid's model in m/s or None. `misfit` and
    `grid_misfit` are relative squared misfits in the last band, 1 for data of zeros; `energy` is
    the prior's (`Field.energy`); `noise_misfit` is the part of both misfits that noise makes.
    """

    field: Field
    grid: Tensor | None
    misfit: float
    grid_misfit: float | None
    energy: float
    history: tuple[Step, ...]
    noise_misfit: float = 0.0

    @property
    def model(self) -> Tensor:
        """The model (nz, nx) in m/s to go on with: the latent's, or the grid's where the latent is
        not to be trusted.
        """
        if self.trusted is False and self.grid is not None:
            return self.grid
        return self.field().detach()

    @property
    def trusted(self) -> bool | None:
        """Whether the latent explains the data about as well as the grid, by a likely model; None
        without a grid to compare with.

        A false answer means that the decoder cannot draw this geology. A true one is no proof: see
        docs/inversion.md for how often it is wrong.
        """
        if self.grid_misfit is None:
            return None
        return is_trusted(self.misfit, self.grid_misfit, self.noise_misfit, self.energy)


def invert(
    field: Field,
    forward: Forward,
    observed: Tensor,
    *,
    bands: Sequence[float | None] = (6.0, 12.0, None),
    budget: int = 200,
    compare_grid: bool = True,
    start: Tensor | None = None,
    noise: float = 0.0,
    checkpoint: str | Path | None = None,
    on_progress: Progress = no_progress,
) -> Inversion:
    """Find the model whose data are closest to `observed`; changes `field`.

    `forward` maps a velocity (nz, nx) in m/s to data of the shape of `observed`; a band is a corner
    frequency in Hz, or None for all frequencies, in rising order. Bands, and the weighting by time,
    need data with time along the last axis and the attribute `forward.dt`, seconds. `budget` is the
    number of gradients of shots: an evaluation takes `forward.shots` of them, 1 without this
    attribute. Both methods get the whole budget. With `forward.some(numbers)`, a forward model of
    some of the shots, which are the first axis of the data, early bands use few shots.

    The inversion starts from the field as it is, or from `start` (nz, nx) in m/s, to which the
    field is fitted. `noise` is the standard deviation of white noise in the data: the prior weighs
    more with it, and the guard must know it. With `checkpoint`, what was found is written to this
    file after every band, and an interrupted inversion of the same problem goes on from it.

    Raises OptionError for a batch of models, a budget below one evaluation for each band, or bands
    that are not in rising order; InputShapeError if data or start have another shape;
    NonFiniteError.
    """
    if field.batched:
        raise OptionError("field: expected one model, found a batch")
    if start is not None:
        if tuple(start.shape) != field.shape:
            raise InputShapeError(
                f"start: found shape {tuple(start.shape)}, expected {field.shape}"
            )
        field.fit_(start)
    first = (field().detach() if start is None else start.detach()).to(field.ends)
    with torch.no_grad():
        shape = forward(first).shape
    if shape != observed.shape:
        raise InputShapeError(
            f"observed: found shape {tuple(observed.shape)}, expected {tuple(shape)}, as forward "
            "makes them"
        )
    if not bool(torch.isfinite(observed).all()):
        raise NonFiniteError("observed: found NaN or infinity, expected finite data")
    few = planned(forward, observed, bands, budget, few=True)
    whole = planned(forward, observed, bands, budget, few=False) if compare_grid else []
    problem = _problem(field, first, observed, bands, budget, compare_grid, noise)
    run = _Run(Checkpoint(checkpoint, problem), budget * (2 if compare_grid else 1), on_progress)
    run.latent(field, few, noise)
    grid = run.grid(first, field.bounds, whole) if compare_grid else None
    last = band_misfit(observed, bands[-1], getattr(forward, "dt", None), GAIN)
    with torch.no_grad():
        misfit = float(last(forward(field())))
        grid_misfit = None if grid is None else float(last(forward(grid)))
    return Inversion(
        field,
        grid,
        misfit,
        grid_misfit,
        float(field.energy().detach()),
        tuple(run.history),
        last.of_noise(noise),
    )


class _Run:
    """The bands of one inversion, done one after the other and kept in a checkpoint."""

    def __init__(self, checkpoint: Checkpoint, total: int, on_progress: Progress) -> None:
        self.checkpoint, self.total, self.on_progress = checkpoint, total, on_progress
        self.history = [Step(*row) for row in checkpoint.history]
        self.used = dict.fromkeys((LATENT, GRID), 0)
        self.used |= {step.method: step.used for step in self.history}

    def latent(self, field: Field, bands: Sequence[Band], noise: float) -> None:
        """All bands by the latent and value ranges of `field`."""
        size = field.half_whitened.numel()
        parameters = [each for each in field.parameters() if each.requires_grad]

        def loss(band: Band) -> Tensor:
            weight = max(ENERGY_WEIGHT, band.prior_weight(noise, size))
            return self._misfit(LATENT, band, field()) + weight * field.energy()

        for number, band in enumerate(bands):
            if (kept := self.checkpoint.get(LATENT, number)) is not None:
                field.load_state_dict(kept)
                continue
            descend(parameters, lambda band=band: loss(band), band.evaluations)  # type: ignore[misc]
            self._keep(LATENT, number, field.state_dict())

    def grid(
        self, start: Tensor, bounds: tuple[float, float] | None, bands: Sequence[Band]
    ) -> Tensor:
        """All bands by the samples of the grid; returns the model."""
        model = start
        for number, band in enumerate(bands):
            if (kept := self.checkpoint.get(GRID, number)) is not None:
                model = kept["model"].to(start)
                continue
            around = GridModel.at(model, number, bounds)

            def loss(band: Band = band, around: GridModel = around) -> Tensor:
                values = around()
                return self._misfit(GRID, band, values) + TOTAL_VARIATION * roughness(values)

            descend([around.changes], loss, band.evaluations, memory=10)
            model = around().detach()
            self._keep(GRID, number, {"model": model})
        return model

    def _misfit(self, method: str, band: Band, model: Tensor) -> Tensor:
        misfit: Tensor = band.misfit(band.forward(model))
        self.used[method] += band.shots
        self.history.append(Step(method, band.corner, self.used[method], float(misfit.detach())))
        self.on_progress(min(sum(self.used.values()), self.total), self.total, method)
        return misfit

    def _keep(self, method: str, band: int, state: dict[str, Tensor]) -> None:
        rows = [[s.method, s.band, s.used, s.misfit] for s in self.history]
        self.checkpoint.put(method, band, state, rows)


def _problem(
    field: Field, first: Tensor, observed: Tensor, bands: Sequence[float | None], budget: int,
    compare_grid: bool, noise: float,
) -> dict[str, Any]:  # fmt: skip
    """What must be the same for an inversion to go on from a checkpoint."""
    return {
        "decoder": (field.decoder.identity or b"").hex(),
        "shape": list(field.shape),
        "bounds": None if field.bounds is None else list(field.bounds),
        "bands": list(bands),
        "budget": budget,
        "grid": compare_grid,
        "noise": noise,
        "start": float(first.double().square().mean()),
        "observed": float(observed.double().square().mean()),
    }
