"""`siren-mixture` as one Triton kernel: latents in, velocities out, nothing kept between.

A program renders some blocks of points of one model. It makes the model's effective weights from
its latent, once, and keeps them; every block of points then goes through warp, trunk and head in
registers. The products of the trunk run on tensor cores.

`driven` below is what the latent drives: base + map @ latent, row by row in the order of
`MixtureConfig`'s parts. Sizes with a trailing P are filled up to what Triton can hold.
"""

# mypy: ignore-errors
# Triton's language: it looks like Python, knows no other annotations than constexpr, and its own
# types are not there where Triton is not installed.

import math

import triton
import triton.language as tl

_PER_PI = tl.constexpr(1 / math.pi)
# pi in three parts; a product of the first with a whole number below 2^15 is exact.
_PI_1 = tl.constexpr(3.140625)
_PI_2 = tl.constexpr(0.0009675025939941406)
_PI_3 = tl.constexpr(math.pi - 3.140625 - 0.0009675025939941406)
# Least greatest error on [-pi/2, pi/2]: 5e-9.
_S1, _S2 = tl.constexpr(-0.16666657096), tl.constexpr(8.3330172883e-3)
_S3, _S4 = tl.constexpr(-1.9806614990e-4), tl.constexpr(2.6000543359e-6)
_PER_LN_2 = tl.constexpr(1 / math.log(2))
_NOWHERE = tl.constexpr(-1e30)
_LATENTS_AT_ONCE = tl.constexpr(16)


@triton.jit
def _sine(x):
    """Sine by half turns and a polynomial, as `velcodec.decoder.siren_mixture.fit_kernels` does it."""
    turns = tl.floor(x * _PER_PI + 0.5)
    rest = ((x - turns * _PI_1) - turns * _PI_2) - turns * _PI_3
    square = rest * rest
    odd = square * (_S1 + square * (_S2 + square * (_S3 + square * _S4)))
    sign = 1.0 - 2.0 * (turns - 2.0 * tl.floor(turns * 0.5))
    return sign * (rest + rest * odd)


@triton.jit
def _tanh(x):
    e = tl.exp2(-tl.abs(x) * (2.0 * _PER_LN_2))
    size = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -size, size)


@triton.jit
def _driven(to_latent, to_map, to_base, row, there, D: tl.constexpr, M: tl.constexpr):
    """Rows `row` (n,) of what the latent drives, 0 where not `there`."""
    d = tl.arange(0, _LATENTS_AT_ONCE)
    total = tl.zeros((_LATENTS_AT_ONCE, row.shape[0]), tl.float32)
    for first in range(0, D, _LATENTS_AT_ONCE):
        z = tl.load(to_latent + first + d)
        at = (first + d)[:, None] * M + row[None, :]
        total += z[:, None] * tl.load(to_map + at, mask=there[None, :], other=0.0)
    return tl.sum(total, axis=0) + tl.load(to_base + row, mask=there, other=0.0)


