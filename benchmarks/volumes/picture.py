"""A picture of bits per sample over bounds, one panel for each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import Figure
from .tables import OURS

COLUMNS = 4


def draw(path: Path, figures: Sequence[Figure]) -> None:
    """Write a PNG; `lossless` stands at the left end. Needs matplotlib."""
    from matplotlib.figure import Figure as Picture

    cases = list(dict.fromkeys(figure.case for figure in figures))
    codecs = list(dict.fromkeys(figure.codec for figure in figures))
    bounds = sorted(
        {f.promise for f in figures if f.promise.endswith("m/s")}, key=lambda p: float(p[:-4])
    )
    places = ["lossless", *bounds]
    rows = -(-len(cases) // COLUMNS)
    picture = Picture(figsize=(3.4 * COLUMNS, 2.9 * rows), layout="constrained")
    axes: Any = picture.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.ravel()[len(cases) :]:
        axis.set_axis_off()
    for axis, case in zip(axes.ravel(), cases, strict=False):
        for number, codec in enumerate(codecs):
            found = {
                f.promise: f.bits_per_sample for f in figures if (f.case, f.codec) == (case, codec)
            }
            at = [place for place in range(len(places)) if places[place] in found]
            if not at:
                continue
            ours = codec.startswith(OURS)
            axis.plot(
                at,
                [found[places[place]] for place in at],
                marker="o",
                markersize=3,
                color="black" if ours else f"C{number}",
                linewidth=2.2 if ours else 1.2,
                label=codec,
            )
        axis.set_yscale("log")
        axis.set_xticks(range(len(places)), [place.replace(" m/s", "") for place in places])
        axis.set_title(case, fontsize="medium")
        axis.set_xlabel("bound, m/s")
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("bits per sample")
    handles: dict[str, Any] = {}
    for axis in axes.ravel():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    picture.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    picture.savefig(path, dpi=80)
