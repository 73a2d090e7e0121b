"""`siren-mixture` on the CPU, for many points and no autograd: what a fit spends its time on.

Arrays are (B, channels, P). Products go to torch, all between them to the compiled loops of
`loops`. Values, the derivative of a sum over points and that of every point by the modulations are
the same as those of `mixture_sweep`, which serves other devices and dtypes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from velcodec.decoder.siren_mixture import fit_kernels

if TYPE_CHECKING:
    from velcodec.decoder.siren_mixture.network import SirenMixture, Weights


def serves(latent: Tensor) -> bool:
    """Whether the compiled loops can do it: float32 on the CPU."""
    return latent.device.type == "cpu" and latent.dtype == torch.float32


@cache
def quick_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in known)


class Layers(NamedTuple):
    """A forward pass: what it gives and, with `keep`, what the reverse sweep needs of it."""

    value: Tensor  # (B, P)
    points: Tensor  # (B or 1, 2, P)
    side: Tensor  # (B, F, P): of each fault
    feature: Tensor  # (B, N, P)
    feature_cosine: Tensor
    warped: Tensor  # (B, 2, P)
    sine: list[Tensor]  # (B, W, P)
    cosine: list[Tensor]
    share: Tensor  # (B, K + 1, P); the last row is the ramp's
    mixed: Tensor  # (B, P)
    below: Tensor  # (B, S, P): side of each interface


class Reverse(NamedTuple):
    """Derivatives of the values times a seed (B, P), see `mixture_sweep.Adjoint`."""

    seed: Tensor
    pull: Tensor  # (B, K + 1, P); the last row is the seed
    layers: list[Tensor]  # (B, W, P)
    steep: Tensor  # (B, S, P)
    to_warped: Tensor  # (B, 2, P)
    to_unfaulted: Tensor  # (B, 2, P)
    across: Tensor  # (B, F, P)


def in_channels(points: Tensor) -> Tensor:
    """Points (P, 2) or (B, P, 2) as (1 or B, 2, P)."""
    return points.reshape(-1, *points.shape[-2:]).mT.contiguous()


def forward(decoder: SirenMixture, points: Tensor, w: Weights, keep: bool) -> Layers:
    """Values at points (B or 1, 2, P), and with `keep` everything on the way to them."""
    c, (batch, count) = decoder.settings, (len(w.level), points.shape[-1])

    def room(channels: int, wanted: bool = True) -> Tensor:
        return torch.empty(batch, channels, count) if wanted else torch.empty(batch, channels, 0)

    side, unfaulted, warped = room(c.faults), room(2), room(2)
    feature, feature_cosine = room(c.warp_features, keep), room(c.warp_features, keep)
    sine, cosine = [room(c.width)], [room(c.width, keep)]
    fit_kernels.enter(
        keep,
        *_arrays(points, w.fault_plane, w.fault_throw, decoder.warp_first, decoder.warp_bias),
        *_arrays(w.warp, w.first, w.first_bias),
        *_arrays(side, unfaulted, feature, feature_cosine, warped, sine[0], cosine[0]),
    )
    for weight, bias in zip(w.hidden, w.hidden_bias, strict=True):
        argument = torch.bmm(weight, sine[-1])
        if keep:
            cosine.append(room(c.width))
            fit_kernels.sine_and_cosine_(*_arrays(argument, bias, cosine[-1]))
            sine.append(argument)
        else:
            fit_kernels.sine_(*_arrays(argument, bias))
            sine = [argument]
    share = torch.bmm(_with_ramp(w), sine[-1])
    value, mixed, below = torch.empty(batch, count), torch.empty(batch, count), room(c.strata)
    fit_kernels.head_(
        *_arrays(share, w.logit_bias, w.level, warped, w.jump, w.depth, w.rate),
        *_arrays(mixed, below, value),
    )
    return Layers(
        value, points, side, feature, feature_cosine, warped, sine, cosine, share, mixed, below
    )


def reverse(decoder: SirenMixture, f: Layers, w: Weights, seed: Tensor) -> Reverse:
    """From the values, weighted by `seed` (B, P), back to the points."""
    pull, steep, down = torch.empty_like(f.share), torch.empty_like(f.below), torch.empty_like(seed)
    fit_kernels.head_reverse(
        *_arrays(f.share, w.level, f.mixed, f.warped, f.below, w.jump, w.depth, w.rate, seed),
        *_arrays(pull, steep, down),
    )
    layers = [torch.bmm(_with_ramp(w).mT, pull).mul_(f.cosine[-1])]
    for weight, cosine in zip(reversed(w.hidden), reversed(f.cosine[:-1]), strict=True):
        layers.append(torch.bmm(weight.mT, layers[-1]).mul_(cosine))
    to_warped, to_unfaulted = torch.empty_like(f.warped), torch.empty_like(f.warped)
    across = torch.empty_like(f.side)
    fit_kernels.leave(
        *_arrays(w.fault_throw, decoder.warp_first, w.warp, w.first),
        *_arrays(f.side, f.feature_cosine, layers[-1], down, to_warped, to_unfaulted, across),
    )
    return Reverse(seed, pull, layers[::-1], steep, to_warped, to_unfaulted, across)


def summed(decoder: SirenMixture, f: Layers, r: Reverse, w: Weights) -> Tensor:
    """Derivative (B, M) by the modulations of the sum of seed x value over all points."""
    components = decoder.settings.components
    seed = r.seed[..., None]
    gates = [
        ((out.T @ torch.bmm(d, h.mT)) * into).sum(-1)
        for d, h, out, into in zip(
            r.layers[1:], f.sine[:-1], decoder.gate_out, decoder.gate_in, strict=True
        )
    ]
    logit = torch.bmm(r.pull, f.sine[-1].mT)
    beyond = f.warped[:, 1:] - w.depth[..., None]
    parts = {
        "fault_plane": torch.cat([r.across @ f.points.mT, r.across.sum(-1, True)], dim=-1),
        "fault_throw": f.side @ r.to_unfaulted.mT,
        "warp": r.to_warped @ f.feature.mT,
        "first": r.layers[0] @ f.warped.mT,
        "first_bias": r.layers[0].sum(-1),
        "hidden_bias": torch.cat([d.sum(-1) for d in r.layers[1:]], dim=-1),
        "gate": torch.cat(gates, dim=-1),
        "logit": logit[:, :components],
        "logit_bias": r.pull[:, :components].sum(-1),
        "level": f.share[:, :components] @ seed,
        "ramp": logit[:, components],
        "jump": f.below @ seed,
        "depth": -r.steep.sum(-1),
        "log_rate": (r.steep * beyond).sum(-1),
    }
    return torch.cat([parts[name].flatten(1) for name in decoder.part_sizes], dim=-1)


def by_point(
    decoder: SirenMixture, f: Layers, r: Reverse, w: Weights, dtype: torch.dtype
) -> Tensor:
    """Derivative (B, M, P) of every value by its model's modulations, in `dtype`; the seed must
    be 1.
    """
    c, count = decoder.settings, f.value.shape[-1]
    slope = torch.empty(len(f.value), decoder.modulation.shape[0], count, dtype=dtype)
    names, sizes = list(decoder.part_sizes), list(decoder.part_sizes.values())
    part = dict(zip(names, slope.split(sizes, dim=1), strict=True))

    def outer(name: str, left: Tensor, right: Tensor) -> None:
        shape = (left.shape[1], right.shape[1])
        left, right = left.to(dtype), right.to(dtype)
        torch.mul(left[:, :, None], right[:, None], out=part[name].unflatten(1, shape))

    if c.faults:
        one = torch.ones(len(f.points), 1, count)
        outer("fault_plane", r.across, torch.cat([f.points, one], dim=1))
        outer("fault_throw", f.side, r.to_unfaulted)
    if c.warp_features:
        outer("warp", r.to_warped, f.feature)
    outer("first", r.layers[0], f.warped)
    part["first_bias"].copy_(r.layers[0])
    shifts, gates = part["hidden_bias"].split(c.width, 1), part["gate"].split(c.gates, 1)
    for i, d in enumerate(r.layers[1:]):
        shifts[i].copy_(d)
        gates[i].copy_((decoder.gate_out[i].T @ d).mul_(decoder.gate_in[i] @ f.sine[i]))
    outer("logit", r.pull[:, : c.components], f.sine[-1])
    part["logit_bias"].copy_(r.pull[:, : c.components])
    part["level"].copy_(f.share[:, : c.components])
    part["ramp"].copy_(f.sine[-1])
    part["jump"].copy_(f.below)
    part["depth"].copy_(-r.steep)
    part["log_rate"].copy_(r.steep * (f.warped[:, 1:] - w.depth[..., None]))
    return slope


def _with_ramp(w: Weights) -> Tensor:
    """Maps (B, K + 1, W) of the last layer: logits, then the ramp."""
    return torch.cat([w.logit, w.ramp[:, None]], dim=1)


def _arrays(*tensors: Tensor) -> list[fit_kernels.Array]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
