"""Values of `siren-mixture` and their derivatives by its modulations, without autograd.

One forward pass keeps what the reverse sweep needs; the sweep leaves, for every layer, what arrives
at it from the output. From these pairs come the derivative of a sum over points (a few products for
each model, nothing of the size points x modulations) and that of every point on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from velcodec.decoder.siren_mixture.network import SirenMixture, Weights


class Forward(NamedTuple):
    """What the reverse sweep needs of a forward pass at points (B, P, 2)."""

    values: Tensor  # (B, P)
    points: Tensor
    side: Tensor  # (B, P, F): of each fault
    warp: tuple[Tensor, Tensor]  # sine and cosine, (B, P, N)
    warped: Tensor  # (B, P, 2)
    layers: list[tuple[Tensor, Tensor]]  # sine and cosine, (B, P, W)
    share: Tensor  # (B, P, K)
    mixed: Tensor  # (B, P, 1): the levels, mixed
    beyond: Tensor  # (B, P, S): depth under each interface
    below: Tensor  # (B, P, S): side of each interface


class Adjoint(NamedTuple):
    """Derivatives of the output, times a seed (B, P, 1), by what each layer gives out before its
    sine, and by the rest of what modulations enter.
    """

    seed: Tensor
    logit: Tensor  # (B, P, K)
    layers: list[Tensor]  # (B, P, W)
    steep: Tensor  # (B, P, S)
    warped: Tensor  # (B, P, 2)
    unfaulted: Tensor  # (B, P, 2)
    across: Tensor  # (B, P, F)


def forward(decoder: SirenMixture, points: Tensor, w: Weights) -> Forward:
    """Values at points (B, P, 2), and everything on the way to them."""
    side = _side(points, w)
    unfaulted = points + side @ w.fault_throw
    warp = _waves(unfaulted @ decoder.warp_first.T + decoder.warp_bias)
    warped = unfaulted + warp[0] @ w.warp.mT
    layers = [_waves(warped @ w.first.mT + w.first_bias[:, None])]
    for weight, bias in zip(w.hidden, w.hidden_bias, strict=True):
        layers.append(_waves(torch.baddbmm(bias[:, None], layers[-1][0], weight.mT)))
    last = layers[-1][0]
    share = torch.softmax(torch.baddbmm(w.logit_bias[:, None], last, w.logit.mT), dim=-1)
    mixed = share @ w.level[..., None]
    found = mixed + last @ w.ramp[..., None]
    beyond = warped[..., 1:] - w.depth[:, None]
    below = torch.tanh(beyond * w.rate[:, None])
    if decoder.settings.strata:
        found += below @ w.jump[..., None]
    return Forward(found[..., 0], points, side, warp, warped, layers, share, mixed, beyond, below)


def reverse(decoder: SirenMixture, f: Forward, w: Weights, seed: Tensor | None = None) -> Adjoint:
    """From the output back to the points; `seed` (B, P, 1) weights the values, 1 by default."""
    logit = f.share * (w.level[:, None] - f.mixed)
    if seed is None:
        seed = torch.ones_like(f.mixed)
        d = torch.baddbmm(w.ramp[:, None], logit, w.logit)
    else:
        logit *= seed
        d = torch.baddbmm(seed * w.ramp[:, None], logit, w.logit)
    layers = []
    for (_, cosine), weight in zip(reversed(f.layers), [*reversed(w.hidden), w.first], strict=True):
        d *= cosine
        layers.append(d)
        d = d @ weight
    steep = (w.jump * w.rate)[:, None] * (1 - f.below.square()) * seed
    if decoder.settings.strata:
        d[..., 1] += steep.sum(-1)
    warped = d
    if decoder.settings.warp_features:
        d = d + ((d @ w.warp) * f.warp[1]) @ decoder.warp_first
    across = (d @ w.fault_throw.mT) * (1 - f.side.square())
    return Adjoint(seed, logit, layers[::-1], steep, warped, d, across)


def summed(decoder: SirenMixture, f: Forward, a: Adjoint) -> Tensor:
    """Derivative (B, M) by the modulations of the sum of seed x value over all points."""
    last = f.layers[-1][0]
    seed = a.seed.mT
    gates = [
        (((out.T @ (d.mT @ h)) * into).sum(-1))
        for d, (h, _), out, into in zip(
            a.layers[1:], f.layers, decoder.gate_out, decoder.gate_in, strict=False
        )
    ]
    offset = a.across.sum(1)[..., None]
    parts = {
        "fault_plane": torch.cat([a.across.mT @ f.points, offset], dim=-1),
        "fault_throw": f.side.mT @ a.unfaulted,
        "warp": a.warped.mT @ f.warp[0],
        "first": a.layers[0].mT @ f.warped,
        "first_bias": a.layers[0].sum(1),
        "hidden_bias": torch.cat([d.sum(1) for d in a.layers[1:]], dim=-1),
        "gate": torch.cat(gates, dim=-1),
        "logit": a.logit.mT @ last,
        "logit_bias": a.logit.sum(1),
        "level": seed @ f.share,
        "ramp": seed @ last,
        "jump": seed @ f.below,
        "depth": -a.steep.sum(1),
        "log_rate": (a.steep * f.beyond).sum(1),
    }
    return torch.cat([parts[name].flatten(1) for name in decoder.part_sizes], dim=-1)


def by_point(decoder: SirenMixture, f: Forward, a: Adjoint) -> Tensor:
    """Derivative (B, P, M) of every value by its model's modulations; the seed must be 1."""
    last = f.layers[-1][0]
    slope = last.new_empty(*f.values.shape, decoder.modulation.shape[0])
    names, sizes = list(decoder.part_sizes), list(decoder.part_sizes.values())
    part = dict(zip(names, slope.split(sizes, dim=2), strict=True))

    def outer(name: str, left: Tensor, right: Tensor) -> None:
        shape = (left.shape[-1], right.shape[-1])
        torch.mul(left[..., None], right[..., None, :], out=part[name].unflatten(-1, shape))

    if decoder.settings.faults:
        one = torch.ones_like(f.mixed)
        outer("fault_plane", a.across, torch.cat([f.points.expand(*one.shape[:2], 2), one], dim=-1))
        outer("fault_throw", f.side, a.unfaulted)
    if decoder.settings.warp_features:
        outer("warp", a.warped, f.warp[0])
    outer("first", a.layers[0], f.warped)
    part["first_bias"].copy_(a.layers[0])
    shifts = part["hidden_bias"].split(decoder.settings.width, dim=2)
    gates = part["gate"].split(decoder.settings.gates, dim=2)
    for i, d in enumerate(a.layers[1:]):
        shifts[i].copy_(d)
        torch.mul(d @ decoder.gate_out[i], f.layers[i][0] @ decoder.gate_in[i].T, out=gates[i])
    outer("logit", a.logit, last)
    part["logit_bias"].copy_(a.logit)
    part["level"].copy_(f.share)
    part["ramp"].copy_(last)
    part["jump"].copy_(f.below)
    torch.neg(a.steep, out=part["depth"])
    torch.mul(a.steep, f.beyond, out=part["log_rate"])
    return slope


def _side(points: Tensor, w: Weights) -> Tensor:
    """Side (B, P, F) of each fault that points lie on, -1 to 1."""
    return torch.tanh(points @ w.fault_plane[..., :2].mT + w.fault_plane[..., None, :, 2])


def _waves(argument: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sin(argument), torch.cos(argument)
