"""What an encoder may choose for a brick: its kind, and integers for samples within a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.domain import (
    EVEN,
    LEAST_STEP,
    Domain,
    Samples,
    bound_class,
    ending_by,
    float64_holds,
)
from velcodec.formats.volume_coding.interpolation import MOST_SPAN

REACH = 16
"""Of samples within a bound, in steps of the domain that `interpolated_domain` makes."""

SELDOM = 0.5
"""A brick is smooth if fewer of its samples are like one of three neighbours."""


def looks_smooth(codes: Int64) -> bool:
    """Whether few samples of a brick (nz, ny, nx) are like the one above, to the left or behind."""
    alike = np.zeros(codes.shape, dtype=bool)
    for axis in range(3):
        ahead = tuple(slice(1, None) if k == axis else slice(None) for k in range(3))
        alike[ahead] |= np.diff(codes, axis=axis) == 0
    return bool(alike.mean() < SELDOM)


def interpolated_domain(models: Sequence[Samples], bound: float) -> Domain | None:
    """A domain of even steps whose integers, the nearest to each sample, `encode_within` may change
    by up to REACH so that every sample stays within `bound` (in the models' units, over 0). None if
    there is none: the bound is too fine, or samples are not finite.
    """
    if not float64_holds(models):
        return None
    least = min(float(model.min()) for model in models)
    greatest = max(float(model.max()) for model in models)
    if not math.isfinite(greatest - least):
        return None
    dtype = models[0].dtype
    spacing = 1.0
    if dtype.kind == "f":
        spacing = float(np.spacing(np.array(max(abs(least), abs(greatest)), dtype=dtype)))
    # A sample is rounded to its dtype after decoding.
    step = 2.0 * (bound - spacing) / (2 * REACH + 1)
    extent = greatest - least
    if step < max(LEAST_STEP, spacing) or extent / step > MOST_SPAN - 2:
        return None
    steps = math.ceil(extent / step)
    kind = bound_class(bound, max(extent, 1e-300))
    domain = Domain(EVEN, least, extent / steps if steps else step, steps + 1, kind)
    return ending_by(domain, greatest, dtype)
