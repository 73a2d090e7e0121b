"""Whether models with longer latents are reconstructed worse: the paper's key finding 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's correlation; None for fewer than 3 values or a constant."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 3 or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def correlation_table(
    norms: Mapping[str, Sequence[float]],
    unquantised_db: Mapping[str, Sequence[float]],
    latents_db: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Correlation of latent norm and PSNR over all models and by family."""

    def both(names: Sequence[str]) -> dict[str, float | None]:
        norm = [value for name in names for value in norms[name]]
        return {
            coding: pearson(norm, [value for name in names for value in psnr[name]])
            for coding, psnr in (("unquantised", unquantised_db), ("latents", latents_db))
        }

    return {"all": both(list(norms)), "families": {name: both([name]) for name in norms}}
