"""The paper's figures, for comparison: on its training models, 256 floats each.

Its MSE column is in unstated units (docs/evaluation.md) and is left out.
"""

from __future__ import annotations

OVERALL = {"psnr_db": (32.47, 2.31, 38.92, 26.14), "ssim": (0.956, 0.018, 0.991, 0.892)}
"""Mean, standard deviation, greatest, least (Table 6)."""

FAMILIES = {
    "flatvel": (35.82, 0.978),
    "curvevel": (33.45, 0.962),
    "flatfault": (31.28, 0.948),
    "curvefault": (30.56, 0.941),
    "style": (31.24, 0.951),
}
"""Mean PSNR (dB) and SSIM (Table 7)."""

RESOLUTIONS = {70: (32.47, 0.956), 140: (31.82, 0.948), 280: (30.95, 0.937)}
"""Mean PSNR (dB) and SSIM at N x N samples (super-resolution table)."""


def family_figures(name: str) -> tuple[float, float] | None:
    """The paper's PSNR and SSIM for a family named like one of the paper's, except B versions."""
    words = name.lower().replace("-", "_").split("_")
    return None if "b" in words[1:] else FAMILIES.get(words[0])
