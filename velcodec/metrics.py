"""Errors of a rendering: the figures of the paper's section 4, in m/s.

Every array is [z, x] or (n, z, x) in m/s. PSNR and SSIM use one fixed data range for all models, so
that their figures compare. Never converts units.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from velcodec.masks import filled

DATA_RANGE = 3000.0
"""m/s; the span of OpenFWI's labels, 1500 to 4500 m/s."""

PSNR_CAP = 100.0
"""dB; stands for "equal" (root mean square error below 0.03 m/s), and keeps means finite."""

SSIM_WINDOW = 7


def mean_squared_error(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Mean squared difference, (m/s)^2."""
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return float(np.mean(difference * difference))


def psnr_of_mse(mse: float, data_range: float = DATA_RANGE) -> float:
    """Peak signal-to-noise ratio (dB) of a mean squared error in (m/s)^2, at most PSNR_CAP."""
    if mse <= 0.0:
        return PSNR_CAP
    return float(min(PSNR_CAP, 10.0 * np.log10(data_range * data_range / mse)))


def mse_of_psnr(psnr_db: float, data_range: float = DATA_RANGE) -> float:
    """Mean squared error, (m/s)^2, of a PSNR in dB."""
    return float(data_range * data_range / 10.0 ** (psnr_db / 10.0))


def rms_of_psnr(psnr_db: float, data_range: float = DATA_RANGE) -> float:
    """Root mean square error, m/s, of a PSNR in dB."""
    return mse_of_psnr(psnr_db, data_range) ** 0.5


def psnr(a: NDArray[np.generic], b: NDArray[np.generic], data_range: float = DATA_RANGE) -> float:
    """Peak signal-to-noise ratio in dB, at most PSNR_CAP."""
    return psnr_of_mse(mean_squared_error(a, b), data_range)


def mae(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Mean absolute error, m/s."""
    return float(np.mean(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))


def max_error(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Largest absolute error, m/s."""
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))


def ssim(a: NDArray[np.generic], b: NDArray[np.generic], data_range: float = DATA_RANGE) -> float:
    """Structural similarity of two [z, x] models (scikit-image, uniform window of 7).

    The window shrinks to the largest odd size that fits a smaller grid. A grid of fewer than 3
    samples along an axis has no structure to compare: 1.0 if equal, else NaN. It is NaN for
    volumes, for which no window is customary.
    """
    if a.ndim > 2:
        return float("nan")
    window = min(SSIM_WINDOW, *a.shape)
    window -= 1 - window % 2
    if window < 3:
        return 1.0 if np.array_equal(a, b) else float("nan")
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            np.asarray(a, np.float64),
            np.asarray(b, np.float64),
            data_range=data_range,
            win_size=window,
        )
    )


@dataclass(frozen=True)
class Quality:
    """The figures of one model: psnr in dB, ssim, mae and max_error in m/s."""

    psnr: float
    ssim: float
    mae: float
    max_error: float

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def quality(
    original: NDArray[np.generic],
    rendering: NDArray[np.generic],
    absent: NDArray[np.bool_] | None = None,
    difference: NDArray[np.float64] | None = None,
) -> Quality:
    """All figures of one [z, x] rendering in m/s. `absent` samples do not count; for SSIM both
    arrays hold the nearest original sample there.

    `difference` is rendering minus original, where it is known better than from float64 values.
    """
    if difference is None:
        difference = np.asarray(rendering, np.float64) - np.asarray(original, np.float64)
    if absent is not None:
        original = filled(original, absent)
        rendering = np.where(absent, original, rendering)
        difference = difference[~absent]
    error = np.abs(difference)
    return Quality(
        psnr_of_mse(float(np.mean(error * error))),
        ssim(original, rendering),
        float(np.mean(error)),
        float(np.max(error)),
    )
