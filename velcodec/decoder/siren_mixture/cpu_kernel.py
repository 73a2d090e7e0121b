"""`siren-mixture` in float32, compiled: all layers of a block of points stay in the cache.

Sines take turns, exponentials are powers of two and hyperbolic tangents use these, so that each is
a short polynomial that the compiler vectorises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from velcodec.decoder.siren_mixture.cpu_padding import BLOCK
from velcodec.decoder.siren_mixture.cpu_product import FLOATS, add_weighted, largest, product
from velcodec.formats.compiled import njit

_F = np.float32
_ROUNDING = _F(1.5 * 2.0**23)
"""Adding and subtracting it rounds a float32 to a whole number."""

# Least squares on Chebyshev nodes of sin(2 pi r) / (r (1/4 - r^2)) by r^2, |r| <= 1/2: off by 3e-7.
_S0, _S1, _S2, _S3, _S4 = map(_F, (25.1327351, -64.8346168, 67.0380336, -38.0636285, 12.0736623))
# Least squares on Chebyshev nodes of 2^f, |f| <= 1/2: off by 2e-9.
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = map(
    _F, (1, 0.693147207, 0.240226512, 0.0555032721, 0.0096180256, 0.00134004322, 0.00015469732)
)
_LEAST, _MOST = _F(-126), _F(126)
_STEEPEST = _F(40)


@njit(inline="always", fastmath=FLOATS)
def sine(turns: Any) -> Any:
    """Sine of an angle in turns."""
    r = turns - ((turns + _ROUNDING) - _ROUNDING)
    s = r * r
    return (r * (_F(0.25) - s)) * (_S0 + s * (_S1 + s * (_S2 + s * (_S3 + s * _S4))))


@njit(inline="always", fastmath=FLOATS)
def power_of_two(x: Any) -> Any:
    """2^x, from 2^-126 to 2^126; the least for NaN."""
    x = x if x > _LEAST else _LEAST
    x = x if x < _MOST else _MOST
    whole = (x + _ROUNDING) - _ROUNDING
    f = x - whole
    part = _P0 + f * (_P1 + f * (_P2 + f * (_P3 + f * (_P4 + f * (_P5 + f * _P6)))))
    return part * np.int32((np.int32(whole) + 127) << 23).view(np.float32)


@njit(inline="always", fastmath=FLOATS)
def tanh(x: Any) -> Any:
    """Hyperbolic tangent of x / (2 log2 e)."""
    x = x if x < _STEEPEST else _STEEPEST
    e = power_of_two(x)
    return (e - _F(1)) / (e + _F(1))


@njit(inline="always")
def _row() -> Any:
    return np.empty(BLOCK, _F)


@njit(cache=True, fastmath=FLOATS)
def evaluate(
    points: Any, warp_first: Any, warp_bias: Any,
    plane: Any, throw: Any, warp: Any, first: Any, first_bias: Any, hidden: Any, hidden_bias: Any,
    logit: Any, logit_bias: Any, level: Any, ramp: Any, jump: Any, depth: Any, rate: Any,
    low: Any, high: Any, first_model: int, first_point: int, last_point: int, values: Any,
) -> None:  # fmt: skip
    """Velocities `values` (B, P) float64 in m/s, within `low` and `high` (B,), at `points` (x, z),
    (B, 2, P) or (1, 2, P) for all models. NaN becomes the middle of the range.

    Weights are those of `cpu`, for the models from `first_model` on, which are rendered from
    `first_point` up to `last_point`.
    """
    width, components = hidden.shape[2], logit.shape[1]
    layer, before = np.empty((width, BLOCK), _F), np.empty((width, BLOCK), _F)
    logits = np.empty((components, BLOCK), _F)
    x, z, to_x, to_z = _row(), _row(), _row(), _row()
    greatest, total, value = _row(), _row(), _row()
    for b in range(len(level)):
        model = first_model + b
        own = model if len(points) > 1 else 0
        for start in range(first_point, last_point, BLOCK):
            columns = min(BLOCK, last_point - start)
            for p in range(BLOCK):
                to_x[p] = to_z[p] = x[p] = z[p] = _F(0)
            for p in range(columns):
                x[p], z[p] = points[own, 0, start + p], points[own, 1, start + p]
            for i in range(plane.shape[1]):
                across, down, offset = plane[b, i, 0], plane[b, i, 1], plane[b, i, 2]
                throw_x, throw_z = throw[b, i, 0], throw[b, i, 1]
                for p in range(BLOCK):
                    side = tanh(across * x[p] + (down * z[p] + offset))
                    to_x[p] += throw_x * side
                    to_z[p] += throw_z * side
            for p in range(BLOCK):
                x[p] += to_x[p]
                z[p] += to_z[p]
                to_x[p] = to_z[p] = _F(0)
            for i in range(len(warp_bias)):
                across, down, offset = warp_first[i, 0], warp_first[i, 1], warp_bias[i]
                warp_x, warp_z = warp[b, 0, i], warp[b, 1, i]
                for p in range(BLOCK):
                    wave = sine(across * x[p] + (down * z[p] + offset))
                    to_x[p] += warp_x * wave
                    to_z[p] += warp_z * wave
            for p in range(BLOCK):
                x[p] += to_x[p]
                z[p] += to_z[p]
            for i in range(width):
                across, down, offset = first[b, i, 0], first[b, i, 1], first_bias[b, i]
                for p in range(BLOCK):
                    layer[i, p] = sine(across * x[p] + (down * z[p] + offset))
            for n in range(hidden.shape[1]):
                product(hidden[b, n], hidden_bias[b, n], layer, before)
                for i in range(width):
                    for p in range(BLOCK):
                        layer[i, p] = sine(before[i, p])
            product(logit[b], logit_bias[b], layer, logits)
            largest(logits, greatest)
            for p in range(BLOCK):
                total[p] = value[p] = _F(0)
            for i in range(components):
                height = level[b, i]
                for p in range(BLOCK):
                    share = power_of_two(logits[i, p] - greatest[p])
                    total[p] += share
                    value[p] += height * share
            for p in range(BLOCK):
                value[p] /= total[p]
            add_weighted(ramp[b], layer, value)
            for i in range(jump.shape[1]):
                height, top, steepness = jump[b, i], depth[b, i], rate[b, i]
                for p in range(BLOCK):
                    value[p] += height * tanh((z[p] - top) * steepness)
            least, most = low[model], high[model]
            for p in range(columns):
                found = value[p]
                found = found if found > _F(-1) else (_F(-1) if found <= _F(-1) else _F(0))
                found = found if found < _F(1) else _F(1)
                speed = least + (np.float64(found) + 1.0) / 2.0 * (most - least)
                values[model, start + p] = min(max(speed, least), most)
