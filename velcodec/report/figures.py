"""PSNR, SSIM and MSE of models, and how they spread: the paper's Tables 6 and 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from velcodec.geometry import Float64
from velcodec.metrics import mean_squared_error, psnr_of_mse, ssim


@dataclass(frozen=True)
class Figures:
    """One model's rendering against the model: dB over 3000 m/s, SSIM, (m/s)^2 (section 4.2)."""

    psnr_db: float
    ssim: float
    mse: float


@dataclass(frozen=True)
class Spread:
    """How one figure is spread over models; `std` divides by their number."""

    mean: float
    std: float
    max: float
    min: float


METRICS = ("psnr_db", "ssim", "mse")


def measure(original: Float64, rendering: Float64) -> Figures:
    """All figures of one [z, x] rendering, both in m/s."""
    mse = mean_squared_error(original, rendering)
    return Figures(psnr_of_mse(mse), ssim(original, rendering), mse)


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation, greatest and least of at least one value."""
    array = np.asarray(values, dtype=np.float64)
    return Spread(*(float(f(array)) for f in (np.mean, np.std, np.max, np.min)))


def summary(figures: Sequence[Figures]) -> dict[str, Any]:
    """The spread of every metric, by name, and the PSNR that the mean MSE stands for.

    The last lies below the mean PSNR wherever models differ (docs/evaluation.md).
    """
    found: dict[str, Any] = {
        name: asdict(spread([getattr(one, name) for one in figures])) for name in METRICS
    }
    found["psnr_db_of_mean_mse"] = psnr_of_mse(found["mse"]["mean"])
    return found
