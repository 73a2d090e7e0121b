"""A picture of the rate-distortion curves of one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .measure import Point
from .ours import NAME

FEWEST = 16
"""Bytes per model at the left edge; fewer cannot represent a model."""


def draw_curves(path: Path, file: str, points: Sequence[Point]) -> None:
    """PSNR and SSIM over bytes per model, as a PNG. Raises ImportError without matplotlib."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    codecs = list(dict.fromkeys(point.codec for point in points))
    for number, codec in enumerate(codecs):
        own = [point for point in points if point.codec == codec]
        sizes = [point.bytes_per_model for point in own]
        ours = codec.startswith(NAME)
        line = ":" if own[0].ideal else "--" if ours and codec != NAME else "-"
        style = {
            "color": "black" if ours else colormaps["tab20"](number % 20),
            "linewidth": 2.5 if ours else 1.2,
            "linestyle": line,
            "marker": ".",
            "label": codec,
        }
        axes[0].plot(sizes, [point.psnr.mean() for point in own], **style)
        axes[1].plot(sizes, [point.ssim.mean() for point in own], **style)
    for axis, label in zip(axes, ("mean PSNR, dB", "mean SSIM"), strict=True):
        axis.set_xscale("log", base=2)
        axis.set_xlim(left=FEWEST)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("bytes per model")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize="small", loc="outside right upper")
    figure.suptitle(f"{file}, {len(points[0].sizes)} models")
    figure.savefig(path, dpi=120)
