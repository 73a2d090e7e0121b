"""What the recipes share: a run of numbered steps that can stop and go on.

Every step draws its examples and its noise from (seed, step) alone, so a run that was stopped goes
on with exactly the data it would have seen.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

Figures = dict[str, float]
Report = Callable[[int, Figures], None]


class Recipe(Protocol):
    """Everything that decides a run, but for the machine it runs on."""

    @property
    def steps(self) -> int: ...

    @property
    def seed(self) -> int: ...

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values that JSON keeps."""
        ...


class Trainer(ABC):
    """The state of a run and its single step."""

    recipe_name: ClassVar[str]
    recipe: Recipe
    optimiser: torch.optim.Optimizer
    step_number: int = 0

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """The modules that learn, by name; `decoder` is one of them."""

    @abstractmethod
    def step(self) -> Figures:
        """One optimiser step; returns what the log keeps, such as PSNR (dB) and bytes."""

    def memory(self) -> dict[str, Tensor]:
        """What a checkpoint must keep beside modules and optimiser."""
        return {}

    def recall(self, memory: dict[str, Tensor]) -> None:
        """Take `memory` back, the step number being the checkpoint's already."""
        assert not memory

    def closing_figures(self) -> Figures:
        """What is measured once, at the end of a run."""
        return {}

    def compile(self) -> None:
        """Let torch compile what can be: about twice as fast, half a minute to start."""
        return

    def step_generator(self) -> torch.Generator:
        """The random numbers of this step."""
        return torch.Generator().manual_seed(self.recipe.seed * 2**40 + self.step_number)

    def run(self, seconds: float | None, report: Report) -> None:
        """Steps until the recipe ends or, if given, `seconds` have passed.

        `report` is called with the number of steps done and the last step's figures.
        """
        end = math.inf if seconds is None else time.monotonic() + seconds
        while self.step_number < self.recipe.steps and time.monotonic() < end:
            figures = self.step()
            report(self.step_number, figures)
