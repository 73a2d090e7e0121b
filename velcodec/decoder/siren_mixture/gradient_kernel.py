"""Error of `siren-mixture` and its derivative by the modulations, compiled: a forward pass and a
reverse sweep over one block of points after the other, whose layers stay in the cache.

Arithmetic is that of `cpu_kernel`; derivatives are by the natural, unscaled modulations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from velcodec.decoder.siren_mixture.cpu_kernel import power_of_two, sine, tanh
from velcodec.decoder.siren_mixture.cpu_padding import BLOCK, UNIT
from velcodec.decoder.siren_mixture.cpu_product import FLOATS, add_weighted, largest, product
from velcodec.formats.compiled import njit

_F = np.float32
_QUARTER, _TWO_PI = _F(0.25), _F(2.0 * math.pi)
_RATE = _F(math.log(2.0) / 2.0)
"""An interface's natural steepness over the one that `tanh` of `cpu_kernel` takes."""
SUMS = {"contract", "reassoc", "nsz"}
"""As FLOATS, where sums over points may be taken in any order."""


@njit(cache=True, fastmath=SUMS)
def add_outer(left: Any, right: Any, total: Any) -> None:
    """`total` (N, M) += `left` (N, BLOCK) @ `right` (M, BLOCK)^T; N and M are multiples of UNIT."""
    for i in range(0, total.shape[0], UNIT):
        for j in range(0, total.shape[1], UNIT):
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = _F(0)
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = _F(0)
            for p in range(BLOCK):
                a0, a1, a2, a3 = left[i, p], left[i + 1, p], left[i + 2, p], left[i + 3, p]
                b0, b1, b2, b3 = right[j, p], right[j + 1, p], right[j + 2, p], right[j + 3, p]
                s00 += a0 * b0
                s01 += a0 * b1
                s02 += a0 * b2
                s03 += a0 * b3
                s10 += a1 * b0
                s11 += a1 * b1
                s12 += a1 * b2
                s13 += a1 * b3
                s20 += a2 * b0
                s21 += a2 * b1
                s22 += a2 * b2
                s23 += a2 * b3
                s30 += a3 * b0
                s31 += a3 * b1
                s32 += a3 * b2
                s33 += a3 * b3
            r = i + 1
            total[i, j] += s00
            total[i, j + 1] += s01
            total[i, j + 2] += s02
            total[i, j + 3] += s03
            total[r, j] += s10
            total[r, j + 1] += s11
            total[r, j + 2] += s12
            total[r, j + 3] += s13
            r = i + 2
            total[r, j] += s20
            total[r, j + 1] += s21
            total[r, j + 2] += s22
            total[r, j + 3] += s23
            r = i + 3
            total[r, j] += s30
            total[r, j + 1] += s31
            total[r, j + 2] += s32
            total[r, j + 3] += s33


@njit(inline="always", fastmath=SUMS)
def _dot(left: Any, right: Any) -> Any:
    total = _F(0)
    for p in range(BLOCK):
        total += left[p] * right[p]
    return total


@njit(inline="always", fastmath=SUMS)
def _sum(row: Any) -> Any:
    total = _F(0)
    for p in range(BLOCK):
        total += row[p]
    return total


@njit(inline="always")
def _rows(count: int) -> Any:
    return np.zeros((count, BLOCK), _F)


