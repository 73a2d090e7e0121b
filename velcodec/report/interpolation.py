"""Between two latents: the paper's section 4.4 and its interpolation table.

Models A and B of one family, latents not quantised; latents and value ranges are mixed linearly.
Errors are mean squares in (m/s)^2, to the renderings of A and B (zero at their own ends, as in the
paper) and to the models themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from velcodec.geometry import Float64
from velcodec.metrics import mean_squared_error
from velcodec.report.coding import CodedFamily

ALPHAS = tuple(step / 6 for step in range(7))
"""Shares of B: the paper's, 0 to 1 in sixths."""

MOST_PAIRS = 8
"""Pairs of each family, neighbours in its order."""


@dataclass(frozen=True)
class Path:
    """One pair and the renderings (len(ALPHAS), nz, nx) on the way, m/s.

    The rows of `errors` are ALPHAS; its columns are the errors to the rendering of A, to that of B,
    to model A, to model B.
    """

    family: str
    pair: tuple[int, int]
    renderings: Float64
    errors: Float64

    @property
    def apart(self) -> float:
        """Mean squared difference of the renderings of A and B."""
        return float(self.errors[-1, 0])


def follow(coded: CodedFamily, pair: tuple[int, int]) -> Path:
    """Render and measure the way between two models of a family."""
    way = np.stack([coded.unquantised.between(*pair, alpha) for alpha in ALPHAS])
    models = coded.family.models
    ends = (way[0], way[-1], models.m_s(pair[0]), models.m_s(pair[1]))
    errors = np.array([[mean_squared_error(one, end) for end in ends] for one in way])
    return Path(coded.family.name, pair, way, errors)


def follow_all(families: Sequence[CodedFamily]) -> list[Path]:
    """The ways between the first and second, third and fourth ... model of every family."""
    return [
        follow(coded, (2 * k, 2 * k + 1))
        for coded in families
        for k in range(min(MOST_PAIRS, len(coded.family) // 2))
    ]


def asymmetry(errors: Float64) -> float:
    """How far the error to A at alpha is from that to B at 1 - alpha, `errors` as in `Path`.

    Mean of the absolute differences over alpha as a share of the error between A and B: 0 for a
    symmetric way, and where A and B are the same.
    """
    apart = float(errors[-1, 0])
    if apart == 0.0:
        return 0.0
    return float(np.mean(np.abs(errors[:, 0] - errors[::-1, 1]))) / apart


def interpolation_table(paths: Sequence[Path]) -> dict[str, Any] | None:
    """Means over all pairs, and the asymmetry of each family; None where there is no pair.

    `crossfade_to_a` is the error to A that fading one picture into the other would have.
    """
    if not paths:
        return None
    errors = np.mean([path.errors for path in paths], axis=0)
    apart = float(errors[-1, 0])
    rows = [
        {
            "alpha": alpha,
            "mse_to_a": float(row[0]),
            "mse_to_b": float(row[1]),
            "mse_to_model_a": float(row[2]),
            "mse_to_model_b": float(row[3]),
            "crossfade_to_a": alpha**2 * apart,
            "crossfade_to_b": (1 - alpha) ** 2 * apart,
        }
        for alpha, row in zip(ALPHAS, errors, strict=True)
    ]
    names = list(dict.fromkeys(path.family for path in paths))
    by_family = {
        name: float(np.mean([asymmetry(p.errors) for p in paths if p.family == name]))
        for name in names
    }
    return {
        "pairs": len(paths),
        "rows": rows,
        "asymmetry_of_means": asymmetry(errors),
        "asymmetry": float(np.mean([asymmetry(path.errors) for path in paths])),
        "asymmetry_of_family": by_family,
    }
