"""The local sampler's compiled loops: features of samples, and values at points.

Channels come first and samples of a row are contiguous, so that the compiler vectorises the
innermost loops. A value's sums do not depend on what is computed beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from velcodec.decoder.siren_mixture.cpu_kernel import power_of_two
from velcodec.decoder.siren_mixture.cpu_product import FLOATS
from velcodec.formats.compiled import njit
from velcodec.sampler.form import GATE_ZERO, HIDDEN, LEAST_LOGIT, LOGIT_SCALE, ORIENTATIONS

_F = np.float32
SUMS = FLOATS | {"reassoc"}
"""Allow reordering of sums with a fixed number of terms: the order is the same every time."""

_UNITS = ORIENTATIONS * HIDDEN
_PER_E = 1.0 / np.log(2.0)
SCALE, LEAST, ZERO = _F(LOGIT_SCALE * _PER_E), _F(LEAST_LOGIT * _PER_E), _F(GATE_ZERO)
STEEP = _F(-2.0 * _PER_E)
"""Exponentials are powers of two."""


@njit(cache=True, fastmath=FLOATS)
def add_convolved(
    weight: Any, bias: Any, inputs: Any, margin: int, dilation: int, outputs: Any,
    first: int, last: int,
) -> None:  # fmt: skip
    """`outputs` = `inputs` + rectified 3 x 3 convolution of them, (C, nz, nx) in the middle of
    arrays (C, nz + 2 margin, nx + 2 margin); in the rows from `first` up to `last`.

    `weight` is (C, 3, 3, C): out, z, x, in; C is a multiple of 4.
    """
    channels, nx = len(bias), inputs.shape[2] - 2 * margin
    total = np.empty((4, nx), _F)
    t0, t1, t2, t3 = total[0], total[1], total[2], total[3]
    for z in range(first, last):
        for o in range(0, channels, 4):
            for p in range(nx):
                t0[p], t1[p], t2[p], t3[p] = bias[o], bias[o + 1], bias[o + 2], bias[o + 3]
            for j in range(3):
                row = z + margin + (j - 1) * dilation
                for i in range(3):
                    x = margin + (i - 1) * dilation
                    for k in range(0, channels, 4):
                        w = weight[o : o + 4, j, i, k : k + 4]
                        a0, a1, a2, a3 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
                        b0, b1, b2, b3 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
                        c0, c1, c2, c3 = w[2, 0], w[2, 1], w[2, 2], w[2, 3]
                        d0, d1, d2, d3 = w[3, 0], w[3, 1], w[3, 2], w[3, 3]
                        r0, r1 = inputs[k, row, x : x + nx], inputs[k + 1, row, x : x + nx]
                        r2, r3 = inputs[k + 2, row, x : x + nx], inputs[k + 3, row, x : x + nx]
                        for p in range(nx):
                            x0, x1, x2, x3 = r0[p], r1[p], r2[p], r3[p]
                            t0[p] = a3 * x3 + (a2 * x2 + (a1 * x1 + (a0 * x0 + t0[p])))
                            t1[p] = b3 * x3 + (b2 * x2 + (b1 * x1 + (b0 * x0 + t1[p])))
                            t2[p] = c3 * x3 + (c2 * x2 + (c1 * x1 + (c0 * x0 + t2[p])))
                            t3[p] = d3 * x3 + (d2 * x2 + (d1 * x1 + (d0 * x0 + t3[p])))
            for n in range(4):
                before = inputs[o + n, z + margin, margin : margin + nx]
                after = outputs[o + n, z + margin, margin : margin + nx]
                for p in range(nx):
                    after[p] = before[p] + max(total[n, p], _F(0))


@njit(cache=True, fastmath=FLOATS)
def map_channels(
    weight: Any, bias: Any, inputs: Any, rectified: bool, outputs: Any, first: int, last: int
) -> None:
    """`outputs` (N, nz, nx) = `weight` (N, C) @ `inputs` (C, nz, nx) + `bias` in some rows."""
    for z in range(first, last):
        for o in range(len(bias)):
            row = outputs[o, z]
            for p in range(len(row)):
                row[p] = bias[o]
            for k in range(weight.shape[1]):
                factor, own = weight[o, k], inputs[k, z]
                for p in range(len(row)):
                    row[p] += factor * own[p]
            if rectified:
                for p in range(len(row)):
                    row[p] = max(row[p], _F(0))


@njit(cache=True)
def spline_along(values: Any) -> None:
    """Samples (n, m) to coefficients of the natural cubic B-spline along the first axis, in place:
    (c[i-1] + 4 c[i] + c[i+1]) / 6 is the sample; the outermost coefficients equal the samples.
    """
    n, m = values.shape
    if n < 3:
        return
    upper = np.zeros(n)
    for i in range(1, n - 1):
        pivot = 4.0 - upper[i - 1]
        upper[i] = 1.0 / pivot
        for p in range(m):
            values[i, p] = (6.0 * values[i, p] - values[i - 1, p]) / pivot
    for i in range(n - 2, 0, -1):
        for p in range(m):
            values[i, p] -= upper[i] * values[i + 1, p]


@njit(inline="always")
def cubic_weights(t: float) -> Any:
    """Weights of the four coefficients of a cubic B-spline around a fraction t."""
    s = 1.0 - t
    return (
        s * s * s / 6.0,
        (4.0 + t * t * (3.0 * t - 6.0)) / 6.0,
        (4.0 + s * s * (3.0 * s - 6.0)) / 6.0,
        t * t * t / 6.0,
    )


@njit(cache=True, fastmath=SUMS)
def _logit(features: Any, z: int, x: int, direction: Any, last: Any, dx: Any, dz: Any) -> Any:
    # Indices, not slices: each slice would increment its array's reference count.
    total = _F(0)
    for h in range(_UNITS):
        moved = features[z, x, h] + (direction[0, h] * dx + direction[1, h] * dz)
        total += last[h] * max(moved, _F(0))
    return total * SCALE


@njit(cache=True)
def _value(
    x: float, z: float, samples: Any, features: Any, top: int, left: int, spline: Any,
    direction: Any, last: Any,
) -> float:  # fmt: skip
    """The value at (x, z) in cells; `features` (n, m, H + 1) start at sample (top, left)."""
    nz, nx = samples.shape
    ix, iz = int(np.floor(x - 0.5)), int(np.floor(z - 0.5))
    fx, fz = x - 0.5 - ix, z - 0.5 - iz
    x0, x1 = max(ix, 0), min(ix + 1, nx - 1)
    z0, z1 = max(iz, 0), min(iz + 1, nz - 1)
    if fx == 0.0 and fz == 0.0:
        return samples[z0, x0]  # skip the rounding errors of what follows
    w00, w01 = (1.0 - fz) * (1.0 - fx), (1.0 - fz) * fx
    w10, w11 = fz * (1.0 - fx), fz * fx
    s00, s01, s10, s11 = samples[z0, x0], samples[z0, x1], samples[z1, x0], samples[z1, x1]
    a, b, c, d = z0 - top, z1 - top, x0 - left, x1 - left
    gate = w00 * features[a, c, _UNITS] + w01 * features[a, d, _UNITS]
    gate += w10 * features[b, c, _UNITS] + w11 * features[b, d, _UNITS]
    share = (_F(1) + ZERO) / (_F(1) + power_of_two(STEEP * _F(gate))) - ZERO
    if s00 == s01 and s00 == s10 and s00 == s11:
        mixed = s00
    else:
        dx, dz = _F(fx), _F(fz)
        l00 = _logit(features, a, c, direction, last, dx, dz)
        l01 = _logit(features, a, d, direction, last, dx - _F(1), dz)
        l10 = _logit(features, b, c, direction, last, dx, dz - _F(1))
        l11 = _logit(features, b, d, direction, last, dx - _F(1), dz - _F(1))
        most = max(max(l00, l01), max(l10, l11))
        e00 = w00 * power_of_two(max(l00 - most, LEAST))
        e01 = w01 * power_of_two(max(l01 - most, LEAST))
        e10 = w10 * power_of_two(max(l10 - most, LEAST))
        e11 = w11 * power_of_two(max(l11 - most, LEAST))
        mixed = (e00 * s00 + e01 * s01 + e10 * s10 + e11 * s11) / (e00 + e01 + e10 + e11)
    if share > _F(0):
        (a0, a1, a2, a3), (b0, b1, b2, b3) = cubic_weights(fx), cubic_weights(fz)
        k, j = ix + 1, iz + 1
        cubic = b0 * _row(spline, j, k, a0, a1, a2, a3)
        cubic += b1 * _row(spline, j + 1, k, a0, a1, a2, a3)
        cubic += b2 * _row(spline, j + 2, k, a0, a1, a2, a3)
        cubic += b3 * _row(spline, j + 3, k, a0, a1, a2, a3)
        mixed += share * (cubic - (w00 * s00 + w01 * s01 + w10 * s10 + w11 * s11))
    return mixed


@njit(inline="always")
def _row(spline: Any, j: int, k: int, a0: float, a1: float, a2: float, a3: float) -> float:
    first, second = spline[j, k], spline[j, k + 1]
    return a0 * first + a1 * second + a2 * spline[j, k + 2] + a3 * spline[j, k + 3]


@njit(cache=True)
def values_on_grid(
    x: Any, z: Any, samples: Any, features: Any, top: int, left: int, spline: Any,
    direction: Any, last: Any, least: float, most: float, out: Any,
) -> None:  # fmt: skip
    """Fill `out` (len(z), len(x)), within `least` and `most`, at positions in cells. `samples` (nz,
    nx) and `spline` (nz + 4, nx + 4) are those of the whole model.
    """
    for j in range(len(z)):
        for i in range(len(x)):
            value = _value(x[i], z[j], samples, features, top, left, spline, direction, last)
            out[j, i] = min(max(value, least), most)


@njit(cache=True)
def values_at_points(
    cells: Any, samples: Any, features: Any, top: int, left: int, spline: Any,
    direction: Any, last: Any, least: float, most: float, out: Any,
) -> None:  # fmt: skip
    """Fill `out` (P,) at points (x, z), `cells` (P, 2), as `values_on_grid`."""
    for p in range(len(out)):
        x, z = cells[p, 0], cells[p, 1]
        value = _value(x, z, samples, features, top, left, spline, direction, last)
        out[p] = min(max(value, least), most)
