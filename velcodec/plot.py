"""Pictures of models with matplotlib: equal axes in metres, depth down, a colour bar with units.

    velcodec.plot.velocity(model, archive.geometry(0)).save("model.png")

A picture shows itself at the end of a notebook's cell. Needs `velcodec[plot]`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.formats.extras import needed
from velcodec.geometry import Geometry

HEIGHT_INCHES, MOST_INCHES = 3.6, 11.0
DOTS_PER_INCH = 110

ERROR_SHARE = 99.5
"""Percentile of the absolute errors at which a scale of errors ends; sharp edges exceed it."""


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, the axes that were drawn in, and the image there."""

    figure: Any
    axes: Any
    image: Any

    def save(self, path: str | Path, **options: Any) -> None:
        """Write the figure; `options` are those of matplotlib's `savefig`."""
        self.figure.savefig(path, **options)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.figure.savefig(stream, format="png")
        return stream.getvalue()


def velocity(
    values: NDArray[Any],
    geometry: Geometry,
    *,
    units: str = "m/s",
    title: str = "",
    cmap: str = "viridis",
    low: float | None = None,
    high: float | None = None,
    axes: Any = None,
    colour_bar: bool = True,
) -> Picture:
    """Draw a model [z, x] of any number of samples over the extent of `geometry`.

    Colours span `low` to `high`, by default the model's own range; NaN stays blank. Draws into
    `axes`, or a new figure; several of one range may share a single bar. Raises MissingExtraError
    without matplotlib, InputShapeError, OptionError.
    """
    label = f"velocity, {units}" if colour_bar else ""
    return _draw(values, geometry, label, title, cmap, (low, high), axes)


def error(
    values: NDArray[Any],
    geometry: Geometry,
    *,
    units: str = "m/s",
    title: str = "",
    cmap: str = "RdBu_r",
    span: float | None = None,
    axes: Any = None,
    colour_bar: bool = True,
) -> Picture:
    """Draw an error or another difference [z, x], as `velocity` draws a model.

    Colours span -`span` to `span`, by default 99.5 % of the errors.
    """
    if span is None:
        known = np.abs(np.asarray(values, dtype=np.float64))
        known = known[np.isfinite(known)]
        span = float(np.percentile(known, ERROR_SHARE)) if known.size else 0.0
        span = span or 1.0
    label = f"error, {units}" if colour_bar else ""
    return _draw(values, geometry, label, title, cmap, (-span, span), axes)


def _draw(
    values: NDArray[Any],
    geometry: Geometry,
    label: str,
    title: str,
    cmap: str,
    span: tuple[float | None, float | None],
    axes: Any,
) -> Picture:
    if values.ndim != 2:
        raise InputShapeError(f"model: found shape {values.shape}, expected (nz, nx)")
    x0, x1, z0, z1 = geometry.extent
    if axes is None:
        figures = needed("matplotlib.figure", "plot", "a picture")
        width = HEIGHT_INCHES * (x1 - x0) / (z1 - z0) + 1.6
        height = HEIGHT_INCHES * min(1.0, MOST_INCHES / width)
        size = min(max(width, 2.6), MOST_INCHES), max(height, 1.8)
        figure = figures.Figure(figsize=size, layout="compressed", dpi=DOTS_PER_INCH)
        axes = figure.add_subplot()
    figure = axes.figure
    if isinstance(cmap, str) and cmap not in needed("matplotlib", "plot", "a picture").colormaps:
        raise OptionError(f"cmap: found {cmap!r}, expected a colour map that matplotlib knows")
    image = axes.imshow(
        values,
        extent=(x0, x1, z1, z0),
        aspect="equal",
        interpolation="nearest",
        cmap=cmap,
        vmin=span[0],
        vmax=span[1],
    )
    axes.set(xlabel="x, m", ylabel="depth, m", title=title)
    if label:
        figure.colorbar(image, ax=axes, label=label)
    return Picture(figure, axes, image)


__all__ = ["Picture", "error", "velocity"]