@triton.jit
def _effective(
    to_hidden, to_out, to_into, gate, W: tl.constexpr, R: tl.constexpr,
    WP: tl.constexpr, RP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A hidden layer's effective weights, transposed: (in, out), from its gates (RP,)."""
    w, r = tl.arange(0, WP), tl.arange(0, RP)
    square = (w[:, None] < W) & (w[None, :] < W)
    into = tl.load(
        to_into + r[None, :] * W + w[:, None], mask=(r[None, :] < R) & (w[:, None] < W), other=0.0
    )
    out = tl.load(
        to_out + w[None, :] * R + r[:, None], mask=(r[:, None] < R) & (w[None, :] < W), other=0.0
    )
    fixed = tl.load(to_hidden + w[None, :] * W + w[:, None], mask=square, other=0.0)
    return fixed + tl.dot(into * gate[None, :], out, input_precision=PRECISION)


@triton.jit
def render(
    to_latent, to_low, to_high, to_points, to_values,
    to_map, to_base, to_hidden, to_out, to_into,
    to_warp_first, to_warp_bias,
    count, points_of_a_model, blocks,
    D: tl.constexpr, M: tl.constexpr, W: tl.constexpr, L: tl.constexpr, R: tl.constexpr,
    K: tl.constexpr, F: tl.constexpr, N: tl.constexpr, S: tl.constexpr,
    WP: tl.constexpr, RP: tl.constexpr, KP: tl.constexpr, FP: tl.constexpr, NP: tl.constexpr,
    SP: tl.constexpr, POINTS: tl.constexpr, PRECISION: tl.constexpr, SCALED: tl.constexpr,
):  # fmt: skip
    """Values (B, count) of model program_id(0) at `blocks` blocks of points from block
    program_id(1) x blocks on.

    Latents are (B, D), low and high (B,), points (count, 2) of float32, those of a model
    `points_of_a_model` numbers after those of the one before. With SCALED values are m/s within
    low and high, rounded to the dtype of the output; without it they are normalised.
    """
    model = tl.program_id(0).to(tl.int64)
    to_latent += model * D
    w, k = tl.arange(0, WP), tl.arange(0, KP)
    in_w, in_k = w < W, k < K

    # Where the parts of what the latent drives begin.
    THROW: tl.constexpr = 3 * F
    WARP: tl.constexpr = THROW + 2 * F
    FIRST: tl.constexpr = WARP + 2 * N
    FIRST_BIAS: tl.constexpr = FIRST + 2 * W
    HIDDEN_BIAS: tl.constexpr = FIRST_BIAS + W
    GATE: tl.constexpr = HIDDEN_BIAS + L * W
    LOGIT: tl.constexpr = GATE + L * R
    LOGIT_BIAS: tl.constexpr = LOGIT + K * W
    LEVEL: tl.constexpr = LOGIT_BIAS + K
    RAMP: tl.constexpr = LEVEL + K
    JUMP: tl.constexpr = RAMP + W
    DEPTH: tl.constexpr = JUMP + S
    RATE: tl.constexpr = DEPTH + S

    if F:
        f = tl.arange(0, FP)
        normal_x = _driven(to_latent, to_map, to_base, 3 * f, f < F, D, M)
        normal_z = _driven(to_latent, to_map, to_base, 3 * f + 1, f < F, D, M)
        offset = _driven(to_latent, to_map, to_base, 3 * f + 2, f < F, D, M)
        throw_x = _driven(to_latent, to_map, to_base, THROW + 2 * f, f < F, D, M)
        throw_z = _driven(to_latent, to_map, to_base, THROW + 2 * f + 1, f < F, D, M)
    if N:
        n = tl.arange(0, NP)
        wave_x = tl.load(to_warp_first + 2 * n, mask=n < N, other=0.0)
        wave_z = tl.load(to_warp_first + 2 * n + 1, mask=n < N, other=0.0)
        phase = tl.load(to_warp_bias + n, mask=n < N, other=0.0)
        warp_x = _driven(to_latent, to_map, to_base, WARP + n, n < N, D, M)
        warp_z = _driven(to_latent, to_map, to_base, WARP + N + n, n < N, D, M)
    first_x = _driven(to_latent, to_map, to_base, FIRST + 2 * w, in_w, D, M)
    first_z = _driven(to_latent, to_map, to_base, FIRST + 2 * w + 1, in_w, D, M)
    first_bias = _driven(to_latent, to_map, to_base, FIRST_BIAS + w, in_w, D, M)
    r = tl.arange(0, RP)
    gate = _driven(to_latent, to_map, to_base, GATE + r, r < R, D, M)
    hidden = _effective(to_hidden, to_out, to_into, gate, W, R, WP, RP, PRECISION)
    hidden_bias = _driven(to_latent, to_map, to_base, HIDDEN_BIAS + w, in_w, D, M)
    if L == 2:
        gate = _driven(to_latent, to_map, to_base, GATE + R + r, r < R, D, M)
        second = _effective(
            to_hidden + W * W, to_out + W * R, to_into + W * R, gate, W, R, WP, RP, PRECISION
        )
        second_bias = _driven(to_latent, to_map, to_base, HIDDEN_BIAS + W + w, in_w, D, M)
    row = tl.reshape(LOGIT + k[:, None] * W + w[None, :], (KP * WP,))
    there = tl.reshape(in_k[:, None] & in_w[None, :], (KP * WP,))
    logit = _driven(to_latent, to_map, to_base, row, there, D, M)
    logit = tl.trans(tl.reshape(logit, (KP, WP)))
    logit_bias = _driven(to_latent, to_map, to_base, LOGIT_BIAS + k, in_k, D, M)
    logit_bias = tl.where(in_k, logit_bias, _NOWHERE)
    level = _driven(to_latent, to_map, to_base, LEVEL + k, in_k, D, M)
    ramp = _driven(to_latent, to_map, to_base, RAMP + w, in_w, D, M)
    if S:
        s = tl.arange(0, SP)
        jump = _driven(to_latent, to_map, to_base, JUMP + s, s < S, D, M)
        depth = _driven(to_latent, to_map, to_base, DEPTH + s, s < S, D, M)
        log_rate = _driven(to_latent, to_map, to_base, RATE + s, s < S, D, M)
        rate = tl.exp2(log_rate * _PER_LN_2)

    to_points += model * points_of_a_model
    to_values += model * count
    for block in range(blocks):
        p = (tl.program_id(1) * blocks + block) * POINTS + tl.arange(0, POINTS)
        x = tl.load(to_points + 2 * p, mask=p < count, other=0.0)
        z = tl.load(to_points + 2 * p + 1, mask=p < count, other=0.0)
        if F:
            side = x[:, None] * normal_x[None, :] + z[:, None] * normal_z[None, :]
            side = _tanh(side + offset[None, :])
            x += tl.sum(side * throw_x[None, :], axis=1)
            z += tl.sum(side * throw_z[None, :], axis=1)
        if N:
            feature = x[:, None] * wave_x[None, :] + z[:, None] * wave_z[None, :]
            feature = _sine(feature + phase[None, :])
            x += tl.sum(feature * warp_x[None, :], axis=1)
            z += tl.sum(feature * warp_z[None, :], axis=1)
        h = x[:, None] * first_x[None, :] + z[:, None] * first_z[None, :]
        h = _sine(h + first_bias[None, :])
        h = _sine(tl.dot(h, hidden, input_precision=PRECISION) + hidden_bias[None, :])
        if L == 2:
            h = _sine(tl.dot(h, second, input_precision=PRECISION) + second_bias[None, :])
        share = tl.dot(h, logit, input_precision=PRECISION) + logit_bias[None, :]
        share = tl.exp2((share - tl.max(share, axis=1)[:, None]) * _PER_LN_2)
        value = tl.sum(share * level[None, :], axis=1) / tl.sum(share, axis=1)
        value += tl.sum(h * ramp[None, :], axis=1)
        if S:
            below = _tanh((z[:, None] - depth[None, :]) * rate[None, :])
            value += tl.sum(below * jump[None, :], axis=1)
        if SCALED:
            low, high = tl.load(to_low + model), tl.load(to_high + model)
            value = tl.where(value == value, value, 0.0)  # NaN is the middle of the range
            value = tl.minimum(tl.maximum(value, -1.0), 1.0)
            value = low + (value + 1.0) * 0.5 * (high - low)
            value = tl.minimum(tl.maximum(value, low), high)
        tl.store(to_values + p, value.to(to_values.dtype.element_ty), mask=p < count)
