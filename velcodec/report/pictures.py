"""A report's pictures as PNG (matplotlib, the `plot` extra). Models are drawn depth down."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from velcodec.geometry import Float64
from velcodec.report.coding import LATENTS, UNQUANTISED, CodedFamily
from velcodec.report.data import generated_truth
from velcodec.report.interpolation import ALPHAS, Path
from velcodec.report.run import Report
from velcodec.report.super_resolution import RESOLUTIONS, fine_rendering

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FAMILIES = 8
"""Rows of a picture; further families are in the tables only."""

DOTS_PER_INCH = 110
INCHES = 1.9
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Told apart by the colour-blind (Okabe and Ito 2008)."""

MARKERS = "os^Dv<>P"
CODING_TITLES = {UNQUANTISED: "latent not quantised", LATENTS: "latent"}
SUPER_RESOLUTION_COLUMNS = {
    "nearest": "70 x 70 samples",
    "bicubic": "bicubic of them",
    "lossless": "lossless",
    "default": "default",
    **CODING_TITLES,
}


def draw_pictures(report: Report) -> dict[str, bytes]:
    """PNG files by kind, in the order of the report; kinds without data are left out."""
    found = {"reconstruction": _reconstruction(report)}
    first = {path.family: path for path in reversed(report.paths)}
    strips = [first[name] for name in first][::-1][:MOST_FAMILIES]
    if strips:
        found["interpolation"] = _strips(strips)
        found["interpolation_error"] = _errors(report.tables["interpolation"])
    found["super_resolution"] = _super_resolution(report.generated[:MOST_FAMILIES])
    found["latent_norm"] = _latent_norm(report)
    return {kind: _png(figure) for kind, figure in found.items()}


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _panels(rows: int, columns: int, inches: float = INCHES) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    size = (columns * inches + 0.4, rows * inches + 0.3)
    figure = Figure(figsize=size, layout="constrained", dpi=DOTS_PER_INCH)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return figure, panels


def _show(panel: Any, model: Float64, low: float, high: float, cmap: str = "viridis") -> Any:
    return panel.imshow(
        model, cmap=cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )


def _reconstruction(report: Report) -> Figure:
    """The model of median quality of each family, both renderings, the stored one's error."""
    data = report.data[:MOST_FAMILIES]
    figure, panels = _panels(len(data), 4)
    for row, coded in zip(panels, data, strict=True):
        name = coded.family.name
        figures = report.figures[name]
        order = np.argsort([one.psnr_db for one in figures[LATENTS]])
        i = int(order[len(order) // 2])
        original = coded.family.models.m_s(i)
        low, high = float(original.min()), float(original.max())
        _show(row[0], original, low, high)
        row[0].set_ylabel(name)
        for panel, coding in zip(row[1:], CODING_TITLES, strict=False):
            image = _show(panel, coded.codings[coding].rendering(i), low, high)
            panel.set_xlabel(f"{figures[coding][i].psnr_db:.1f} dB")
        figure.colorbar(image, ax=row[2], label="m/s")
        error = coded.latents.rendering(i) - original
        span = max(1.0, float(np.abs(error).max()))
        figure.colorbar(_show(row[3], error, -span, span, "RdBu_r"), ax=row[3], label="m/s")
    titles = ("median model", *CODING_TITLES.values(), "error of the latent")
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title, fontsize="medium")
    return figure


def _strips(paths: list[Path]) -> Figure:
    """A row per pair, a column per alpha, both ends included."""
    figure, panels = _panels(len(paths), len(ALPHAS), 1.4)
    for row, path in zip(panels, paths, strict=True):
        low, high = float(path.renderings.min()), float(path.renderings.max())
        for panel, rendering in zip(row, path.renderings, strict=True):
            _show(panel, rendering, low, high)
        row[0].set_ylabel(path.family)
    for panel, alpha in zip(panels[0], ALPHAS, strict=True):
        ends = {0.0: "A, ", 1.0: "B, "}
        panel.set_title(f"{ends.get(alpha, '')}alpha {alpha:.2f}", fontsize="medium")
    return figure


def _errors(table: dict[str, Any]) -> Figure:
    """MSE to A and B over alpha, and what a cross-fade would have."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.subplots()
    for end, colour in zip("ab", COLOURS, strict=False):
        for key, style, what in (
            ("mse_to", "-o", "latents"),
            ("crossfade_to", "--", "cross-fade"),
        ):
            values = [row[f"{key}_{end}"] for row in table["rows"]]
            label = f"{what}, to {end.upper()}"
            axes.plot(ALPHAS, values, style, color=colour, label=label)
    axes.set_xlabel("alpha")
    axes.set_ylabel("MSE, (m/s)²")
    axes.set_title(f"mean of {table['pairs']} pairs", fontsize="medium")
    axes.legend()
    return figure


def _super_resolution(generated: list[CodedFamily]) -> Figure:
    """The middle of one model of each family at the finest resolution, by several methods."""
    res = RESOLUTIONS[-1]
    columns = {**SUPER_RESOLUTION_COLUMNS, "exact": f"exact, {res} x {res}"}
    figure, panels = _panels(len(generated), len(columns))
    part = slice(res // 4, 3 * res // 4)
    for row, coded in zip(panels, generated, strict=True):
        exact = generated_truth(coded.family.name, 1).render(res, res)[0].double().numpy()
        low, high = float(exact[part, part].min()), float(exact[part, part].max())
        for panel, method in zip(row, columns, strict=True):
            fine = exact if method == "exact" else fine_rendering(coded, method, 0, res)
            _show(panel, fine[part, part], low, high)
        row[0].set_ylabel(coded.family.name)
    for panel, title in zip(panels[0], columns.values(), strict=True):
        panel.set_title(title, fontsize="medium")
    return figure


def _latent_norm(report: Report) -> Figure:
    """Norm against PSNR of every model, a panel for each coding, a colour for each family."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.8), layout="constrained", dpi=DOTS_PER_INCH)
    for axes, (coding, title) in zip(
        figure.subplots(1, 2, sharey=True), CODING_TITLES.items(), strict=True
    ):
        for k, (name, norms) in enumerate(report.norms.items()):
            psnr = [one.psnr_db for one in report.figures[name][coding]]
            look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
            label = name if k < MOST_FAMILIES else None
            axes.scatter(norms, psnr, s=18, alpha=0.8, linewidths=0, label=label, **look)
        r = report.tables["latent_norm"]["all"][coding]
        axes.set_title(title + ("" if r is None else f", r = {r:.2f}"), fontsize="medium")
        axes.set_xlabel("latent norm")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("PSNR, dB")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure
