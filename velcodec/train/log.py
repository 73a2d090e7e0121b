"""The log of a run: JSON lines of averaged figures, appended as the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

AVERAGE_OVER_STEPS = 100


class TrainingLog:
    """Averages each figure over some steps and appends the averages to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recent: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, figures: dict[str, float]) -> None:
        """Take the figures of one step; `step` counts the steps done."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self.recent = {name: total / self._count for name, total in self._sums.items()}
        if step % AVERAGE_OVER_STEPS == 0:
            line = {"step": step} | {name: round(v, 4) for name, v in self.recent.items()}
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            self._sums, self._count = {}, 0
