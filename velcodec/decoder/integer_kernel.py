"""`siren-mixture` in exact arithmetic over blocks of points, compiled.

Arguments of sines count turns, so that only what is left of a whole number of turns matters: their
sums may wrap around in int32, in which a turn is 2^31 or 2^32. What must not wrap is summed in
float64, which holds every partial sum exactly. Tables stand for the functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .padding import BLOCK
from .product import FLOATS, add_weighted, largest, product

_I, _D = np.int32, np.float64
_ROUNDING = 1.5 * 2.0**52
"""Added and taken away again, it leaves a float64 below 2^51 rounded to a whole number, half to
even.
"""
_REACH = 4 * (1 << 16)
"""Points are held within four times the domain."""

_SINE = (1 << 14) - 1
_TANH_MIDDLE = float(1 << 13)
_LEAST_EXPONENT = -40.0 * (1 << 16)
_ONE = 2.0**15


@njit(inline="always", fastmath=FLOATS)
def _rounded(value: Any) -> Any:
    return (value + _ROUNDING) - _ROUNDING


@njit(inline="always", fastmath=FLOATS)
def _held(point: Any) -> Any:
    return min(max(point, -float(_REACH)), float(_REACH))


@njit(inline="always", fastmath=FLOATS)
def _tanh_place(argument: Any) -> Any:
    """Where the table has the hyperbolic tangent of an argument counted in its steps."""
    place = np.floor(argument) + _TANH_MIDDLE
    return _I(min(max(place, 0.0), 2 * _TANH_MIDDLE - 1))


@njit(nogil=True, cache=True, fastmath=FLOATS)
def evaluate(
    sine: Any, tanh: Any, power: Any,
    points: Any, warp_first: Any, warp_bias: Any,
    plane: Any, throw: Any, warp: Any, first: Any, first_bias: Any, hidden: Any, hidden_bias: Any,
    logit: Any, logit_bias: Any, level: Any, ramp: Any, jump: Any, depth: Any, rate: Any,
    first_point: int, last_point: int, values: Any,
) -> None:  # fmt: skip
    """Values (B, P), whole numbers held within 2^15, at `points` (x, z), (B, 2, P), whole numbers
    in 2^-16 of the domain; from `first_point` up to `last_point`.

    Tables and weights are those of `velcodec.decoder.integer`.
    """
    width, components = hidden.shape[2], logit.shape[1]
    layer, before = np.empty((width, BLOCK), _I), np.empty((width, BLOCK), _I)
    logits = np.empty((components, BLOCK), _D)
    x, z = np.empty(BLOCK, _D), np.empty(BLOCK, _D)
    to_x, to_z = np.empty(BLOCK, _D), np.empty(BLOCK, _D)
    column, row = np.empty(BLOCK, _I), np.empty(BLOCK, _I)
    greatest, total, value = np.empty(BLOCK, _D), np.empty(BLOCK, _D), np.empty(BLOCK, _D)
    for b in range(len(level)):
        for start in range(first_point, last_point, BLOCK):
            filled = min(BLOCK, last_point - start)
            for p in range(BLOCK):
                to_x[p] = to_z[p] = x[p] = z[p] = 0.0
            for p in range(filled):
                x[p], z[p] = points[b, 0, start + p], points[b, 1, start + p]
            for i in range(plane.shape[1]):
                across, down, offset = plane[b, i, 0], plane[b, i, 1], plane[b, i, 2] * 2.0**16
                throw_x, throw_z = throw[b, i, 0], throw[b, i, 1]
                for p in range(BLOCK):
                    place = (across * x[p] + (down * z[p] + offset)) * 2.0**-22
                    side = _D(tanh[_tanh_place(place)])
                    to_x[p] += throw_x * side
                    to_z[p] += throw_z * side
            for p in range(BLOCK):
                x[p] = _held(x[p] + _rounded(to_x[p] * 2.0**-15))
                z[p] = _held(z[p] + _rounded(to_z[p] * 2.0**-15))
                column[p], row[p] = _I(x[p]), _I(z[p])
                to_x[p] = to_z[p] = 0.0
            for i in range(len(warp_bias)):
                across, down, offset = warp_first[i, 0], warp_first[i, 1], warp_bias[i]
                warp_x, warp_z = warp[b, 0, i], warp[b, 1, i]
                for p in range(BLOCK):
                    turns = _I(across * column[p] + (down * row[p] + offset))
                    wave = _D(sine[(turns >> 18) & _SINE])
                    to_x[p] += warp_x * wave
                    to_z[p] += warp_z * wave
            for p in range(BLOCK):
                x[p] = _held(x[p] + _rounded(to_x[p] * 2.0**-15))
                z[p] = _held(z[p] + _rounded(to_z[p] * 2.0**-15))
                column[p], row[p] = _I(x[p]), _I(z[p])
            for i in range(width):
                across, down, offset = first[b, i, 0], first[b, i, 1], first_bias[b, i]
                for p in range(BLOCK):
                    turns = _I(across * column[p] + (down * row[p] + offset))
                    layer[i, p] = sine[(turns >> 18) & _SINE]
            for n in range(hidden.shape[1]):
                product(hidden[b, n], hidden_bias[b, n], layer, before)
                for i in range(width):
                    for p in range(BLOCK):
                        layer[i, p] = sine[(before[i, p] >> 17) & _SINE]
            product(logit[b], logit_bias[b], layer, logits)
            for i in range(components):
                for p in range(BLOCK):
                    logits[i, p] = np.floor(logits[i, p] * 2.0**-15)
            largest(logits, greatest)
            for p in range(BLOCK):
                total[p] = value[p] = 0.0
            for i in range(components):
                for p in range(BLOCK):
                    exponent = _I(max(logits[i, p] - greatest[p], _LEAST_EXPONENT))
                    fall = min(-(exponent >> 16), 31)
                    share = power[(exponent & 0xFFFF) >> 4] >> fall
                    logits[i, p] = _D(share)
                    total[p] += _D(share)
            for i in range(components):
                height = level[b, i]
                for p in range(BLOCK):
                    value[p] += height * np.floor(logits[i, p] * _ONE / total[p])
            add_weighted(ramp[b], layer, value)
            for i in range(jump.shape[1]):
                height, top, steepness = jump[b, i], depth[b, i], rate[b, i]
                for p in range(BLOCK):
                    place = ((z[p] - top) * steepness) * 2.0**-26
                    value[p] += height * tanh[_tanh_place(place)]
            for p in range(filled):
                values[b, start + p] = min(max(_rounded(value[p] * 2.0**-16), -_ONE), _ONE)
