"""Loops over single coefficients, compiled. `classes` (C, S, D) has the table row of each record
class, step and coefficient; `bits` (R, 2 limit + 2) the code length of each symbol of each row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from velcodec.formats.compiled import njit

_F = np.float32


@njit(inline="always")
def _bits(bits: Any, row: Any, value: Any) -> Any:
    """Code length of a coefficient; beyond the row's last symbol that of the escape and what
    follows it.
    """
    limit = (bits.shape[1] - 2) // 2
    size = abs(value)
    if size <= limit:
        return bits[row, value + limit]
    more, octaves = size - limit, 0
    while more > 1:
        more >>= 1
        octaves += 1
    return bits[row, 2 * limit + 1] + _F(2 + 2 * octaves)


@njit(cache=True)
def _cheapest_class(coefficients: Any, rows: Any, bits: Any) -> Any:
    """The class of `rows` (C, D) that codes coefficients (D,) in the fewest bits, and these."""
    chosen, least = 0, _F(np.inf)
    for c in range(len(rows)):
        total = _F(0)
        for i in range(len(coefficients)):
            total += _bits(bits, rows[c, i], coefficients[i])
        if total < least:
            chosen, least = c, total
    return chosen, least


@njit(cache=True)
def lengths(coefficients: Any, step_index: Any, classes: Any, bits: Any, found: Any) -> None:
    """Fill `found` (B,) with the bits of coefficients (B, D)."""
    for b in range(len(coefficients)):
        found[b] = _cheapest_class(coefficients[b], classes[:, step_index[b]], bits)[1]


@njit(cache=True)
def round_by_cost(
    latent: Any, step_index: Any, step: Any, price: Any, classes: Any, bits: Any, rounded: Any
) -> None:
    """Move `rounded` (B, D) towards zero where that lowers squared error plus price x bits, by the
    rows of the class that is the best for them as they come in.
    """
    for b in range(len(latent)):
        rows = classes[:, step_index[b]]
        own = rows[_cheapest_class(rounded[b], rows, bits)[0]]
        for i in range(latent.shape[1]):
            nearest = np.int64(rounded[b, i])
            least = _F(np.inf)
            for k in range(3):
                value = nearest if k == 0 else nearest - np.sign(nearest) if k == 1 else 0
                off = _F(value) * step[b] - latent[b, i]
                loss = off * off + price[b] * _bits(bits, own[i], value)
                if loss < least:
                    least, rounded[b, i] = loss, value


@njit(cache=True)
def propose(
    coefficients: Any, slope: Any, hessian: Any, curvature: Any, step_index: Any, step: Any,
    price: Any, classes: Any, bits: Any, marks: Any, trials: Any, counts: Any, change: Any,
) -> None:  # fmt: skip
    """Lists of changes of coefficients (B, D), the most promising first, each to a neighbouring
    integer or to zero, by a quadratic model of the error: half its `slope` (B, D), `hessian`
    (B, L, L) of the first coefficients and `curvature` (D,) of the others.

    Fills `trials` (B, len(marks), D) with the coefficients after as many changes as `marks` say,
    `counts` (B,) with the number of trials that differ, and `change` (B,) with what the model
    expects the error to change by in the end.
    """
    leading = hessian.shape[1]
    size = coefficients.shape[1]
    own, down, up = np.empty(size, _F), np.empty(size, _F), np.empty(size, _F)
    none = np.empty(size, _F)
    for b in range(len(coefficients)):
        rows = classes[:, step_index[b]]
        row = rows[_cheapest_class(coefficients[b], rows, bits)[0]]
        current, pull = coefficients[b].copy(), slope[b].copy()
        for i in range(size):
            own[i] = _bits(bits, row[i], current[i])
            down[i] = _bits(bits, row[i], current[i] - 1) - own[i]
            up[i] = _bits(bits, row[i], current[i] + 1) - own[i]
            none[i] = _bits(bits, row[i], 0) - own[i]
        width, cost, found, expected = step[b], price[b], 0, 0.0
        for number in range(1, marks[-1] + 1):
            best, which, to = _F(0), -1, 0
            for i in range(size):
                bend = hessian[b, i, i] if i < leading else curvature[i]
                square, tilt = width * width * bend, _F(2) * width * pull[i]
                gain = square - tilt + cost * down[i]
                if gain < best:
                    best, which, to = gain, i, current[i] - 1
                gain = square + tilt + cost * up[i]
                if gain < best:
                    best, which, to = gain, i, current[i] + 1
                value = current[i]
                if value > 1 or value < -1:
                    far = _F(-value)
                    gain = far * far * square + far * tilt + cost * none[i]
                    if gain < best:
                        best, which, to = gain, i, 0
            if which < 0:
                if number - 1 > (marks[found - 1] if found else 0):
                    trials[b, found] = current
                    found += 1
                break
            bend = hessian[b, which, which] if which < leading else curvature[which]
            move = _F(to - current[which]) * width
            expected += move * (_F(2) * pull[which] + move * bend)
            if which < leading:
                for j in range(leading):
                    pull[j] += hessian[b, which, j] * move
            else:
                pull[which] += curvature[which] * move
            current[which] = to
            own[which] = _bits(bits, row[which], to)
            down[which] = _bits(bits, row[which], to - 1) - own[which]
            up[which] = _bits(bits, row[which], to + 1) - own[which]
            none[which] = _bits(bits, row[which], 0) - own[which]
            if number == marks[found]:
                trials[b, found] = current
                found += 1
        counts[b], change[b] = found, expected
