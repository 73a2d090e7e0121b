"""The whole report: from data to tables and the pictures' contents.

Writes nothing; `markdown` and `pictures` turn a `Report` into files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from velcodec.decoder import Decoder, registry
from velcodec.encode.description import Description
from velcodec.encode.fitting import Fitter
from velcodec.encode.setup import Coding, make_fitter
from velcodec.progress import Progress, no_progress
from velcodec.report.ablation import AblationRecipe, ablation_table
from velcodec.report.coding import ARCHIVES, LATENTS, UNQUANTISED, CodedFamily, code_family
from velcodec.report.data import PAPER_FAMILIES, Family, generated_families
from velcodec.report.figures import Figures, measure, summary
from velcodec.report.interpolation import Path, follow_all, interpolation_table
from velcodec.report.latent_norm import correlation_table
from velcodec.report.storage import storage_table
from velcodec.report.super_resolution import super_resolution_table
from velcodec.version import __version__

CODINGS = (UNQUANTISED, LATENTS)
"""The codings of all tables but super-resolution."""


@dataclass(frozen=True)
class Plan:
    """What to report on. Without `files` the generated models are the data.

    `models` per family in `generated` serve super-resolution; `ablation_steps` of 0 skip the
    comparison of activations.
    """

    files: Sequence[Family] = ()
    generated: Sequence[str] = PAPER_FAMILIES
    models: int = 32
    coding: Coding = field(default_factory=Coding)
    description: Description = field(default_factory=Description)
    ablation_steps: int = AblationRecipe.steps


@dataclass(frozen=True)
class Report:
    """The tables, JSON-able, and the models and paths of the pictures.

    `figures` are those of every model by family and coding.
    """

    tables: dict[str, Any]
    data: list[CodedFamily]
    generated: list[CodedFamily]
    figures: dict[str, dict[str, list[Figures]]]
    norms: dict[str, list[float]]
    paths: list[Path]


def make_report(plan: Plan, on_progress: Progress = no_progress) -> Report:
    """Fit, code and measure everything. Raises ValueError for an unknown generator family,
    BudgetError if the budget cannot be kept, MissingDecoderError.
    """
    fitter = make_fitter(plan.coding)

    def code(families: Sequence[Family], archives: Sequence[str] = ()) -> list[CodedFamily]:
        coded = []
        arguments = fitter, plan.coding, plan.description, on_progress, archives
        for family in families:
            try:
                coded.append(code_family(family, *arguments))
            except Exception as error:
                error.add_note(family.source.name)
                raise
        return coded

    made = generated_families(plan.generated, plan.models)
    data = code(plan.files)
    generated = code(made, ARCHIVES)
    data = data or generated
    figures = {coded.family.name: measure_both(coded, on_progress) for coded in data}
    norms = {coded.family.name: coded.unquantised.norms() for coded in data}
    paths = follow_all(data)
    tables = {
        "velcodec": __version__,
        "decoder": describe_decoder(fitter, plan.coding),
        "data": [describe_family(coded, not plan.files) for coded in data],
        "overall": {
            coding: summary([one for by_coding in figures.values() for one in by_coding[coding]])
            for coding in CODINGS
        },
        "families": {
            name: {coding: summary(by_coding[coding]) for coding in CODINGS}
            for name, by_coding in figures.items()
        },
        "interpolation": interpolation_table(paths),
        "super_resolution": super_resolution_table(generated, on_progress),
        "storage": storage_table(data, decoder_bytes(plan.coding, fitter), on_progress),
        "latent_norm": correlation_table(norms, *(psnr_of(figures, c) for c in CODINGS)),
        "ablation": ablation_table(
            plan.generated, AblationRecipe(steps=plan.ablation_steps), on_progress
        ),
        "per_model": {
            name: {
                "latent_norm": norms[name],
                **{coding: [asdict(one) for one in by_coding[coding]] for coding in CODINGS},
            }
            for name, by_coding in figures.items()
        },
    }
    return Report(tables, data, generated, figures, norms, paths)


def measure_both(coded: CodedFamily, on_progress: Progress) -> dict[str, list[Figures]]:
    """Figures of every model of a family at its native grid, by coding."""
    models, measured = coded.family.models, {coding: list[Figures]() for coding in CODINGS}
    for i in range(len(models)):
        original = models.m_s(i)
        for coding, figures in measured.items():
            figures.append(measure(original, coded.codings[coding].rendering(i)))
        on_progress(i + 1, len(models), f"{coded.family.name}, compare")
    return measured


def psnr_of(figures: dict[str, dict[str, list[Figures]]], coding: str) -> dict[str, list[float]]:
    """PSNR of every model by family, for one coding."""
    return {name: [one.psnr_db for one in by_coding[coding]] for name, by_coding in figures.items()}


def decoder_bytes(coding: Coding, fitter: Fitter) -> int:
    """Size of the decoder's file."""
    given = coding.decoder
    reference = fitter.decoder.identity if isinstance(given, Decoder) else given
    return registry.find(reference).path.stat().st_size


def describe_decoder(fitter: Fitter, coding: Coding) -> dict[str, Any]:
    """The decoder's name and hash, and its size."""
    decoder = fitter.decoder
    return {
        "name": decoder.name,
        "hash": (decoder.identity or b"").hex(),
        "architecture": decoder.architecture,
        "parameters": sum(parameter.numel() for parameter in decoder.parameters()),
        "fit": coding.fit,
        "effort": coding.effort,
    }


def describe_family(coded: CodedFamily, generated: bool) -> dict[str, Any]:
    """A description of the family, and the budget of its latents."""
    nz, nx = coded.family.shape
    return {
        "family": coded.family.name,
        "source": "generated" if generated else coded.family.source.name,
        "models": len(coded.family),
        "nz": nz,
        "nx": nx,
        "budget_bytes_per_model": coded.budget,
        "latents_bytes_per_model": coded.latents.bytes_per_model,
    }
