"""Plot the curves of a run from its log (needs matplotlib, `plot` extra)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from velcodec.formats.errors import InputFileError

PANELS = (("PSNR, dB", ("psnr",)), ("bytes per model", ("bytes",)), ("loss", ("loss",)))
"""Title of each panel, and the ending of the names of its figures."""

WIDTH, HEIGHT, DOTS_PER_INCH = 6.4, 3.2, 110
COUNTER = "step"


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a run's log by step; for steps repeated by a resumed run, the last.

    Raises InputFileError if the file has no line that can be drawn, or other content.
    """
    try:
        lines: list[Any] = [
            json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()
        ]
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: not the log of a run: {error}") from error
    if not lines or not all(isinstance(line, dict) and COUNTER in line for line in lines):
        raise InputFileError(f"{path}: not the log of a run: found no steps")
    last = {line[COUNTER]: line for line in lines}
    ordered = [last[step] for step in sorted(last)]
    if not panels_of(ordered):
        raise InputFileError(f"{path}: not the log of a run: found no PSNR, bytes or loss")
    return ordered


def panels_of(lines: Sequence[dict[str, float]]) -> list[tuple[str, list[str]]]:
    """Titles and figures of the panels for this log."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    panels = [(title, [n for n in names if n.endswith(ends)]) for title, ends in PANELS]
    return [(title, shown) for title, shown in panels if shown]


def draw_curves(lines: Sequence[dict[str, float]], title: str, stream: BinaryIO) -> None:
    """Write a PNG with a panel for each kind of figure, over the steps."""
    from matplotlib.figure import Figure

    panels = panels_of(lines)
    figure = Figure(figsize=(WIDTH, HEIGHT * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (label, names) in zip(axes, panels, strict=True):
        for name in names:
            shown = [(line[COUNTER], line[name]) for line in lines if name in line]
            axis.plot(*zip(*shown, strict=True), label=name.replace("_", " "), linewidth=1.2)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_title(title)
    axes[-1].set_xlabel("steps")
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH)
