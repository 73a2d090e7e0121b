"""RDOQ: the encoder's choice of quantised coefficients, by the bits of these and of outliers.

Floating point is safe here: the result is integers, which the stream stores.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.learned_bits import FREQUENCIES, table_index
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.sample_coding.dct.coefficients import (
    FEATURES,
    REACH,
    STAGES,
    find_features,
    order_of,
)
from velcodec.formats.sample_coding.dct.start import first_models
from velcodec.formats.sample_coding.dct.transform import TABLE_BITS, table

OUTLIER = 6.5
"""Approximate bits of an outlier."""

NEAR, FAR = -0.15, 0.05
"""The price of an outlier rises linearly from 0 between these excesses over the bound, relative to
it: an error just within the bound leaves no room for later changes."""

FLAT = 0.003
"""Price in bits of an error equal to the bound; smaller ones cost less, by their square."""

SQUARE = 7.0
"""Lagrangian weight without a bound: bits per squared error of a coefficient, in steps. Source:
Sullivan and Wiegand, "Rate-distortion optimization for video compression" (1998); tuned."""

UNSURE, OFF = 0.3, 1.3
"""Coefficients below UNSURE steps stay 0; no change leaves an error of more than OFF steps."""

SWEEPS = 3

SUMS = {"contract", "reassoc", "nsz", "nnan"}
"""Compiler freedom in sums: their last bits do not matter, and there are no NaNs."""


def refine_in_the_mean(q: Int64, exact: Float64) -> None:
    """Change entries of `q` (nz, nx) by one where the bits saved outweigh the squared error added.
    `exact` are the unquantised coefficients in steps.
    """
    none = np.zeros((0, 0))
    _refine(q, exact, none, none, none, 1.0, none, none, *_prices(q.shape), SQUARE)


def refine_within(q: Int64, exact: Float64, image: Int64, allowed: Int64, step: int) -> None:
    """Change entries of `q` (nz, nx) by one where that saves bits, outliers included. `exact` are
    the unquantised coefficients in steps, `image` (nz, nx) is what `q` decodes to; `allowed` as in
    `encode_dct`.
    """
    preferred = allowed[..., 1]
    least, greatest = (
        np.ascontiguousarray(allowed[..., end] - preferred, dtype=np.float64) for end in (0, 2)
    )
    error = (image - preferred).astype(np.float64)
    down, across = (table(n) * np.float64(2.0**-TABLE_BITS) for n in q.shape)
    _refine(q, exact, error, least, greatest, float(step), down, across, *_prices(q.shape), 0.0)


def _prices(shape: tuple[int, int]) -> tuple[Int64, Int64, Float64]:
    """Coding order of the coefficients, weights of their features, and bits by logit."""
    return order_of(shape), first_models().weights, 16 - np.log2(FREQUENCIES)


@njit(cache=True)
def _price(value: int, weights: Int64, features: Int64, bits_of: Float64) -> float:
    """Approximate bits of a coefficient with these features."""
    size = abs(value)
    wanted = bit_length(size)
    total = 1.0 if size > 0 else 0.0
    for bits in range(wanted + 1):
        place = table_index(weights[min(bits, STAGES - 1)], features)
        total += bits_of[place if wanted == bits else -1 - place]
    if wanted == 2:
        place = table_index(weights[STAGES], features)
        total += bits_of[-1 - place if size & 1 else place]
    elif wanted > 2:
        total += wanted - 1
    return total


@njit(cache=True, error_model="numpy", fastmath=SUMS)
def _penalties(
    error: Float64, change: float, cosine: Float64, least: Float64, greatest: Float64,
    per_half: Float64,
) -> float:  # fmt: skip
    """Price in bits of a row of errors after adding `change` times a cosine: next to nothing within
    [least, greatest], that of an outlier outside. `per_half` is 1 over half the interval's width.
    """
    total = 0.0
    for x in range(error.size):
        changed = error[x] + change * cosine[x]
        over = max(changed - greatest[x], least[x] - changed) * per_half[x]
        within = max(1.0 + over, 0.0)
        beyond = min(max((over - NEAR) * (1.0 / (FAR - NEAR)), 0.0), 1.0)
        total += FLAT * within * within + OUTLIER * beyond
    return total


@njit(cache=True)
def _refine(
    q: Int64, exact: Float64, error: Float64, least: Float64, greatest: Float64, step: float,
    down: Float64, across: Float64, order: Int64, weights: Int64, bits_of: Float64, square: float,
) -> None:  # fmt: skip
    """`error` (nz, nx) is the decoded image less the preferred one, `least` and `greatest` (nz, nx)
    bound the errors that are no outliers, `down` and `across` are the cosines. If `square` is not
    0, these are empty, and it prices the errors of coefficients instead.
    """
    nz, nx = q.shape
    padded = np.zeros((nz + 2 * REACH, nx + 2 * REACH), dtype=np.int64)
    padded[REACH : REACH + nz, REACH : REACH + nx] = q
    per_half = 1.0 / np.maximum((greatest - least) / 2.0, 0.5)
    rows = np.zeros(len(error))
    for z in range(len(error)):
        rows[z] = _penalties(error[z], 0.0, across[0], least[z], greatest[z], per_half[z])
    features = np.zeros(FEATURES, dtype=np.int64)
    for _ in range(SWEEPS):
        known = np.zeros_like(padded)
        recent = 1 << 12
        last = 0
        for k in range(len(order)):
            if abs(exact[order[k, 0], order[k, 1]]) > UNSURE:
                last = k
        for k in range(last + 1):
            i, j = order[k]
            value = q[i, j]
            find_features(padded, known, i, j, nz, nx, recent, features)
            if abs(exact[i, j]) > UNSURE:
                best, best_gain = value, 0.05
                price = _price(value, weights, features, bits_of)
                for other in (value - 1, value + 1):
                    if abs(exact[i, j] - other) > OFF:
                        continue
                    gain = price - _price(other, weights, features, bits_of)
                    before, after = exact[i, j] - value, exact[i, j] - other
                    gain += square * (before * before - after * after)
                    scale = (other - value) * step
                    for z in range(len(error)):
                        gain += rows[z] - _penalties(
                            error[z], scale * down[i, z], across[j], least[z], greatest[z],
                            per_half[z],
                        )  # fmt: skip
                    if gain > best_gain:
                        best, best_gain = other, gain
                if best != value:
                    scale = (best - value) * step
                    for z in range(len(error)):
                        error[z] += scale * down[i, z] * across[j]
                        rows[z] = _penalties(
                            error[z], 0.0, across[j], least[z], greatest[z], per_half[z]
                        )
                    q[i, j] = best
                    value = best
                    padded[i + REACH, j + REACH] = best
            known[i + REACH, j + REACH] = 1
            if k > 0:
                recent += (min(abs(value), 1 << 20) * 256 - recent) >> 4
