"""A picture of the rate-distortion curves of one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .measure import Point
from .ours import NAME


def draw_curves(path: Path, file: str, points: Sequence[Point]) -> None:
    """PSNR and SSIM over bytes per model, as a PNG. Raises ImportError without matplotlib."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2)
    codecs = list(dict.fromkeys(point.codec for point in points))
    for number, codec in enumerate(codecs):
        own = [point for point in points if point.codec == codec]
        sizes = [point.bytes_per_model for point in own]
        style = {
            "color": "black" if codec == NAME else colormaps["tab20"](number % 20),
            "linewidth": 2.5 if codec == NAME else 1.2,
            "linestyle": ":" if own[0].ideal else "-",
            "marker": ".",
            "label": codec,
        }
        axes[0].plot(sizes, [point.psnr.mean() for point in own], **style)
        axes[1].plot(sizes, [point.ssim.mean() for point in own], **style)
    for axis, label in zip(axes, ("mean PSNR, dB", "mean SSIM"), strict=True):
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("bytes per model")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize="small", loc="lower right")
    figure.suptitle(f"{file}, {len(points[0].sizes)} models")
    figure.savefig(path, dpi=120)
