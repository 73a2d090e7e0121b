"""Training examples: chunks of generated models, drawn by number so that a run can be resumed.

A chunk holds the 70 x 70 grids that the encoder reads and, for the decoder's loss, values at
continuous points. Half of the points lie in cells that a velocity edge crosses; weights undo the
bias, so the weighted mean is an unbiased mean over the model.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from velcodec import synth
from velcodec.decoder.sizes import NATIVE_SAMPLES

MIN_RANGE_M_S = 1.0
EDGE_STEP = 0.02
EDGE_SHARE = 0.5
BLOCK = 256


@dataclass(frozen=True)
class Chunk:
    """n models: normalised grids (n, 70, 70), points (n, Q, 2) with values and weights (n, Q).

    `contrast` (n,) is each model's value range divided by 3000 m/s.
    """

    grids: Tensor
    points: Tensor
    values: Tensor
    weights: Tensor
    contrast: Tensor

    def __len__(self) -> int:
        return len(self.grids)

    @classmethod
    def joined(cls, parts: Sequence[Chunk]) -> Chunk:
        """The models of several chunks, one after the other."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def take(self, which: Tensor) -> Chunk:
        """A copy of the models numbered `which`."""
        return Chunk(*(getattr(self, f.name)[which] for f in fields(self)))

    def view(self, which: Tensor, some: slice) -> Chunk:
        """The models numbered `which`, seen at `some` of their points."""
        return Chunk(
            self.grids[which],
            self.points[which, some],
            self.values[which, some],
            self.weights[which, some],
            self.contrast[which],
        )

    def to(self, device: torch.device) -> Chunk:
        """The chunk on a device."""
        return Chunk(*(getattr(self, f.name).to(device) for f in fields(self)))

    def put(self, where: Tensor, models: Chunk) -> None:
        """Overwrite the models numbered `where`."""
        for f in fields(self):
            getattr(self, f.name)[where] = getattr(models, f.name)

    def mirrored(self, which: Tensor) -> Chunk:
        """The models, those where `which` (n,) is true mirrored left to right."""
        grids = torch.where(which[:, None, None], self.grids.flip(-1), self.grids)
        points = self.points.clone()
        points[..., 0] = torch.where(which[:, None], -points[..., 0], points[..., 0])
        return Chunk(grids, points, self.values, self.weights, self.contrast)


def _edge_cells(grids: Tensor) -> Tensor:
    """Cells (n, 70 * 70), as 0 or 1, where the value differs from a neighbour's."""
    edge = torch.zeros_like(grids)
    down = (grids[:, 1:] - grids[:, :-1]).abs() > EDGE_STEP
    right = (grids[:, :, 1:] - grids[:, :, :-1]).abs() > EDGE_STEP
    edge[:, 1:] += down
    edge[:, :-1] += down
    edge[:, :, 1:] += right
    edge[:, :, :-1] += right
    return (edge.flatten(1) > 0).float()


def weighted_cells(grids: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cells (n, count) of grids (n, nz, nx), drawn by importance, and their weights (n, count)."""
    edge = _edge_cells(grids)
    share = EDGE_SHARE * (edge.sum(1, keepdim=True) > 0).float()
    uniform = torch.full_like(edge, 1 / edge.shape[1])
    density = (1 - share) * uniform + share * edge / edge.sum(1, keepdim=True).clamp(min=1)
    cell = torch.multinomial(density, count, replacement=True, generator=generator)
    return cell, uniform.gather(1, cell) / density.gather(1, cell)


def _points(grids: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (n, count, 2), as (x, z), and their importance weights (n, count)."""
    n, side = len(grids), grids.shape[-1]
    cell, weights = weighted_cells(grids, count, generator)
    jitter = torch.rand(n, count, 2, generator=generator)
    xz = torch.stack([cell % side, cell // side], dim=-1) + jitter
    return xz * (2 / side) - 1, weights


def normalised(grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Grids (n, nz, nx) in m/s scaled to [-1, 1], each by its own range; its low end and span."""
    low, high = grids.amin((1, 2)), grids.amax((1, 2))
    span = (high - low).clamp(min=MIN_RANGE_M_S)
    return (grids - low[:, None, None]) * (2 / span)[:, None, None] - 1, low, span


def _block(family: str, seed: int, start: int, count: int, points: int) -> Chunk:
    models = synth.draw(family, seed, start, count)
    grids = models.render(NATIVE_SAMPLES, NATIVE_SAMPLES)
    number = zlib.crc32(f"{family} {seed} {start}".encode())
    generator = torch.Generator().manual_seed(number)
    scaled, low, span = normalised(grids)
    where, weights = _points(scaled, points, generator)
    values = models.evaluate(where)
    values = ((values - low[:, None]) * (2 / span)[:, None] - 1).clamp(-1, 1)
    return Chunk(scaled, where, values, weights, span / 3000.0)


def draw_chunk(
    number: int, size: int, points: int, families: Mapping[str, float], seed: int
) -> Chunk:
    """Chunk `number` of a run: `size` models split over `families` by weight, in blocks."""
    total = sum(families.values())
    blocks: list[Chunk] = []
    for family, weight in families.items():
        count = max(1, round(size * weight / total))
        first = number * count
        for start in range(0, count, BLOCK):
            n = min(BLOCK, count - start)
            blocks.append(_block(family, seed, first + start, n, points))
    return Chunk.joined(blocks)
