"""The demo's picture: original, rendering and error of a few models side by side (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Model = NDArray[np.generic]

INCHES_PER_PANEL = (3.3, 2.5)
DOTS_PER_INCH = 110


def need_matplotlib(instead: str = "use --no-picture") -> None:
    """Raises MissingExtraError, with what to do, where matplotlib is not installed."""
    from velcodec.formats.errors import MissingExtraError

    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            f"the picture needs matplotlib: pip install 'velcodec[plot]', or {instead}"
        ) from None


def draw_comparison(
    originals: Sequence[Model],
    native: Sequence[Model],
    fine: Sequence[Model],
    names: Sequence[str],
    qualities: Sequence[str],
    extent_km: tuple[float, float, float, float],
    stream: BinaryIO,
) -> None:
    """Write a PNG with a row per model: original, fine rendering, error at the native grid.

    Models are [z, x] in m/s; `extent_km` is (left, right, bottom, top) of all of them.
    """
    need_matplotlib()
    from matplotlib.figure import Figure

    rows = len(originals)
    width, height = INCHES_PER_PANEL
    figure = Figure(figsize=(3 * width, rows * height), layout="constrained", dpi=DOTS_PER_INCH)
    panels: Any = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
    for panel, original, back, rendering, name, quality in zip(
        panels, originals, native, fine, names, qualities, strict=True
    ):
        low, high = float(original.min()), float(original.max())
        error = back.astype(float) - original.astype(float)
        span = max(1.0, float(abs(error).max()))
        look = {"extent": extent_km, "aspect": "auto", "interpolation": "nearest"}
        speed = {"cmap": "viridis", "vmin": low, "vmax": high, **look}
        panel[0].imshow(original, **speed)
        image = panel[1].imshow(rendering, **speed)
        figure.colorbar(image, ax=panel[:2].tolist(), label="m/s", pad=0.01)
        image = panel[2].imshow(error, cmap="RdBu_r", vmin=-span, vmax=span, **look)
        figure.colorbar(image, ax=panel[2], label="m/s", pad=0.02)
        panel[0].set_title(f"{name}, {size(original)}", fontsize="medium")
        panel[1].set_title(f"rendering, {size(rendering)}", fontsize="medium")
        panel[2].set_title(f"error, {size(back)}: {quality}", fontsize="medium")
        panel[0].set_ylabel("depth, km")
    for axis in panels[-1]:
        axis.set_xlabel("x, km")
    figure.savefig(stream, format="png")


def size(model: Model) -> str:
    """`70 x 70`."""
    return f"{model.shape[0]} x {model.shape[1]}"