@njit(cache=True, fastmath=FLOATS)
def error_and_slopes(
    points: Any, target: Any, wanted: bool,
    warp_first: Any, warp_bias: Any,
    plane: Any, throw: Any, warp: Any, first: Any, first_bias: Any, hidden: Any, hidden_bias: Any,
    logit: Any, logit_bias: Any, level: Any, ramp: Any, jump: Any, depth: Any, rate: Any,
    hidden_back: Any, logit_back: Any,
    error: Any, to_plane: Any, to_throw: Any, to_warp: Any, to_first: Any, to_first_bias: Any,
    to_hidden: Any, to_hidden_bias: Any, to_logit: Any, to_logit_bias: Any, to_level: Any,
    to_ramp: Any, to_jump: Any, to_depth: Any, to_log_rate: Any,
) -> None:  # fmt: skip
    """Mean squared `error` (B,) against `target` (B, P) at `points` (x, z), (B, 2, P) or (1, 2, P)
    for all models; if `wanted`, half its derivatives by every modulated weight, added to `to_...`.

    Weights as `cpu_kernel.evaluate` takes them; `hidden_back` (B, L, W, W) and `logit_back`
    (B, W, K) are transposed and those of the decoder.
    """
    layers, width, components = hidden.shape[1], hidden.shape[2], logit.shape[1]
    faults, features, strata = plane.shape[1], len(warp_bias), jump.shape[1]
    wave, steep = np.zeros((layers + 1, width, BLOCK), _F), np.zeros((layers + 1, width, BLOCK), _F)
    before, back, pull = _rows(width), _rows(width), _rows(components)
    feature, slope = _rows(features), _rows(features)
    share, side, below, tilt = _rows(components), _rows(faults), _rows(strata), _rows(strata)
    x0, z0, x1, z1, x, z = _rows(6)
    to_x, to_z, greatest, total, mixed, seed = _rows(6)
    down, value, across = _rows(3)
    nothing = np.zeros(width, _F)
    count = points.shape[2]
    share_of_point = _F(1.0 / count)
    for b in range(len(level)):
        own = b if len(points) > 1 else 0
        found = 0.0
        for start in range(0, count, BLOCK):
            columns = min(BLOCK, count - start)
            for p in range(columns):
                x0[p], z0[p] = points[own, 0, start + p], points[own, 1, start + p]
            for p in range(columns, BLOCK):
                x0[p] = z0[p] = _F(0)
            for p in range(BLOCK):
                x1[p], z1[p] = x0[p], z0[p]
            for i in range(faults):
                a, c, d = plane[b, i, 0], plane[b, i, 1], plane[b, i, 2]
                by_x, by_z = throw[b, i, 0], throw[b, i, 1]
                for p in range(BLOCK):
                    t = tanh(a * x0[p] + (c * z0[p] + d))
                    side[i, p] = t
                    x1[p] += by_x * t
                    z1[p] += by_z * t
            for p in range(BLOCK):
                x[p], z[p] = x1[p], z1[p]
            for i in range(features):
                a, c, d = warp_first[i, 0], warp_first[i, 1], warp_bias[i]
                by_x, by_z = warp[b, 0, i], warp[b, 1, i]
                for p in range(BLOCK):
                    turns = a * x1[p] + (c * z1[p] + d)
                    t = sine(turns)
                    feature[i, p] = t
                    x[p] += by_x * t
                    z[p] += by_z * t
                if wanted:
                    for p in range(BLOCK):
                        slope[i, p] = sine(a * x1[p] + (c * z1[p] + d) + _QUARTER)
            for i in range(width):
                a, c, d = first[b, i, 0], first[b, i, 1], first_bias[b, i]
                for p in range(BLOCK):
                    before[i, p] = a * x[p] + (c * z[p] + d)
            for n in range(layers + 1):
                if n > 0:
                    product(hidden[b, n - 1], hidden_bias[b, n - 1], wave[n - 1], before)
                for i in range(width):
                    for p in range(BLOCK):
                        wave[n, i, p] = sine(before[i, p])
                if wanted:
                    for i in range(width):
                        for p in range(BLOCK):
                            steep[n, i, p] = sine(before[i, p] + _QUARTER)
            last = wave[layers]
            product(logit[b], logit_bias[b], last, share)
            largest(share, greatest)
            for p in range(BLOCK):
                total[p] = mixed[p] = _F(0)
            for i in range(components):
                height = level[b, i]
                for p in range(BLOCK):
                    t = power_of_two(share[i, p] - greatest[p])
                    share[i, p] = t
                    total[p] += t
                    mixed[p] += height * t
            for p in range(BLOCK):
                total[p] = _F(1) / total[p]
                mixed[p] *= total[p]
                value[p] = mixed[p]
            add_weighted(ramp[b], last, value)
            for i in range(strata):
                height, top, steepness = jump[b, i], depth[b, i], rate[b, i]
                for p in range(BLOCK):
                    t = tanh((z[p] - top) * steepness)
                    below[i, p] = t
                    value[p] += height * t
            for p in range(columns):
                rest = value[p] - target[b, start + p]
                seed[p] = share_of_point * rest
                found += seed[p] * rest
            for p in range(columns, BLOCK):
                seed[p] = _F(0)
            if not wanted:
                continue
            for i in range(components):
                height = level[b, i]
                for p in range(BLOCK):
                    t = share[i, p] * total[p] * seed[p]
                    share[i, p] = t
                    pull[i, p] = t * (height - mixed[p])
                to_level[b, i] += _sum(share[i])
                to_logit_bias[b, i] += _sum(pull[i])
            add_outer(pull, last, to_logit[b])
            for p in range(BLOCK):
                down[p] = _F(0)
            for i in range(strata):
                height, top, natural = jump[b, i], depth[b, i], rate[b, i] * _RATE
                for p in range(BLOCK):
                    t = below[i, p]
                    tilt[i, p] = height * natural * (_F(1) - t * t) * seed[p]
                    down[p] += tilt[i, p]
                to_jump[b, i] += _dot(below[i], seed)
                alone = _sum(tilt[i])
                to_depth[b, i] -= alone
                to_log_rate[b, i] += _dot(tilt[i], z) - top * alone
            for i in range(width):
                to_ramp[b, i] += _dot(last[i], seed)
            product(logit_back[b], nothing, pull, back)
            for i in range(width):
                for p in range(BLOCK):
                    back[i, p] = (back[i, p] + ramp[b, i] * seed[p]) * steep[layers, i, p]
            for n in range(layers - 1, -1, -1):
                for i in range(width):
                    to_hidden_bias[b, n, i] += _sum(back[i])
                add_outer(back, wave[n], to_hidden[b, n])
                product(hidden_back[b, n], nothing, back, before)
                for i in range(width):
                    for p in range(BLOCK):
                        back[i, p] = before[i, p] * steep[n, i, p]
            for p in range(BLOCK):
                to_x[p], to_z[p] = _F(0), down[p]
            for i in range(width):
                a, c = first[b, i, 0] * _TWO_PI, first[b, i, 1] * _TWO_PI
                for p in range(BLOCK):
                    to_x[p] += a * back[i, p]
                    to_z[p] += c * back[i, p]
                to_first[b, i, 0] += _dot(back[i], x)
                to_first[b, i, 1] += _dot(back[i], z)
                to_first_bias[b, i] += _sum(back[i])
            for p in range(BLOCK):
                x[p], z[p] = to_x[p], to_z[p]
            for i in range(features):
                to_warp[b, 0, i] += _dot(feature[i], to_x)
                to_warp[b, 1, i] += _dot(feature[i], to_z)
                a, c = warp_first[i, 0] * _TWO_PI, warp_first[i, 1] * _TWO_PI
                by_x, by_z = warp[b, 0, i], warp[b, 1, i]
                for p in range(BLOCK):
                    t = (by_x * to_x[p] + by_z * to_z[p]) * slope[i, p]
                    x[p] += a * t
                    z[p] += c * t
            for i in range(faults):
                to_throw[b, i, 0] += _dot(side[i], x)
                to_throw[b, i, 1] += _dot(side[i], z)
                by_x, by_z = throw[b, i, 0], throw[b, i, 1]
                for p in range(BLOCK):
                    t = side[i, p]
                    across[p] = (by_x * x[p] + by_z * z[p]) * (_F(1) - t * t)
                to_plane[b, i, 0] += _dot(across, x0)
                to_plane[b, i, 1] += _dot(across, z0)
                to_plane[b, i, 2] += _sum(across)
        error[b] = found
