"""Pictures of models with matplotlib: equal axes in metres, z down, a colour bar with units.

    velcodec.plot.velocity(model, archive.geometry(0)).save("model.png")

A picture shows itself at the end of a notebook's cell. Needs `velcodec[plot]`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.errors import InputShapeError, OptionError
from velcodec.formats.extras import needed
from velcodec.geometry import ACROSS, Geometry

HEIGHT_INCHES, MOST_INCHES = 3.6, 11.0
DOTS_PER_INCH = 110
SECTIONS_INCHES = 7.0
"""The longer side of a volume's sections, without axes and colour bar."""

INCHES_PER_DIGIT = 0.085
"""Width of a letter or digit of a label."""

LEAST_LINE = 14
"""Letters of a line of a label that is broken into lines."""

ERROR_SHARE = 99.5
"""Percentile of the absolute errors at which a scale of errors ends; sharp edges exceed it."""


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, the axes that were drawn in, and the image there; of the sections of a
    volume, the list of their axes, and the first image.
    """

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
    section: str = "y",
) -> Picture:
    """Draw a model [z, x] of any number of samples over the extent of `geometry`.

    Colours span `low` to `high`, by default the model's own range; NaN stays blank. Draws into
    `axes`, or a new figure; several of one range may share a single bar. `section` names the axes:
    those of a volume's section through a y are a model's, through an x [z, y], through a z [y, x].
    Raises MissingExtraError without matplotlib, InputShapeError, OptionError.
    """
    label = f"velocity, {units}" if colour_bar else ""
    return _draw(values, geometry, label, title, cmap, (low, high), axes, section)


def sections(
    values: Mapping[str, NDArray[Any]],
    geometries: Mapping[str, Geometry],
    at: Mapping[str, float],
    *,
    units: str = "m/s",
    title: str = "",
    cmap: str = "viridis",
    low: float | None = None,
    high: float | None = None,
) -> Picture:
    """Draw three sections of a volume, through the z, y and x in metres that `at` names, in one
    figure: axes that sections share stand in line, and lines show where the others cross.

    Colours span `low` to `high`, by default the sections' common range. `axes` of the picture are
    those of the y, the x and the z section. Raises MissingExtraError without matplotlib,
    InputShapeError.
    """
    figures = needed("matplotlib.figure", "plot", "a picture")
    known = [each[np.isfinite(each)] for each in values.values()]
    low = min(float(each.min()) for each in known if each.size) if low is None else low
    high = max(float(each.max()) for each in known if each.size) if high is None else high
    x0, x1, z0, z1 = geometries["y"].extent
    y0, y1, *_ = geometries["x"].extent
    wide, tall = [x1 - x0, y1 - y0], [z1 - z0, y1 - y0]
    scale = SECTIONS_INCHES / max(sum(wide), sum(tall))
    size = scale * sum(wide) + 2.4, scale * sum(tall) + 2.0
    figure = figures.Figure(figsize=size, layout="constrained", dpi=DOTS_PER_INCH)
    grid = figure.add_gridspec(2, 2, width_ratios=wide, height_ratios=tall)
    drawn = {"y": grid[0, 0], "x": grid[0, 1], "z": grid[1, 0]}
    panels = []
    for section, place in drawn.items():
        axes, ground = figure.add_subplot(place), geometries[section]
        _draw(
            values[section], ground, "",
            f"{_called(section, ground)} {at[section]:.10g} {_units(section, ground)}", cmap,
            (low, high), axes, section,
        )  # fmt: skip
        down, across = ACROSS[section]
        axes.axvline(at[across], color="white", linewidth=0.8, linestyle="--")
        axes.axhline(at[down], color="white", linewidth=0.8, linestyle="--")
        panels.append(axes)
    image = panels[0].images[0]
    figure.colorbar(image, ax=panels, label=f"velocity, {units}")
    figure.suptitle(title)
    return Picture(figure, panels, image)


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
    return _draw(values, geometry, label, title, cmap, (-span, span), axes, "y")


def _draw(
    values: NDArray[Any],
    geometry: Geometry,
    label: str,
    title: str,
    cmap: str,
    span: tuple[float | None, float | None],
    axes: Any,
    section: str,
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
    down, across = ACROSS[section]
    names = [f"{_called(axis, geometry)}, {_units(axis, geometry)}" for axis in (across, down)]
    width, height = _inches(axes, (x1 - x0) / (z1 - z0))
    upright = fill(names[1], max(LEAST_LINE, int(height / INCHES_PER_DIGIT)))
    axes.set(xlabel=names[0], ylabel=upright, title=title)
    _space_ticks(axes, width, max(len(f"{end:.0f}") for end in (x0, x1)))
    if label:
        figure.colorbar(image, ax=axes, label=label)
    return Picture(figure, axes, image)


def _inches(axes: Any, ratio: float) -> tuple[float, float]:
    """About how wide and tall a drawing of this ratio is within its axes, in inches."""
    box, (across, down) = axes.get_position(), axes.figure.get_size_inches()
    width, height = box.width * across, box.height * down
    return min(width, height * ratio), min(height, width / ratio)


def _space_ticks(axes: Any, width: float, digits: int) -> None:
    """Whole figures at the ticks, and along x only as many as there is room for: those of UTM
    coordinates are long.
    """
    ticker = needed("matplotlib.ticker", "plot", "a picture")
    most = max(1, min(9, int(width / (INCHES_PER_DIGIT * (digits + 2)))))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], min_n_ticks=1))
    for axis in (axes.xaxis, axes.yaxis):
        formatter = ticker.ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axis.set_major_formatter(formatter)


def _called(axis: str, geometry: Geometry) -> str:
    return geometry.z_name if axis == "z" else axis


def _units(axis: str, geometry: Geometry) -> str:
    return geometry.z_units if axis == "z" else "m"


__all__ = ["Picture", "error", "sections", "velocity"]
