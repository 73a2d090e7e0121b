"""The orthonormal cosine transform of a whole image, in integers.

A smooth model's energy lies in few cosines: smoothing by one kernel everywhere leaves nothing above
a frequency. Tables come from integer arithmetic and sums are rounded once an axis, so every machine
finds the same image. Source: Ahmed, Natarajan and Rao, "Discrete cosine transform" (1974).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit

Int64 = NDArray[np.int64]

TABLE_BITS = 20
"""Fraction of the tables' entries."""

_DEEP = 96
"""Fraction of what the tables are computed from."""


def _quarter_step(n: int) -> int:
    """cos(pi / (2 n)) times 2^_DEEP."""

    # pi by Machin's formula, the cosine by its series.
    def inverse_tangent(of: int) -> int:
        term, total, k = (1 << (_DEEP + 16)) // of, 0, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= of * of
            k += 2
        return total

    pi = 4 * (4 * inverse_tangent(5) - inverse_tangent(239)) >> 16
    angle = pi // (2 * n)
    square = angle * angle >> _DEEP
    term, total, k = 1 << _DEEP, 0, 0
    while term:
        total += term if k % 4 == 0 else -term
        k += 2
        term = (term * square >> _DEEP) // (k * (k - 1))
    return total


@cache
def table(n: int) -> Int64:
    """The cosines (n, n), row k holding the k-th at the n samples, times 2^TABLE_BITS."""
    # With a = pi / (2 n): cos((m + 1) a) = 2 cos(a) cos(m a) - cos((m - 1) a).
    step = _quarter_step(n)
    cosines = [1 << _DEEP, step]
    while len(cosines) < 4 * n:
        cosines.append((2 * step * cosines[-1] >> _DEEP) - cosines[-2])
    # sqrt(1 / n) and sqrt(2 / n), times 2^_DEEP.
    norms = [math.isqrt((k << (2 * _DEEP)) // n) for k in (1, 2)]
    drop = 2 * _DEEP - TABLE_BITS
    rounded = [[(c * norm + (1 << (drop - 1))) >> drop for c in cosines] for norm in norms]
    constant, others = np.array(rounded, dtype=np.int64)
    k = np.arange(n)[:, None]
    out = others[(2 * np.arange(n) + 1) * k % (4 * n)]
    out[0] = constant[0]
    return np.ascontiguousarray(out)


@njit(cache=True)
def _turn(image: Int64, cosines: Int64) -> Int64:
    """The transpose of `image` (a, b) with each column of a coefficients made its samples."""
    a, b = image.shape
    out = np.full((b, a), 1 << (TABLE_BITS - 1), dtype=np.int64)
    for x in range(b):
        for k in range(a):
            value = image[k, x]
            if value != 0:
                for i in range(a):
                    out[x, i] += value * cosines[k, i]
        for i in range(a):
            out[x, i] >>= TABLE_BITS
    return out


def analyse(image: Int64) -> Int64:
    """The coefficients (nz, nx) of an image, lowest frequencies first."""
    down, across = table(image.shape[0]), table(image.shape[1])
    return _turn(_turn(image, np.ascontiguousarray(down.T)), np.ascontiguousarray(across.T))


def synthesise(coefficients: Int64) -> Int64:
    """The image (nz, nx) of these coefficients."""
    down, across = table(coefficients.shape[0]), table(coefficients.shape[1])
    return _turn(_turn(coefficients, down), across)
