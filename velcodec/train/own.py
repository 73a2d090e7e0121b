"""The user's own models as training examples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from velcodec.decode.units import to_m_s
from velcodec.decoder.sizes import NATIVE_SAMPLES
from velcodec.formats.errors import OptionError
from velcodec.formats.files.npy import ModelArray, read_models
from velcodec.geometry import grid_points
from velcodec.train.pool import Chunk, normalised, weighted_cells

HELD_OUT_EVERY = 10
"""One model in so many is kept from training, where there are that many."""


@dataclass(frozen=True)
class OwnData:
    """What a recipe keeps of the user's files: a resumed run must be given the same ones.

    `generated` is the share of generated models among the examples.
    """

    names: tuple[str, ...]
    sha256: str
    generated: float


class OwnModels:
    """Models of the user's files; large ones give random crops of the native size."""

    def __init__(self, files: Sequence[Path], order: str = "zx", units: str = "m/s") -> None:
        self._arrays: list[ModelArray] = [read_models(f, order=order, units=units) for f in files]
        counts = [len(a.models) for a in self._arrays]
        where = [(a, i) for a, count in enumerate(counts) for i in range(count)]
        enough = len(where) >= HELD_OUT_EVERY
        last = HELD_OUT_EVERY - 1
        self.held_out = [w for k, w in enumerate(where) if not enough or k % HELD_OUT_EVERY == last]
        self.training = [w for k, w in enumerate(where) if not enough or k % HELD_OUT_EVERY != last]
        digest = hashlib.sha256(b"".join(a.sha256 or b"" for a in self._arrays))
        self.sha256 = digest.hexdigest()
        self.names = tuple(f.name for f in files)

    def chunk(self, size: int, points: int, seed: int, number: int, held_out: bool) -> Chunk:
        """`size` random models or crops with `points` points each, by (seed, number) alone."""
        generator = torch.Generator().manual_seed(seed * 2**32 + number)
        known = self.held_out if held_out else self.training
        chunks = []
        for pick in torch.randint(len(known), (size,), generator=generator).tolist():
            array, model = known[pick]
            crop = self._crop(array, model, generator)
            chunks.append(_example(torch.from_numpy(crop).float(), points, generator))
        return Chunk.joined(chunks)

    def grids(self, held_out: bool) -> Tensor:
        """Every model once (n, 70, 70), large ones cropped, small ones resampled; m/s."""
        generator = torch.Generator().manual_seed(0)
        known = self.held_out if held_out else self.training
        crops = [self._crop(a, m, generator) for a, m in known]
        return torch.cat([_at_native(torch.from_numpy(crop).float()[None]) for crop in crops])

    def _crop(self, array: int, model: int, generator: torch.Generator) -> NDArray[np.float64]:
        whole = self._arrays[array].models[model]
        spare = [max(samples - NATIVE_SAMPLES, 0) + 1 for samples in whole.shape]
        z, x = (int(torch.randint(s, (1,), generator=generator)) for s in spare)
        part = whole[z : z + NATIVE_SAMPLES, x : x + NATIVE_SAMPLES]
        return to_m_s(part, self._arrays[array].units)


def _example(grid: Tensor, count: int, generator: torch.Generator) -> Chunk:
    """One model (nz, nx): its values are known at cell centres, so these are the points."""
    values, _, span = normalised(grid[None])
    cells, weights = weighted_cells(values, count, generator)
    centres = torch.from_numpy(grid_points(*grid.shape)).float()
    return Chunk(
        _at_native(values),
        centres[cells],
        values.flatten(1).gather(1, cells),
        weights,
        span / 3000.0,
    )


def _at_native(grids: Tensor) -> Tensor:
    """Grids (n, nz, nx) resampled to the size that the encoder reads."""
    native = (NATIVE_SAMPLES, NATIVE_SAMPLES)
    if grids.shape[1:] == native:
        return grids
    return F.interpolate(grids[:, None], native, mode="bilinear")[:, 0]


def check_same_data(found: OwnModels | None, wanted: OwnData | None, name: str) -> None:
    """Raises `OptionError` where a run is continued with other files than it began with."""
    if (found is None) != (wanted is None) or (
        found is not None and wanted is not None and found.sha256 != wanted.sha256
    ):
        expected = "no data" if wanted is None else f"{', '.join(wanted.names)} as it began"
        given = "none" if found is None else ", ".join(found.names)
        raise OptionError(f"{name}: data: found {given}, expected {expected}")
