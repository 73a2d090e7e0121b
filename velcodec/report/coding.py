"""Code a family: by unquantised latents, and as real archives.

The former is what the paper reports on (256 floats per model), the latter are what users get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from velcodec.api import encode
from velcodec.decode.output import on_cpu, render_models, render_samples
from velcodec.decode.render import render_grid
from velcodec.decode.stored import StoredModel, read_models, tables_of, x_first
from velcodec.decode.torch_tiles import render_tiles
from velcodec.decode.units import to_m_s
from velcodec.decoder import NATIVE_SAMPLES, Decoder
from velcodec.encode.description import Description
from velcodec.encode.fitting import Fitted, Fitter
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.encode.tiles import cut_models
from velcodec.fit import LMOptions
from velcodec.formats.arrays import Float64
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.progress import Progress
from velcodec.report.data import Family

DEFAULT_BYTES = 64.0
"""Budget per 70 x 70 samples."""

FINE_RANGE_STEP_M_S = 0.01
"""Step of the value ranges of unquantised latents."""

LONG_FIT = LMOptions(
    stages=((640, 8), (1225, 12)), full_steps=12, tolerance=1e-3, hessian_points=1225
)
"""The fit of unquantised latents: no rounding follows that would compensate for a short fit."""

Grid = tuple[int, int]

LATENTS, UNQUANTISED = "latents", "unquantised"
"""The two codings of every family, by their names in the tables."""

ARCHIVES = ("default", "lossless", "stored")
"""Archives with records of any kind: default options, lossless, within the budget."""


@dataclass(frozen=True)
class Unquantised:
    """A family's fitted latents, as floats."""

    decoder: Decoder
    fitted: Fitted

    def rendering(self, i: int, res: Grid | None = None) -> Float64:
        """Model i, [z, x] m/s, at `res` or its native grid."""
        return self.between(i, i, 0.0, res)

    def between(self, a: int, b: int, alpha: float, res: Grid | None = None) -> Float64:
        """(1 - alpha) A + alpha B for latents and value ranges; A and B must have the same
        shape.
        """
        cut = self.fitted.cut
        first, last = cut.tiles_of(a), cut.tiles_of(b)
        low, high = ((1 - alpha) * v[first] + alpha * v[last] for v in (cut.low, cut.high))
        latents = (1 - alpha) * self.fitted.latents[first] + alpha * self.fitted.latents[last]
        tiling = cut.tilings[a]
        shape = res or (tiling.z.samples, tiling.x.samples)
        ready = render_tiles(latents, low, high, self.decoder)
        rendered: Float64 = render_grid(self.decoder, ready, tiling, *shape)[0].cpu().numpy()
        return rendered

    def norms(self) -> list[float]:
        """Latent norm of every model; for several tiles, the root mean square of their norms."""
        cut, square = self.fitted.cut, self.fitted.latents.square().sum(1).numpy()
        return [
            float(np.sqrt(square[cut.tiles_of(position)].mean()))
            for position in range(len(cut.members))
        ]


@dataclass(frozen=True)
class Stored:
    """A family's archive, of `size` bytes, with what is read back from it and its measurements.

    Each model is a latent or samples; both define a continuous field.
    """

    decoder: Decoder
    size: int
    models: list[StoredModel]
    quality: tuple[StoredQuality, ...]

    @property
    def bytes_per_model(self) -> float:
        """Size of the archive divided by the number of models."""
        return self.size / len(self.models)

    def rendering(self, i: int, res: Grid | None = None) -> Float64:
        """Model i, [z, x] m/s, at `res` or its native grid."""
        model = self.models[i]
        samples = render_samples(model, res, "none", f"model {i}")
        if samples is not None:
            rendered = to_m_s(samples, model.layout.units)
            return rendered.T if x_first(model.layout) else rendered
        (values,) = render_models(self.decoder, [model], res)
        return on_cpu(values)


@dataclass(frozen=True)
class CodedFamily:
    """A family and its codings; `budget` is the requested number of bytes per model.

    `latents` is an archive of latents only, within the budget; `archives` are the requested ones of
    ARCHIVES, by name.
    """

    family: Family
    budget: float
    unquantised: Unquantised
    latents: Stored
    archives: Mapping[str, Stored] = field(default_factory=dict)

    @property
    def stored(self) -> dict[str, Stored]:
        """All archives by their names in the tables."""
        return {**self.archives, LATENTS: self.latents}

    @property
    def codings(self) -> dict[str, Unquantised | Stored]:
        """All codings by their names in the tables."""
        return {**self.stored, UNQUANTISED: self.unquantised}


def budget_of(family: Family, bytes_per_model: float | None) -> float:
    """Bytes per model: as requested, or the default for the models' size."""
    if bytes_per_model is not None:
        return bytes_per_model
    nz, nx = family.shape
    return DEFAULT_BYTES * max(1.0, nz * nx / NATIVE_SAMPLES**2)


def code_family(
    family: Family,
    fitter: Fitter,
    coding: Coding,
    description: Description,
    on_progress: Progress,
    archives: Sequence[str] = (),
) -> CodedFamily:
    """Code `family` by latents, unquantised and stored, and as these of ARCHIVES. Without a budget
    in `coding` each model gets the default.

    Raises BudgetError if the budget cannot be kept.
    """

    def report_progress(done: int, total: int, stage: str) -> None:
        on_progress(done, total, f"{family.name}, {stage}")

    budget = budget_of(family, coding.target.bytes_per_model)
    description = replace(description, source_sha256=family.source.sha256)
    targets = {
        "default": Target(),
        "lossless": Target(lossless=True),
        "stored": Target(bytes_per_model=budget),
        LATENTS: Target(bytes_per_model=budget, latent_only=True),
    }

    def store(name: str) -> Stored:
        encoded = encode(
            family.source, description, replace(coding, target=targets[name]), report_progress
        )
        reader = VlatReader(encoded.data)
        models = read_models(reader, lambda _: tables_of(fitter.decoder), range(len(family)))
        return Stored(fitter.decoder, len(encoded.data), models, reader.quality or ())

    latents = store(LATENTS)
    members = np.arange(len(family))
    cut = cut_models(family.models, members, NATIVE_SAMPLES, FINE_RANGE_STEP_M_S)
    fitter = replace(fitter, on_progress=report_progress, options=LONG_FIT)
    fitted = Fitted.empty(fitter, cut)
    # The finest step has the weakest prior: the fit goes as far as it can.
    fitted.fit(fitter, base=fitter.last_step)
    unquantised = Unquantised(fitter.decoder, fitted)
    stored = {name: store(name) for name in archives}
    return CodedFamily(family, budget, unquantised, latents, stored)
