"""The measured error of a decoded model, as four bytes in the index.

Figures are rounded so that a model is never worse than they say: PSNR down, errors and distance up.
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
"""Steps per doubling of an error."""

DISTANCE_STEP = 0.125


class StoredQuality(NamedTuple):
    """PSNR in dB over 3000 m/s on the native grid; mean and maximum absolute error in m/s; and the
    model's distance from the decoder's training models (about 1 for models like them, NaN where no
    latent was fitted).
    """

    psnr_db: float
    mae_m_s: float
    max_error_m_s: float
    distance: float


UNKNOWN_ROW = np.array([[0], [UNKNOWN], [UNKNOWN], [UNKNOWN]], dtype=np.uint8)
"""The codes of a model that was not measured: the worst of each."""


def quality_codes(rows: Sequence[StoredQuality]) -> NDArray[np.uint8]:
    """Each row as a column of four codes, (4, n): PSNR, mean error, maximum error, distance."""
    psnr, mae, worst, distance = np.array(rows, dtype=np.float64).reshape(-1, COLUMNS).T
    whole = np.clip(np.floor(psnr / PSNR_STEP_DB), 0, UNKNOWN)
    far = np.ceil(np.nan_to_num(distance, nan=np.inf) / DISTANCE_STEP)
    columns = whole, _error_codes(mae), _error_codes(worst), np.clip(far, 0, UNKNOWN)
    return np.stack(columns).astype(np.uint8)


def is_unknown(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the codes (4, n) are those of models that were not measured, (n,)."""
    return (codes == UNKNOWN_ROW).all(axis=0)


def quality_figures(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The figures that codes (4, n) stand for, (4, n): dB, m/s, m/s, distance; inverse of
    `quality_codes` up to rounding.
    """
    psnr, mae, worst, distance = codes.astype(np.float64)
    far = np.where(distance == UNKNOWN, np.nan, distance * DISTANCE_STEP)
    return np.stack([psnr * PSNR_STEP_DB, _errors(mae), _errors(worst), far])


def joined_codes(parts: Sequence[tuple[int, NDArray[np.uint8] | None]]) -> NDArray[np.uint8] | None:
    """Concatenate codes of consecutive records; (count, None) where some have none. None if all
    have none.
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


def quality_rows(codes: NDArray[np.uint8]) -> tuple[StoredQuality, ...]:
    """What codes (4, n) stand for, as rows."""
    return tuple(StoredQuality(*row) for row in quality_figures(codes).T.tolist())


def _error_codes(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        doublings = np.log2(errors / LEAST_ERROR_M_S)
    # A decoded figure must give the same code again, although its logarithm may be slightly larger.
    code = 1.0 + np.ceil(ERROR_STEPS * doublings - 1e-9)
    return np.where(errors > 0, np.clip(code, 1, UNKNOWN), 0.0)


def _errors(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    found = LEAST_ERROR_M_S * 2.0 ** ((codes - 1.0) / ERROR_STEPS)
    return np.where(codes == 0, 0.0, np.where(codes == UNKNOWN, np.inf, found))
