"""Compiled loops of the volumes' sampler: features of samples, and values at points.

As in `velcodec.sampler.kernel`: channels come first and samples of a row are contiguous, and a
value's sums do not depend on what is computed beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from velcodec.decoder.siren_mixture.cpu_kernel import power_of_two
from velcodec.decoder.siren_mixture.cpu_product import FLOATS
from velcodec.formats.compiled import njit
from velcodec.sampler.kernel import LEAST, SCALE, STEEP, SUMS, ZERO, cubic_weights
from velcodec.sampler.volume.form import HIDDEN, ORIENTATIONS, WINDOW

_F = np.float32
UNITS = ORIENTATIONS * HIDDEN


@njit(cache=True, fastmath=FLOATS)
def lift_rows(
    wide: Any, near: Any, ratios: Any, weight: Any, bias: Any, margin: int, outputs: Any,
    first: int, last: int, y0: int, y1: int,
) -> None:  # fmt: skip
    """The first layer, rectified, in rows y0 to y1 of the planes from `first` up to `last`.

    `wide` (nz + 4, ny + 4, nx + 4) are the samples, `near` (nz, ny, nx) what differences are
    divided by, `ratios` (2, nz, ny, nx) the last two inputs; `outputs` (C, nz, ny, nx + 2 margin).
    """
    nx = near.shape[2]
    row = np.empty((weight.shape[1], nx), _F)
    half, cube = WINDOW // 2, WINDOW * WINDOW * WINDOW
    for z in range(first, last):
        for y in range(y0, y1):
            middle, scale = wide[z + half, y + half], near[z, y]
            n = 0
            for k in range(WINDOW):
                for j in range(WINDOW):
                    around = wide[z + k, y + j]
                    for i in range(WINDOW):
                        for p in range(nx):
                            difference = around[p + i] - middle[p + half]
                            row[n, p] = _F(2.0 * difference / scale[p])
                        n += 1
            for p in range(nx):
                row[cube, p] = ratios[0, z, y, p]
                row[cube + 1, p] = ratios[1, z, y, p]
            for o in range(len(bias)):
                total = outputs[o, z, y, margin : margin + nx]
                for p in range(nx):
                    total[p] = bias[o]
                for n in range(weight.shape[1]):
                    factor, own = weight[o, n], row[n]
                    for p in range(nx):
                        total[p] += factor * own[p]
                for p in range(nx):
                    total[p] = max(total[p], _F(0))


@njit(cache=True, fastmath=FLOATS)
def add_crossed(
    weight: Any, bias: Any, inputs: Any, margin: int, dilation: int, outputs: Any,
    first: int, last: int, y0: int, y1: int,
) -> None:  # fmt: skip
    """`outputs` = `inputs` + rectified stencil of them, (C, nz, ny, nx + 2 margin), in rows y0 to
    y1 of the planes from `first` up to `last`.

    `weight` is (C, 7, C): out, tap, in; C is a multiple of 4. Rows beyond the edges are the
    outermost ones.
    """
    channels, nz, ny = inputs.shape[0], inputs.shape[1], inputs.shape[2]
    nx = inputs.shape[3] - 2 * margin
    total = np.empty((4, nx), _F)
    t0, t1, t2, t3 = total[0], total[1], total[2], total[3]
    for z in range(first, last):
        for y in range(y0, y1):
            for o in range(0, channels, 4):
                for p in range(nx):
                    t0[p], t1[p], t2[p], t3[p] = bias[o], bias[o + 1], bias[o + 2], bias[o + 3]
                for tap in range(7):
                    rz, ry, x = z, y, margin
                    if tap == 1:
                        x = margin - dilation
                    elif tap == 2:
                        x = margin + dilation
                    elif tap == 3:
                        ry = max(y - dilation, 0)
                    elif tap == 4:
                        ry = min(y + dilation, ny - 1)
                    elif tap == 5:
                        rz = max(z - dilation, 0)
                    elif tap == 6:
                        rz = min(z + dilation, nz - 1)
                    for k in range(0, channels, 4):
                        w = weight[o : o + 4, tap, k : k + 4]
                        a0, a1, a2, a3 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
                        b0, b1, b2, b3 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
                        c0, c1, c2, c3 = w[2, 0], w[2, 1], w[2, 2], w[2, 3]
                        d0, d1, d2, d3 = w[3, 0], w[3, 1], w[3, 2], w[3, 3]
                        r0 = inputs[k, rz, ry, x : x + nx]
                        r1 = inputs[k + 1, rz, ry, x : x + nx]
                        r2 = inputs[k + 2, rz, ry, x : x + nx]
                        r3 = inputs[k + 3, rz, ry, x : x + nx]
                        for p in range(nx):
                            x0, x1, x2, x3 = r0[p], r1[p], r2[p], r3[p]
                            t0[p] = a3 * x3 + (a2 * x2 + (a1 * x1 + (a0 * x0 + t0[p])))
                            t1[p] = b3 * x3 + (b2 * x2 + (b1 * x1 + (b0 * x0 + t1[p])))
                            t2[p] = c3 * x3 + (c2 * x2 + (c1 * x1 + (c0 * x0 + t2[p])))
                            t3[p] = d3 * x3 + (d2 * x2 + (d1 * x1 + (d0 * x0 + t3[p])))
                for n in range(4):
                    before = inputs[o + n, z, y, margin : margin + nx]
                    after = outputs[o + n, z, y, margin : margin + nx]
                    for p in range(nx):
                        after[p] = before[p] + max(total[n, p], _F(0))


@njit(cache=True, fastmath=FLOATS)
def last_rows(
    weight: Any, bias: Any, inputs: Any, margin: int, outputs: Any, first: int, last: int,
    z0: int, y0: int, x0: int,
) -> None:  # fmt: skip
    """`outputs` (n, m, l, 33) = `weight` (33, C) @ `inputs` (C, nz, ny, nx + 2 margin) + `bias`,
    from sample (z0, y0, x0) on, in planes from `first` up to `last` of the outputs.
    """
    ny, nx = outputs.shape[1], outputs.shape[2]
    row = np.empty(nx, _F)
    for z in range(first, last):
        for y in range(ny):
            for o in range(len(bias)):
                for p in range(nx):
                    row[p] = bias[o]
                for k in range(weight.shape[1]):
                    factor = weight[o, k]
                    own = inputs[k, z + z0, y + y0, margin + x0 : margin + x0 + nx]
                    for p in range(nx):
                        row[p] += factor * own[p]
                for p in range(nx):
                    outputs[z, y, p, o] = row[p]


@njit(inline="always")
def _row(spline: Any, k: int, j: int, i: int, a0: float, a1: float, a2: float, a3: float) -> float:
    first, second = spline[k, j, i], spline[k, j, i + 1]
    return a0 * first + a1 * second + a2 * spline[k, j, i + 2] + a3 * spline[k, j, i + 3]


@njit(cache=True, fastmath=SUMS)
def _logit(features: Any, z: int, y: int, x: int, moved: Any, shift: Any, c: int, last: Any) -> Any:
    # Indices, not slices: each slice would increment its array's reference count.
    total = _F(0)
    for h in range(UNITS):
        total += last[h] * max(features[z, y, x, h] + (moved[h] - shift[c, h]), _F(0))
    return total * SCALE


@njit(cache=True)
def _value(
    x: float, y: float, z: float, samples: Any, features: Any, start: Any, spline: Any,
    direction: Any, shift: Any, last: Any, moved: Any, logit: Any, weight: Any, corner: Any,
) -> float:  # fmt: skip
    """The value at (x, y, z) in cells; `features` (n, m, l, 33) start at sample `start` (z, y, x).

    `shift` (8, H) is what `direction` (3, H) makes of each corner's offset; the last four are room
    for H and three times 8 numbers.
    """
    nz, ny, nx = samples.shape
    ix, iy, iz = int(np.floor(x - 0.5)), int(np.floor(y - 0.5)), int(np.floor(z - 0.5))
    fx, fy, fz = x - 0.5 - ix, y - 0.5 - iy, z - 0.5 - iz
    if fx == 0.0 and fy == 0.0 and fz == 0.0:
        return samples[max(iz, 0), max(iy, 0), max(ix, 0)]  # skip rounding errors
    gate, equal, plain = 0.0, True, 0.0
    for c in range(8):
        p, q, r = c & 1, (c >> 1) & 1, c >> 2
        cx = min(max(ix + p, 0), nx - 1)
        cy = min(max(iy + q, 0), ny - 1)
        cz = min(max(iz + r, 0), nz - 1)
        w = (fx if p else 1.0 - fx) * (fy if q else 1.0 - fy) * (fz if r else 1.0 - fz)
        weight[c], corner[c] = w, samples[cz, cy, cx]
        gate += w * features[cz - start[0], cy - start[1], cx - start[2], UNITS]
        plain += w * corner[c]
        equal = equal and corner[c] == corner[0]
    share = (_F(1) + ZERO) / (_F(1) + power_of_two(STEEP * _F(gate))) - ZERO
    if equal:
        mixed = plain = corner[0]
    else:
        for h in range(UNITS):
            moved[h] = (
                direction[0, h] * _F(fx) + direction[1, h] * _F(fy) + direction[2, h] * _F(fz)
            )
        most = _F(-np.inf)
        for c in range(8):
            cx = min(max(ix + (c & 1), 0), nx - 1) - start[2]
            cy = min(max(iy + ((c >> 1) & 1), 0), ny - 1) - start[1]
            cz = min(max(iz + (c >> 2), 0), nz - 1) - start[0]
            logit[c] = _logit(features, cz, cy, cx, moved, shift, c, last)
            most = max(most, logit[c])
        above, below = 0.0, 0.0
        for c in range(8):
            raw = weight[c] * power_of_two(max(logit[c] - most, LEAST))
            above += raw * corner[c]
            below += raw
        mixed = above / below
    if share > _F(0):
        (a0, a1, a2, a3), b, d = cubic_weights(fx), cubic_weights(fy), cubic_weights(fz)
        cubic = 0.0
        for k in range(4):
            plane = 0.0
            for j in range(4):
                plane += b[j] * _row(spline, iz + 1 + k, iy + 1 + j, ix + 1, a0, a1, a2, a3)
            cubic += d[k] * plane
        mixed += share * (cubic - plain)
    return mixed


@njit(cache=True)
def values_on_grid(
    x: Any, y: Any, z: Any, samples: Any, features: Any, start: Any, spline: Any, direction: Any,
    shift: Any, last: Any, least: float, most: float, out: Any,
) -> None:  # fmt: skip
    """Fill `out` (len(z), len(y), len(x)), within `least` and `most`, at positions in cells."""
    moved, logit = np.empty(UNITS, _F), np.empty(8, _F)
    weight, corner = np.empty(8), np.empty(8)
    for k in range(len(z)):
        for j in range(len(y)):
            for i in range(len(x)):
                value = _value(
                    x[i], y[j], z[k], samples, features, start, spline, direction, shift, last,
                    moved, logit, weight, corner,
                )  # fmt: skip
                out[k, j, i] = min(max(value, least), most)


@njit(cache=True)
def values_at_points(
    cells: Any, samples: Any, features: Any, start: Any, spline: Any, direction: Any, shift: Any,
    last: Any, least: float, most: float, out: Any,
) -> None:  # fmt: skip
    """Fill `out` (P,) at points (x, y, z), `cells` (P, 3), as `values_on_grid`."""
    moved, logit = np.empty(UNITS, _F), np.empty(8, _F)
    weight, corner = np.empty(8), np.empty(8)
    for p in range(len(out)):
        value = _value(
            cells[p, 0], cells[p, 1], cells[p, 2], samples, features, start, spline, direction,
            shift, last, moved, logit, weight, corner,
        )  # fmt: skip
        out[p] = min(max(value, least), most)
