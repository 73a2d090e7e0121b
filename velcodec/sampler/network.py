"""The local sampler as a torch module: for training, and for rendering with gradients.

It turns samples on a regular grid into a continuous function. A small convolutional network gives
every sample `HIDDEN` biases and a gate; at a point, each of the four surrounding samples gets a
logit from its biases and the point's offset, and the value is their mix,

    v = sum_s softmax(logit_s + log bilinear_s) v_s + gate (cubic B-spline - bilinear).

At a sample's position the bilinear weights of the other three are zero and the B-spline passes
through the sample, so v is the sample. All channels come in four orientations that share weights (a
regular representation of the mirrors of both axes; Cohen and Welling 2016), so that mirrored
samples give the mirrored function. The function is equivariant to scale and shift of the samples:
the network sees only differences divided by local ranges.

`velcodec.sampler.compiled` computes the same on a CPU without torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from velcodec.sampler.form import (
    CHANNELS,
    DILATIONS,
    FAINT,
    GATE_ZERO,
    HIDDEN,
    INPUTS,
    LEAST_LOGIT,
    LOGIT_SCALE,
    ORIENTATIONS,
    RANGES,
    WINDOW,
    SamplerWeights,
)
from velcodec.sampler.weights import W

POLE = math.sqrt(3.0) - 2.0
SPLINE_REACH = 26
"""The inverse B-spline filter is truncated where it falls below 1e-14."""


@dataclass(frozen=True)
class Prepared:
    """Samples (B, nz, nx) with their biases and gate (B, 4 HIDDEN + 1, nz, nx) and B-spline
    coefficients (B, nz + 4, nx + 4).
    """

    samples: Tensor
    features: Tensor
    spline: Tensor


class StoredNetwork(nn.Module, Generic[W]):
    """A network whose parameters are named as its weights are stored."""

    weights: type[W]

    @classmethod
    def from_weights(cls, weights: W) -> Self:
        """The network with stored weights, in float32 on the CPU."""
        network = cls()
        with torch.no_grad():
            for name in weights.SHAPES:
                getattr(network, name).copy_(torch.as_tensor(getattr(weights, name)))
        return network

    def to_weights(self) -> W:
        """The weights as stored."""
        found = {name: getattr(self, name).detach() for name in self.weights.SHAPES}
        return self.weights(**{name: each.cpu().float().numpy() for name, each in found.items()})


class SamplerNetwork(StoredNetwork[SamplerWeights]):
    """The network that learns how samples mix; see the module's docstring."""

    weights = SamplerWeights

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()

        def start(*shape: int, fan: int, gain: float = 1.0) -> nn.Parameter:
            scale = gain * math.sqrt(2.0 / fan)
            return nn.Parameter(torch.randn(shape, generator=generator) * scale)

        c, h, g = CHANNELS, HIDDEN, ORIENTATIONS
        self.lift = start(c, INPUTS, fan=INPUTS)
        self.lift_bias = nn.Parameter(torch.zeros(c))
        self.convs = start(len(DILATIONS), c, g, c, 3, 3, fan=9 * g * c, gain=0.5)
        self.conv_bias = nn.Parameter(torch.zeros(len(DILATIONS), c))
        self.out = start(h, g, c, fan=g * c, gain=0.3)
        self.out_bias = nn.Parameter(torch.zeros(h))
        self.gate = start(c, fan=g * c, gain=0.3)
        self.gate_bias = nn.Parameter(torch.zeros(1))
        self.direction = start(h, 2, fan=2, gain=2.0)
        self.last = start(h, fan=g * h)

    def prepare(self, samples: Tensor, span: Tensor | None = None) -> Prepared:
        """Prepare samples (B, nz, nx), in any units, for `forward`. `span` (B,) is the range of the
        whole model if the samples are part of one.
        """
        if span is None:
            span = samples.amax((1, 2)) - samples.amin((1, 2))
        x = F.relu(F.conv2d(inputs(samples, span), *self._lifted()))
        for base, bias, dilation in zip(self.convs, self.conv_bias, DILATIONS, strict=True):
            weight, full = oriented(base), bias.repeat(ORIENTATIONS)
            padded = F.pad(x, (dilation,) * 4, mode="replicate")
            x = x + F.relu(F.conv2d(padded, weight, full, dilation=dilation))
        weight = oriented(self.out[..., None, None])
        biases = F.conv2d(x, weight, self.out_bias.repeat(ORIENTATIONS))
        gate = F.conv2d(x, self.gate.repeat(ORIENTATIONS)[None, :, None, None])
        features = torch.cat([biases, gate + self.gate_bias], dim=1)
        return Prepared(samples, features, spline_coefficients(samples))

    def forward(self, prepared: Prepared, cells: Tensor) -> Tensor:
        """Values (B, P) at points (B, P, 2), (x, z) in cells: sample i lies at i + 1/2."""
        samples, features = prepared.samples, prepared.features
        nz, nx = samples.shape[1:]
        place = cells - 0.5
        corner = place.floor()
        along = (place - corner).to(samples)
        ix, iz = corner[..., 0].long(), corner[..., 1].long()
        fx, fz = along[..., 0], along[..., 1]
        flat = features.flatten(2).mT
        values = samples.flatten(1)
        direction = self._directions()
        last = self.last.repeat(ORIENTATIONS)
        logits, gates, four, bilinear = [], [], [], []
        for dz in (0, 1):
            for dx in (0, 1):
                number = (iz + dz).clamp(0, nz - 1) * nx + (ix + dx).clamp(0, nx - 1)
                feature = flat.gather(1, number[..., None].expand(-1, -1, flat.shape[2]))
                offset = torch.stack([fx - dx, fz - dz], dim=-1)
                hidden = F.relu(feature[..., :-1] + offset @ direction.T)
                logits.append(LOGIT_SCALE * (hidden @ last))
                gates.append(feature[..., -1])
                four.append(values.gather(1, number))
                bilinear.append((fx if dx else 1.0 - fx) * (fz if dz else 1.0 - fz))
        logit, corners, weight = (torch.stack(each, -1) for each in (logits, four, bilinear))
        below = (logit - logit.amax(-1, keepdim=True)).clamp(min=LEAST_LOGIT)
        raw = weight * torch.exp(below)
        mixed = (raw * corners).sum(-1) / raw.sum(-1)
        gate = gate_of((weight * torch.stack(gates, -1)).sum(-1))
        cubic = spline_values(prepared.spline, ix, iz, fx, fz)
        return mixed + gate * (cubic - (weight * corners).sum(-1))

    def _lifted(self) -> tuple[Tensor, Tensor]:
        """Weights (4 CHANNELS, INPUTS, 1, 1) and biases of the first layer."""
        square, rest = self.lift[:, : WINDOW * WINDOW], self.lift[:, WINDOW * WINDOW :]
        square = square.reshape(-1, WINDOW, WINDOW)
        rows = [
            torch.cat([mirrored(square, g).flatten(1), rest], dim=1) for g in range(ORIENTATIONS)
        ]
        return torch.cat(rows)[..., None, None], self.lift_bias.repeat(ORIENTATIONS)

    def _directions(self) -> Tensor:
        """Contribution (4 HIDDEN, 2) of an offset (x, z) to each bias."""
        signs = torch.tensor([[1, 1], [-1, 1], [1, -1], [-1, -1]]).to(self.direction)
        return (signs[:, None] * self.direction[None]).reshape(-1, 2)


