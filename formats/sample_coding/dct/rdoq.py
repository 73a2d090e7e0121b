"""The encoder's choice among quantised coefficients: fewest bits with the corrections they bring.

Floating point is at home here: what comes out are integers, which the stream holds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.sample_coding.dct.coefficients import (
    FEATURES,
    FREQUENCIES,
    REACH,
    STAGES,
    find_features,
    order_of,
    place_of,
)
from velcodec.formats.sample_coding.dct.start import first_models
from velcodec.formats.sample_coding.dct.transform import TABLE_BITS, table
from velcodec.formats.sample_coding.residuals import bit_length

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

OUTLIER = 6.5
"""About how many bits a correction costs."""

NEAR, FAR = -0.15, 0.05
"""Between errors so far beyond the bound, over it, the price of a correction rises from 0: those
just within it are of no use to the changes that follow."""

FLAT = 0.003
"""Price of an error as great as the bound that needs no correction."""

SQUARE = 7.0
"""Bits that the square of a coefficient's error, in steps, is worth where no bound is set. Source:
Sullivan and Wiegand, "Rate-distortion optimization for video compression" (1998), and trials."""

UNSURE, OFF = 0.3, 1.3
"""Coefficients below so many steps stay 0, and none is changed to be further off than this."""

SWEEPS = 3

SUMS = {"contract", "reassoc", "nsz", "nnan"}
"""Freedom of the compiler in sums: their last bits do not matter, and no number is missing."""


def refine_in_the_mean(q: Int64, exact: Float64) -> None:
    """Change `q` (nz, nx) by ones where that saves bits that are worth more than what it adds to
    the mean square error. `exact` are the coefficients in steps.
    """
    none = np.zeros((0, 0))
    _refine(q, exact, none, none, none, 1.0, none, none, *_prices(q.shape), SQUARE)


def refine_within(q: Int64, exact: Float64, image: Int64, allowed: Int64, step: int) -> None:
    """Change `q` (nz, nx) by ones where that saves bits. `exact` are the coefficients in steps,
    `image` (nz, nx) what `q` decodes to; `allowed` as in `encode_waves`.
    """
    preferred = allowed[..., 1]
    least, greatest = (
        np.ascontiguousarray(allowed[..., end] - preferred, dtype=np.float64) for end in (0, 2)
    )
    error = (image - preferred).astype(np.float64)
    down, across = (table(n) * np.float64(2.0**-TABLE_BITS) for n in q.shape)
    _refine(q, exact, error, least, greatest, float(step), down, across, *_prices(q.shape), 0.0)


def _prices(shape: tuple[int, int]) -> tuple[Int64, Int64, Float64]:
    """The order of coefficients, weights of their features and bits by logit."""
    return order_of(shape), first_models().weights, 16 - np.log2(FREQUENCIES)


@njit(cache=True)
def _price(value: int, weights: Int64, found: Int64, bits_of: Float64) -> float:
    """Bits of a coefficient in a neighbourhood."""
    size = abs(value)
    wanted = bit_length(size)
    total = 1.0 if size > 0 else 0.0
    for bits in range(wanted + 1):
        place = place_of(weights[min(bits, STAGES - 1)], found)
        total += bits_of[place if wanted == bits else -1 - place]
    if wanted == 2:
        place = place_of(weights[STAGES], found)
        total += bits_of[-1 - place if size & 1 else place]
    elif wanted > 2:
        total += wanted - 1
    return total


@njit(cache=True, error_model="numpy", fastmath=SUMS)
def _penalties(
    error: Float64, change: float, wave: Float64, least: Float64, greatest: Float64,
    per_half: Float64,
) -> float:  # fmt: skip
    """Price of a row of errors, each changed by `change` times the wave: nothing well within its
    ends, that of a correction beyond them. `per_half` is 1 over half of the room between.
    """
    total = 0.0
    for x in range(error.size):
        changed = error[x] + change * wave[x]
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
    """`error` (nz, nx) is what `q` decodes to less what is preferred, `least` and `greatest` (nz,
    nx) the ends between which it needs no correction, `down` and `across` the cosines. Where
    `square` is not 0, errors of coefficients have a price instead, and these are empty.
    """
    nz, nx = q.shape
    padded = np.zeros((nz + 2 * REACH, nx + 2 * REACH), dtype=np.int64)
    padded[REACH : REACH + nz, REACH : REACH + nx] = q
    per_half = 1.0 / np.maximum((greatest - least) / 2.0, 0.5)
    rows = np.zeros(len(error))
    for z in range(len(error)):
        rows[z] = _penalties(error[z], 0.0, across[0], least[z], greatest[z], per_half[z])
    found = np.zeros(FEATURES, dtype=np.int64)
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
            find_features(padded, known, i, j, nz, nx, recent, found)
            if abs(exact[i, j]) > UNSURE:
                best, best_gain = value, 0.05
                price = _price(value, weights, found, bits_of)
                for other in (value - 1, value + 1):
                    if abs(exact[i, j] - other) > OFF:
                        continue
                    gain = price - _price(other, weights, found, bits_of)
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
