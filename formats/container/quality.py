"""What a model's decoding was measured to miss, as four bytes in the index.

Rounded so that a model is never worse than its figures say: PSNR down, errors and distance up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COLUMNS = 4
UNKNOWN = 255

PSNR_STEP_DB = 0.5
LEAST_ERROR_M_S = 2.0**-10
ERROR_STEPS = 4
"""Steps to a doubling of errors."""

DISTANCE_STEP = 0.125


class Quality(NamedTuple):
    """PSNR in dB over 3000 m/s at the native grid, mean and greatest absolute error in m/s, and how
    far the model lies from those that the decoder was trained on (about 1: as they do; not a number
    where no latent was fitted).
    """

    psnr_db: float
    mae_m_s: float
    max_error_m_s: float
    distance: float


UNKNOWN_ROW = np.array([[0], [UNKNOWN], [UNKNOWN], [UNKNOWN]], dtype=np.uint8)
"""The codes of a model that was not measured: as bad as can be said."""


def quality_codes(rows: Sequence[Quality]) -> NDArray[np.uint8]:
    """Each row as a column of four codes, (4, n): PSNR, mean error, greatest error, distance."""
    psnr, mae, worst, distance = np.array(rows, dtype=np.float64).reshape(-1, COLUMNS).T
    whole = np.clip(np.floor(psnr / PSNR_STEP_DB), 0, UNKNOWN)
    far = np.ceil(np.nan_to_num(distance, nan=np.inf) / DISTANCE_STEP)
    columns = whole, _error_codes(mae), _error_codes(worst), np.clip(far, 0, UNKNOWN)
    return np.stack(columns).astype(np.uint8)


def quality_figures(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What codes (4, n) stand for, (4, n): dB, m/s, m/s, distance; the inverse of `quality_codes`
    to the precision kept.
    """
    psnr, mae, worst, distance = codes.astype(np.float64)
    far = np.where(distance == UNKNOWN, np.nan, distance * DISTANCE_STEP)
    return np.stack([psnr * PSNR_STEP_DB, _errors(mae), _errors(worst), far])


def joined_codes(parts: Sequence[tuple[int, NDArray[np.uint8] | None]]) -> NDArray[np.uint8] | None:
    """Codes of neighbouring records as one; (count, None) where nothing is known of some of them.
    None where nothing is of any.
    """
    if all(codes is None for _, codes in parts):
        return None
    return np.concatenate(
        [
            np.repeat(UNKNOWN_ROW, count, axis=1) if codes is None else codes
            for count, codes in parts
        ],
        axis=1,
    )


def quality_rows(codes: NDArray[np.uint8]) -> tuple[Quality, ...]:
    """What codes (4, n) stand for, as rows."""
    return tuple(Quality(*row) for row in quality_figures(codes).T.tolist())


def _error_codes(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        doublings = np.log2(errors / LEAST_ERROR_M_S)
    # What a code stands for comes back as that code, though its logarithm may be a little more.
    code = 1.0 + np.ceil(ERROR_STEPS * doublings - 1e-9)
    return np.where(errors > 0, np.clip(code, 1, UNKNOWN), 0.0)


def _errors(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    found = LEAST_ERROR_M_S * 2.0 ** ((codes - 1.0) / ERROR_STEPS)
    return np.where(codes == 0, 0.0, np.where(codes == UNKNOWN, np.inf, found))
