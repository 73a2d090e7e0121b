"""The log of a run: JSON lines of averaged figures, appended during the run."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

AVERAGE_OVER_STEPS = 100


class TrainingLog:
    """Averages each figure over some steps and appends the averages to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recent: dict[str, float] = {}
        self._seen: dict[str, list[float]] = {}

    def add(self, step: int, figures: dict[str, float]) -> None:
        """Add the figures of one step; `step` counts completed steps."""
        for name, value in figures.items():
            self._seen.setdefault(name, []).append(value)
        self.recent |= {name: fmean(values) for name, values in self._seen.items()}
        if step % AVERAGE_OVER_STEPS == 0:
            line = {"step": step} | {name: round(self.recent[name], 4) for name in self._seen}
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            self._seen = {}
