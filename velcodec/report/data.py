"""What is reported on: families of models, from the user's files or generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from velcodec import synth
from velcodec.decoder import NATIVE_SAMPLES
from velcodec.encode.tiles import ModelSet
from velcodec.formats.files.npy import ModelArray, as_models

PAPER_FAMILIES = ("flatvel_a", "curvevel_a", "flatfault_a", "curvefault_a", "style_a")
"""The generator's counterparts of the paper's five (section 3.5)."""

SEED = 20_000
"""Of the generated models; trainings draw theirs from other seeds."""


@dataclass(frozen=True)
class Family:
    """Models that are reported on together, under one name."""

    name: str
    source: ModelArray

    @property
    def models(self) -> ModelSet:
        """The models, [z, x], read in m/s when asked for."""
        return ModelSet(list(self.source.models), self.source.units)

    def __len__(self) -> int:
        return len(self.source.models)

    @property
    def shape(self) -> tuple[int, int]:
        """Samples (nz, nx) of every model."""
        return int(self.source.models.shape[1]), int(self.source.models.shape[2])


def generated_truth(name: str, count: int) -> synth.Models:
    """The first `count` models of a generator family as continuous functions."""
    return synth.draw(name, SEED, 0, count)


def generated_families(names: Sequence[str], count: int) -> list[Family]:
    """`count` models of each generator family at the native grid, float32 m/s.

    Raises ValueError for an unknown family.
    """
    n = NATIVE_SAMPLES
    return [
        Family(name, as_models(generated_truth(name, count).render(n, n).numpy(), name=name))
        for name in names
    ]
