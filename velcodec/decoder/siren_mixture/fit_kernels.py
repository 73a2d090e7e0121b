"""The parts of `siren-mixture` other than matrix products, compiled for the CPU.

Arrays are float32, (B, channels, P): models, channels, points. Points are contiguous, so that every
loop over them vectorises, and an array is read once where torch's operations would read it several
times. Sine and cosine share the reduction of their argument: both together take a sixth of the time
of `torch.sin` and `torch.cos`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from velcodec.formats.arrays import Float32
from velcodec.formats.compiled import njit

_f = np.float32
_ONE, _HALF, _TWO, _ZERO = _f(1), _f(0.5), _f(2), _f(0)
_PER_PI = _f(1 / math.pi)
# pi in three parts; a product of the first with a whole number below 2^15 is exact.
_PI_1 = _f(3.140625)
_PI_2 = _f(math.pi - 3.140625)
_PI_3 = _f(math.pi - 3.140625 - float(_PI_2))
# Minimax on [-pi/2, pi/2]: error 5e-9 for the sine, 4e-10 for the cosine.
_S1, _S2 = _f(-0.16666657096), _f(8.3330172883e-3)
_S3, _S4 = _f(-1.9806614990e-4), _f(2.6000543359e-6)
_C2, _C3 = _f(4.1666655773e-2), _f(-1.3888569159e-3)
_C4, _C5 = _f(2.4769304039e-5), _f(-2.6193811317e-7)
# 2^x = e^(x ln 2) on [-1/2, 1/2] by its series.
_E1, _E2, _E3 = (_f(math.log(2) ** n / math.factorial(n)) for n in (1, 2, 3))
_E4, _E5, _E6 = (_f(math.log(2) ** n / math.factorial(n)) for n in (4, 5, 6))
_PER_LN_2 = _f(1 / math.log(2))
_LEAST = _f(-126)

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def _compiled(*, sums: bool = False) -> Callable[[_Loop], _Loop]:
    """Compile a function. Reassociation would undo the careful reduction of arguments, so only
    loops that merely compute `sums` allow it.
    """
    freedom = {"contract", "reassoc", "nsz"} if sums else {"contract"}
    return njit(cache=True, error_model="numpy", fastmath=freedom)


@_compiled()
def _turned(value: Any) -> Any:
    """The argument modulo half turns, and (-1)^(half turns)."""
    turns = np.rint(value * _PER_PI)
    rest = ((value - turns * _PI_1) - turns * _PI_2) - turns * _PI_3
    return rest, _ONE - _TWO * (turns - _TWO * np.floor(turns * _HALF))


@_compiled()
def _sine_of(rest: Any, sign: Any) -> Any:
    square = rest * rest
    odd = square * (_S1 + square * (_S2 + square * (_S3 + square * _S4)))
    return sign * (rest + rest * odd)


@_compiled()
def _cosine_of(rest: Any, sign: Any) -> Any:
    square = rest * rest
    even = square * (_C2 + square * (_C3 + square * (_C4 + square * _C5))) - _HALF
    return sign * (_ONE + square * even)


@_compiled()
def _power_of_two(x: Any) -> Any:
    """2^x for x <= 0, at least 2^-126."""
    x = max(x, _LEAST)
    whole = np.rint(x)
    r = x - whole
    tail = _E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6))))
    scale = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return scale + scale * (r * tail)


@_compiled()
def _tanh(x: Any) -> Any:
    e = _power_of_two(-abs(x) * _TWO * _PER_LN_2)
    return math.copysign((_ONE - e) / (_ONE + e), x)


@_compiled()
def sine_(argument: Float32, bias: Float32) -> None:
    """Sine of argument (B, C, P) + bias (B, C), in place."""
    for b in range(argument.shape[0]):
        for c in range(argument.shape[1]):
            row, shift = argument[b, c], bias[b, c]
            for p in range(row.size):
                rest, sign = _turned(row[p] + shift)
                row[p] = _sine_of(rest, sign)


@_compiled()
def sine_and_cosine_(argument: Float32, bias: Float32, cosine: Float32) -> None:
    """As `sine_`, and the cosine."""
    for b in range(argument.shape[0]):
        for c in range(argument.shape[1]):
            row, other, shift = argument[b, c], cosine[b, c], bias[b, c]
            for p in range(row.size):
                rest, sign = _turned(row[p] + shift)
                row[p] = _sine_of(rest, sign)
                other[p] = _cosine_of(rest, sign)


@_compiled()
def enter(
    keep: bool, points: Float32, plane: Float32, throw: Float32, warp_first: Float32,
    warp_bias: Float32, warp: Float32, first: Float32, first_bias: Float32,
    side: Float32, unfaulted: Float32, feature: Float32, feature_cosine: Float32,
    warped: Float32, sine: Float32, cosine: Float32,
) -> None:  # fmt: skip
    """Fault steps, warp and first layer at points (B or 1, 2, P).

    Fills side (B, F, P), unfaulted and warped (B, 2, P), sine (B, W, P); with `keep` also feature
    and feature_cosine (B, N, P) and cosine (B, W, P), which are otherwise untouched.
    """
    for b in range(warped.shape[0]):
        x, z = points[b % points.shape[0], 0], points[b % points.shape[0], 1]
        to_x, to_z = unfaulted[b, 0], unfaulted[b, 1]
        to_x[:] = x
        to_z[:] = z
        for f in range(plane.shape[1]):
            a, c, d = plane[b, f, 0], plane[b, f, 1], plane[b, f, 2]
            by_x, by_z, row = throw[b, f, 0], throw[b, f, 1], side[b, f]
            for p in range(x.size):
                row[p] = _tanh(x[p] * a + z[p] * c + d)
                to_x[p] += row[p] * by_x
                to_z[p] += row[p] * by_z
        x, z = to_x, to_z
        to_x, to_z = warped[b, 0], warped[b, 1]
        to_x[:] = x
        to_z[:] = z
        for n in range(warp_first.shape[0]):
            a, c, d = warp_first[n, 0], warp_first[n, 1], warp_bias[n]
            by_x, by_z = warp[b, 0, n], warp[b, 1, n]
            if keep:
                row, other = feature[b, n], feature_cosine[b, n]
                for p in range(x.size):
                    rest, sign = _turned(x[p] * a + z[p] * c + d)
                    row[p] = _sine_of(rest, sign)
                    other[p] = _cosine_of(rest, sign)
                    to_x[p] += row[p] * by_x
                    to_z[p] += row[p] * by_z
            else:
                for p in range(x.size):
                    rest, sign = _turned(x[p] * a + z[p] * c + d)
                    value = _sine_of(rest, sign)
                    to_x[p] += value * by_x
                    to_z[p] += value * by_z
        for n in range(first.shape[1]):
            a, c, d = first[b, n, 0], first[b, n, 1], first_bias[b, n]
            row = sine[b, n]
            if keep:
                other = cosine[b, n]
                for p in range(x.size):
                    rest, sign = _turned(to_x[p] * a + to_z[p] * c + d)
                    row[p] = _sine_of(rest, sign)
                    other[p] = _cosine_of(rest, sign)
            else:
                for p in range(x.size):
                    rest, sign = _turned(to_x[p] * a + to_z[p] * c + d)
                    row[p] = _sine_of(rest, sign)


@_compiled()
def head_(
    logit: Float32, bias: Float32, level: Float32, warped: Float32, jump: Float32,
    depth: Float32, rate: Float32, mixed: Float32, below: Float32, value: Float32,
) -> None:  # fmt: skip
    """Mixture, ramp and strata. `logit` (B, K + 1, P), whose last row is the ramp's share, becomes
    the softmax of the others plus bias; fills mixed and value (B, P) and below (B, S, P).
    """
    most, total = np.empty_like(value[0]), np.empty_like(value[0])
    components = level.shape[1]
    for b in range(value.shape[0]):
        most[:] = -np.inf
        for k in range(components):
            row, shift = logit[b, k], bias[b, k]
            for p in range(most.size):
                row[p] += shift
                most[p] = max(most[p], row[p])
        blend = mixed[b]
        total[:] = _ZERO
        blend[:] = _ZERO
        for k in range(components):
            row, height = logit[b, k], level[b, k]
            for p in range(most.size):
                row[p] = _power_of_two((row[p] - most[p]) * _PER_LN_2)
                total[p] += row[p]
                blend[p] += row[p] * height
        found, ramp = value[b], logit[b, components]
        for p in range(most.size):
            total[p] = _ONE / total[p]
            blend[p] *= total[p]
            found[p] = blend[p] + ramp[p]
        for k in range(components):
            row = logit[b, k]
            for p in range(most.size):
                row[p] *= total[p]
        z = warped[b, 1]
        for s in range(jump.shape[1]):
            row, height, where, steep = below[b, s], jump[b, s], depth[b, s], rate[b, s]
            for p in range(most.size):
                row[p] = _tanh((z[p] - where) * steep)
                found[p] += row[p] * height


@_compiled(sums=True)
def head_reverse(
    share: Float32, level: Float32, mixed: Float32, warped: Float32, below: Float32, jump: Float32,
    depth: Float32, rate: Float32, seed: Float32,
    pull: Float32, steep: Float32, down: Float32,
) -> None:  # fmt: skip
    """Derivatives of seed (B, P) x value: by the logit passed to `head_` (pull), by the interfaces'
    depths, negated (steep, (B, S, P)), and by the warped depth through the interfaces (down).
    """
    components = level.shape[1]
    for b in range(seed.shape[0]):
        weight, blend = seed[b], mixed[b]
        for k in range(components):
            row, to, height = share[b, k], pull[b, k], level[b, k]
            for p in range(weight.size):
                to[p] = row[p] * (height - blend[p]) * weight[p]
        pull[b, components] = weight
        total = down[b]
        total[:] = _ZERO
        for s in range(jump.shape[1]):
            row, to, factor = below[b, s], steep[b, s], jump[b, s] * rate[b, s]
            for p in range(weight.size):
                to[p] = factor * (_ONE - row[p] * row[p]) * weight[p]
                total[p] += to[p]


@_compiled(sums=True)
def leave(
    throw: Float32, warp_first: Float32, warp: Float32, first: Float32,
    side: Float32, feature_cosine: Float32, layer: Float32, down: Float32,
    to_warped: Float32, to_unfaulted: Float32, across: Float32,
) -> None:  # fmt: skip
    """Reverse of `enter`: from derivatives by the first layer's arguments (B, W, P) and by the
    warped depth (down, (B, P)) to those by the warped and the unfaulted points (B, 2, P) and by
    the faults' arguments (B, F, P).
    """
    for b in range(layer.shape[0]):
        x, z = to_warped[b, 0], to_warped[b, 1]
        x[:] = _ZERO
        z[:] = down[b]
        for n in range(first.shape[1]):
            a, c, row = first[b, n, 0], first[b, n, 1], layer[b, n]
            for p in range(x.size):
                x[p] += a * row[p]
                z[p] += c * row[p]
        to_x, to_z = to_unfaulted[b, 0], to_unfaulted[b, 1]
        to_x[:] = x
        to_z[:] = z
        for n in range(warp_first.shape[0]):
            a, c, row = warp_first[n, 0], warp_first[n, 1], feature_cosine[b, n]
            by_x, by_z = warp[b, 0, n], warp[b, 1, n]
            for p in range(x.size):
                steep = (x[p] * by_x + z[p] * by_z) * row[p]
                to_x[p] += steep * a
                to_z[p] += steep * c
        for f in range(throw.shape[1]):
            by_x, by_z, row, to = throw[b, f, 0], throw[b, f, 1], side[b, f], across[b, f]
            for p in range(x.size):
                to[p] = (to_x[p] * by_x + to_z[p] * by_z) * (_ONE - row[p] * row[p])
