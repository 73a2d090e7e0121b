"""The base of all recipes: a run of numbered steps that can stop and resume.

(seed, step) determines every step's examples and noise, so a resumed run sees exactly the same
data.
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
    """All settings of a run, independent of the machine."""

    @property
    def steps(self) -> int: ...

    @property
    def seed(self) -> int: ...

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        ...


class Trainer(ABC):
    """The state of a run and its single step."""

    recipe_name: ClassVar[str]
    recipe: Recipe
    optimiser: torch.optim.Optimizer
    step_number: int = 0

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """The trained modules by name, one of them `decoder`."""

    @abstractmethod
    def step(self) -> Figures:
        """One optimiser step; returns figures for the log, such as PSNR (dB) and bytes."""

    def extra_state(self) -> dict[str, Tensor]:
        """State for the checkpoint beside modules and optimiser."""
        return {}

    def load_extra_state(self, saved: dict[str, Tensor]) -> None:
        """Restore `saved`; the step number is already restored."""
        assert not saved

    def closing_figures(self) -> Figures:
        """Figures measured once, at the end of a run."""
        return {}

    def compile(self) -> None:
        """Compile with torch: about twice as fast, half a minute to start."""
        return

    def step_generator(self) -> torch.Generator:
        """The random numbers of this step."""
        return torch.Generator().manual_seed(self.recipe.seed * 2**40 + self.step_number)

    def run(self, seconds: float | None, report: Report) -> None:
        """Run steps until the recipe ends or, if given, `seconds` have passed.

        `report` is called with the number of steps done and the last step's figures.
        """
        end = math.inf if seconds is None else time.monotonic() + seconds
        while self.step_number < self.recipe.steps and time.monotonic() < end:
            figures = self.step()
            report(self.step_number, figures)
