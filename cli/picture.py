"""The demo's picture: models, their renderings at a finer grid, and errors (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Model = NDArray[np.generic]

INCHES_PER_PANEL = (2.75, 2.3)
DOTS_PER_INCH = 110

ERROR_SHARE = 98.0
"""Percentile of the absolute errors at which the colour scale ends; sharp edges exceed it."""


@dataclass(frozen=True)
class Panel:
    """One [z, x] image with its title: m/s, or an error in m/s."""

    title: str
    values: Model
    is_error: bool = False


def need_matplotlib(instead: str = "use --no-picture") -> None:
    """Raise MissingExtraError, with advice, if matplotlib is not installed."""
    from velcodec.formats.extras import needed

    needed("matplotlib.figure", "plot", f"the picture ({instead} to do without)")


def draw_rows(
    rows: Sequence[Sequence[Panel]],
    extent_km: tuple[float, float, float, float],
    stream: BinaryIO,
) -> None:
    """Write a PNG with one row for each model: panels of velocities, then of errors.

    The velocities of a row share the scale of its first panel; all errors share one scale.
    `extent_km` is (left, right, bottom, top) of every model. All rows have as many panels.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    width, height = INCHES_PER_PANEL
    columns = len(rows[0])
    size = (columns * width + 1.2, len(rows) * height + 0.4)
    figure = Figure(figsize=size, layout="constrained", dpi=DOTS_PER_INCH)
    panels: Any = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    look = {"extent": extent_km, "aspect": "auto", "interpolation": "nearest"}
    span = error_span([panel.values for row in rows for panel in row if panel.is_error])
    speeds = sum(not panel.is_error for panel in rows[0])
    for axes, row in zip(panels, rows, strict=True):
        first = row[0].values
        speed = {"cmap": "viridis", "vmin": float(first.min()), "vmax": float(first.max())}
        error = {"cmap": "RdBu_r", "vmin": -span, "vmax": span}
        images = []
        for axis, panel in zip(axes, row, strict=True):
            kind = error if panel.is_error else speed
            images.append(axis.imshow(panel.values, **kind, **look))
            axis.set_title(panel.title, fontsize="medium")
        bar = {"ax": axes[:speeds].tolist(), "label": "velocity, m/s", "pad": 0.01}
        figure.colorbar(images[0], **bar)
        axes[0].set_ylabel("depth, km")
    bar = {"ax": panels[:, speeds:].ravel().tolist(), "label": "error, m/s", "pad": 0.02}
    figure.colorbar(images[-1], extend="both", extendfrac=0.01, aspect=60, **bar)
    for axis in panels[-1]:
        axis.set_xlabel("x, km")
    figure.savefig(stream, format="png")


def error_span(errors: Sequence[Model]) -> float:
    """The end of the error scale, m/s: ERROR_SHARE of the worst model, at least 1."""
    import numpy as np

    worst = max(float(np.percentile(abs(error.astype(float)), ERROR_SHARE)) for error in errors)
    digit = 10.0 ** np.floor(np.log10(max(worst, 1.0)))
    return float(np.ceil(max(worst, 1.0) / digit) * digit)


def size(model: Model) -> str:
    """`70 x 70`."""
    return f"{model.shape[0]} x {model.shape[1]}"
