"""A pool of models that keep their latents, so that each visit goes on with the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from velcodec.train.pool import Chunk


class ModelQueue:
    """The endless shuffled sequence of a run's models, by number."""

    def __init__(self, draw: Callable[[int], Chunk], chunk: int, seed: int) -> None:
        self._draw, self._chunk, self._seed = draw, chunk, seed
        self._drawn: tuple[int, Chunk] | None = None

    def take(self, numbers: Tensor) -> Chunk:
        """Models `numbers` (n,) of the sequence."""
        where = numbers // self._chunk
        parts, order = [], []
        for chunk in where.unique().tolist():
            mine = torch.nonzero(where == chunk)[:, 0]
            models = self._models(chunk)
            parts.append(models.take(numbers[mine] % self._chunk % len(models)))
            order.append(mine)
        return Chunk.joined(parts).take(torch.cat(order).argsort())

    def _models(self, number: int) -> Chunk:
        if self._drawn is None or self._drawn[0] != number:
            drawn = self._draw(number)
            generator = torch.Generator().manual_seed(self._seed * 2**40 + number)
            self._drawn = number, drawn.take(torch.randperm(len(drawn), generator=generator))
        return self._drawn[1]


@dataclass
class Slots:
    """What n slots remember of their models: latents (n, D) with Adam's two moments, and per slot
    (n,) the number of visits, the coarseness of the step, the model's number in the queue and
    whether it is mirrored.
    """

    latent: Tensor
    first: Tensor
    second: Tensor
    visits: Tensor
    coarseness: Tensor
    number: Tensor
    mirrored: Tensor

    @classmethod
    def empty(cls, count: int, latent_size: int) -> Slots:
        """Slots that no model has taken."""
        latent = torch.zeros(count, latent_size)
        return cls(
            latent,
            latent.clone(),
            latent.clone(),
            torch.zeros(count),
            torch.ones(count),
            torch.zeros(count, dtype=torch.long),
            torch.zeros(count, dtype=torch.bool),
        )

    def renew(
        self, which: Tensor, latent: Tensor, coarseness: Tensor, number: Tensor, mirrored: Tensor
    ) -> None:
        """Give some slots to new models."""
        self.latent[which], self.coarseness[which] = latent, coarseness
        self.number[which], self.mirrored[which] = number, mirrored
        for history in (self.first, self.second, self.visits):
            history[which] = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name, as `from_tensors` takes it."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Slots:
        """The slots that `tensors` gave."""
        return cls(**{f.name: tensors[f.name] for f in fields(cls)})