def mirrored(kernel: Tensor, orientation: int) -> Tensor:
    """Kernels [..., z, x] in one of the four orientations: bit 0 mirrors x, bit 1 z."""
    axes = [axis for bit, axis in ((1, -1), (2, -2)) if orientation & bit]
    return kernel.flip(axes) if axes else kernel


def oriented(base: Tensor) -> Tensor:
    """Weights between all orientations, (4 out, 4 in, kz, kx), of a base (out, 4, in, kz, kx)."""
    rows = []
    for g in range(ORIENTATIONS):
        turned = mirrored(base, g)
        rows.append(torch.cat([turned[:, g ^ h] for h in range(ORIENTATIONS)], dim=1))
    return torch.cat(rows)


def gate_of(logit: Tensor) -> Tensor:
    """Weight of the B-spline, 0 to 1; exactly 0 below a logit of about -2."""
    return (torch.sigmoid(2.0 * logit) * (1.0 + GATE_ZERO) - GATE_ZERO).clamp(min=0.0)


def inputs(samples: Tensor, span: Tensor) -> Tensor:
    """Inputs (B, INPUTS, nz, nx) of the network for samples (B, nz, nx): the 5 x 5 surrounding
    samples minus the central one, divided by half of their range; the range of 5 x 5 samples
    divided by that of 13 x 13; that of 3 x 3 divided by that of 5 x 5. Edges repeat the outermost
    sample. Ranges in denominators are increased by FAINT times `span` (B,), the whole range.
    """
    image = samples[:, None]
    nz, nx = samples.shape[1:]
    wide = F.pad(image, (WINDOW // 2,) * 4, mode="replicate")
    shifts = [(dz, dx) for dz in range(WINDOW) for dx in range(WINDOW)]
    around = torch.cat([wide[..., dz : dz + nz, dx : dx + nx] for dz, dx in shifts], dim=1)
    small, middle, large = (window_range(image, size) for size in RANGES)
    faint = torch.where(span > 0, FAINT * span, 1.0)[:, None, None, None]
    near = middle + faint
    return torch.cat([2.0 * (around - image) / near, middle / (large + faint), small / near], dim=1)


def window_range(image: Tensor, size: int) -> Tensor:
    """Range (B, 1, nz, nx) of the size x size samples around each sample."""
    padded = F.pad(image, (size // 2,) * 4, mode="replicate")
    return F.max_pool2d(padded, size, 1) + F.max_pool2d(-padded, size, 1)


def spline_coefficients(samples: Tensor) -> Tensor:
    """Coefficients (B, nz + 4, nx + 4) of the cubic B-spline through the samples, which are
    extended antisymmetrically beyond the edges (straight lines stay straight).
    """
    taps = torch.arange(-SPLINE_REACH, SPLINE_REACH + 1).abs()
    kernel = (math.sqrt(3.0) * POLE ** taps.double()).to(samples)
    middle = samples.mean((1, 2), keepdim=True)
    padded = (samples - middle)[:, None]
    for axis in (-2, -1):
        padded = odd_extension(padded, SPLINE_REACH + 2, axis)
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0] + middle


def odd_extension(values: Tensor, reach: int, axis: int) -> Tensor:
    """`values` with `reach` more on both sides, point-mirrored about the outermost one, repeatedly
    if there are too few to mirror.
    """
    while reach:
        size = values.shape[axis]
        if size == 1:
            return torch.cat([values] * (2 * reach + 1), dim=axis)
        step = min(reach, size - 1)
        first, last = values.narrow(axis, 0, 1), values.narrow(axis, size - 1, 1)
        before = 2.0 * first - values.narrow(axis, 1, step).flip(axis)
        after = 2.0 * last - values.narrow(axis, size - 1 - step, step).flip(axis)
        values, reach = torch.cat([before, values, after], dim=axis), reach - step
    return values


def spline_values(coefficients: Tensor, ix: Tensor, iz: Tensor, fx: Tensor, fz: Tensor) -> Tensor:
    """The B-spline (B, P) at fractions (fx, fz) beyond samples (ix, iz), each (B, P)."""
    width = coefficients.shape[2]
    flat = coefficients.flatten(1)
    weight_x, weight_z = spline_weights(fx), spline_weights(fz)
    total = torch.zeros_like(fx)
    for j in range(4):
        row = torch.zeros_like(fx)
        for i in range(4):
            row = row + weight_x[i] * flat.gather(1, (iz + 1 + j) * width + ix + 1 + i)
        total = total + weight_z[j] * row
    return total


def spline_weights(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of the four coefficients around a fraction t."""
    s = 1.0 - t
    return (
        s**3 / 6.0,
        (4.0 + t * t * (3.0 * t - 6.0)) / 6.0,
        (4.0 + s * s * (3.0 * s - 6.0)) / 6.0,
        t**3 / 6.0,
    )
