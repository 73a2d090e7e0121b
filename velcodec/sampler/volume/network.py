"""The volumes' sampler as a torch module: for training, and for rendering with gradients.

It is `velcodec.sampler.network` in three dimensions. A small network gives every sample 32 biases
and a gate; at a point, each of the eight surrounding samples gets a logit from its biases and the
point's offset, and the value is their mix,

    v = sum_s softmax(logit_s + log trilinear_s) v_s + gate (cubic B-spline - trilinear).

All channels come in eight orientations that share weights, so that mirrored samples give the
mirrored field. A layer sees a sample and two neighbours along each axis; a few such layers reach
all around at a quarter of the cost of 3 x 3 x 3 kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from velcodec.sampler.form import FAINT, LEAST_LOGIT, LOGIT_SCALE
from velcodec.sampler.network import (
    POLE,
    SPLINE_REACH,
    StoredNetwork,
    gate_of,
    odd_extension,
    spline_weights,
)
from velcodec.sampler.volume.form import (
    CHANNELS,
    DILATIONS,
    HIDDEN,
    INPUTS,
    ORIENTATIONS,
    RANGES,
    TAPS,
    WINDOW,
    VolumeWeights,
    mirrored_taps,
    signs,
)


@dataclass(frozen=True)
class Prepared:
    """Samples (B, nz, ny, nx) with their biases and gate (B, 33, nz, ny, nx) and B-spline
    coefficients (B, nz + 4, ny + 4, nx + 4).
    """

    samples: Tensor
    features: Tensor
    spline: Tensor


class VolumeNetwork(StoredNetwork[VolumeWeights]):
    """The network that learns how samples mix; see the module's docstring."""

    weights = VolumeWeights

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()

        def start(*shape: int, fan: int, gain: float = 1.0) -> nn.Parameter:
            scale = gain * math.sqrt(2.0 / fan)
            return nn.Parameter(torch.randn(shape, generator=generator) * scale)

        c, h, g = CHANNELS, HIDDEN, ORIENTATIONS
        self.lift = start(c, INPUTS, fan=INPUTS)
        self.lift_bias = nn.Parameter(torch.zeros(c))
        self.layers = start(len(DILATIONS), c, g, c, TAPS, fan=TAPS * g * c, gain=0.5)
        self.layer_bias = nn.Parameter(torch.zeros(len(DILATIONS), c))
        self.out = start(h, g, c, fan=g * c, gain=0.3)
        self.out_bias = nn.Parameter(torch.zeros(h))
        self.gate = start(c, fan=g * c, gain=0.3)
        self.gate_bias = nn.Parameter(torch.zeros(1))
        self.direction = start(h, 3, fan=3, gain=2.0)
        self.last = start(h, fan=g * h)

    def prepare(self, samples: Tensor, span: Tensor | None = None) -> Prepared:
        """Prepare samples (B, nz, ny, nx), in any units, for `forward`. `span` (B,) is the range of
        the whole volume if the samples are part of one.
        """
        if span is None:
            span = samples.amax((1, 2, 3)) - samples.amin((1, 2, 3))
        x = F.relu(F.conv3d(inputs(samples, span), *self._lifted()))
        for base, bias, dilation in zip(self.layers, self.layer_bias, DILATIONS, strict=True):
            full = bias.repeat(ORIENTATIONS)[:, None, None, None]
            x = x + F.relu(_crossed(x, oriented(base), dilation) + full)
        weight = oriented(self.out[..., None])
        features = torch.cat(
            [
                F.conv3d(x, weight[..., None, None], self.out_bias.repeat(ORIENTATIONS)),
                F.conv3d(
                    x, self.gate.repeat(ORIENTATIONS)[None, :, None, None, None], self.gate_bias
                ),
            ],
            dim=1,
        )
        return Prepared(samples, features, spline_coefficients(samples))

    def forward(self, prepared: Prepared, cells: Tensor) -> Tensor:
        """Values (B, P) at points (B, P, 3), (x, y, z) in cells: sample i lies at i + 1/2."""
        samples, features = prepared.samples, prepared.features
        sizes = samples.shape[1:]
        place = cells - 0.5
        corner = place.floor()
        along = (place - corner).to(samples)
        first = corner.long()
        flat, values = features.flatten(2).mT, samples.flatten(1)
        turned = torch.as_tensor(signs()).to(self.direction)
        direction = (turned[:, None] * self.direction[None]).reshape(-1, 3)
        last = self.last.repeat(ORIENTATIONS)
        logits, gates, corners, weights = [], [], [], []
        for number in range(8):
            past = torch.tensor([number & 1, number >> 1 & 1, number >> 2 & 1], device=cells.device)
            at = [(first[..., a] + past[a]).clamp(0, sizes[2 - a] - 1) for a in range(3)]
            row = (at[2] * sizes[1] + at[1]) * sizes[2] + at[0]
            feature = flat.gather(1, row[..., None].expand(-1, -1, flat.shape[2]))
            hidden = F.relu(feature[..., :-1] + (along - past) @ direction.T)
            logits.append(LOGIT_SCALE * (hidden @ last))
            gates.append(feature[..., -1])
            corners.append(values.gather(1, row))
            weights.append(torch.where(past > 0, along, 1.0 - along).prod(-1))
        logit, corner_values, weight = (torch.stack(e, -1) for e in (logits, corners, weights))
        below = (logit - logit.amax(-1, keepdim=True)).clamp(min=LEAST_LOGIT)
        raw = weight * torch.exp(below)
        mixed = (raw * corner_values).sum(-1) / raw.sum(-1)
        gate = gate_of((weight * torch.stack(gates, -1)).sum(-1))
        cubic = spline_values(prepared.spline, first, along)
        return mixed + gate * (cubic - (weight * corner_values).sum(-1))

    def _lifted(self) -> tuple[Tensor, Tensor]:
        """The first layer's weight (8 C, INPUTS, 1, 1, 1) and bias (8 C,)."""
        cube, rest = self.lift[:, : WINDOW**3], self.lift[:, WINDOW**3 :]
        cube = cube.reshape(-1, WINDOW, WINDOW, WINDOW)
        rows = [
            torch.cat([_mirrored(cube, g).flatten(1), rest], dim=1) for g in range(ORIENTATIONS)
        ]
        return torch.cat(rows)[..., None, None, None], self.lift_bias.repeat(ORIENTATIONS)


def _mirrored(kernel: Tensor, orientation: int) -> Tensor:
    """Kernels [..., z, y, x] in one of the orientations."""
    axes = [-1 - axis for axis in range(3) if orientation >> axis & 1]
    return kernel.flip(axes) if axes else kernel


def oriented(base: Tensor) -> Tensor:
    """Weights between all orientations, (8 out, 8 in, taps), of a base (out, 8, in, taps)."""
    rows = []
    for g in range(ORIENTATIONS):
        turned = base[..., mirrored_taps(g)] if base.shape[-1] == TAPS else base
        rows.append(torch.cat([turned[:, g ^ h] for h in range(ORIENTATIONS)], dim=1))
    return torch.cat(rows)


def _crossed(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """A stencil's sum, `weight` (out, in, 7), with the outermost samples repeated beyond edges."""
    total: Tensor | None = None
    for axis in range(3):
        taps = weight[..., [1 + 2 * axis, 0, 2 + 2 * axis]]
        if axis:
            taps = taps * torch.tensor([1.0, 0.0, 1.0]).to(taps)
        shape, spread, pad = [1, 1, 1], [1, 1, 1], [0] * 6
        shape[2 - axis], spread[2 - axis] = 3, dilation
        pad[2 * axis] = pad[2 * axis + 1] = dilation
        wide = F.pad(x, pad, mode="replicate")
        part = F.conv3d(wide, taps.reshape(*taps.shape[:2], *shape), dilation=spread)
        total = part if total is None else total + part
    assert total is not None
    return total


def inputs(samples: Tensor, span: Tensor) -> Tensor:
    """Inputs (B, INPUTS, nz, ny, nx) of the network for samples (B, nz, ny, nx), as those of
    `velcodec.sampler.network.inputs`, over cubes.
    """
    image = samples[:, None]
    sizes = samples.shape[1:]
    wide = F.pad(image, (WINDOW // 2,) * 6, mode="replicate")
    around = torch.cat(
        [
            wide[..., k : k + sizes[0], j : j + sizes[1], i : i + sizes[2]]
            for k in range(WINDOW)
            for j in range(WINDOW)
            for i in range(WINDOW)
        ],
        dim=1,
    )
    small, middle, large = (window_range(image, size) for size in RANGES)
    faint = torch.where(span > 0, FAINT * span, 1.0)[:, None, None, None, None]
    near = middle + faint
    return torch.cat([2.0 * (around - image) / near, middle / (large + faint), small / near], dim=1)


def window_range(image: Tensor, size: int) -> Tensor:
    """Range (B, 1, nz, ny, nx) of the cube of `size` samples a side around each sample."""
    padded = F.pad(image, (size // 2,) * 6, mode="replicate")
    return F.max_pool3d(padded, size, 1) + F.max_pool3d(-padded, size, 1)


def spline_coefficients(samples: Tensor) -> Tensor:
    """Coefficients (B, nz + 4, ny + 4, nx + 4) of the cubic B-spline through the samples, extended
    antisymmetrically beyond the edges.
    """
    taps = torch.arange(-SPLINE_REACH, SPLINE_REACH + 1).abs()
    kernel = (math.sqrt(3.0) * POLE ** taps.double()).to(samples)
    middle = samples.mean((1, 2, 3), keepdim=True)
    values = (samples - middle)[:, None]
    for axis in (-3, -2, -1):
        shape = [1, 1, 1, 1, 1]
        shape[axis] = -1
        values = F.conv3d(odd_extension(values, SPLINE_REACH + 2, axis), kernel.view(shape))
    return values[:, 0] + middle


def spline_values(coefficients: Tensor, first: Tensor, along: Tensor) -> Tensor:
    """The B-spline (B, P) at fractions `along` (B, P, 3) beyond samples `first` (B, P, 3)."""
    sizes = coefficients.shape[1:]
    flat = coefficients.flatten(1)
    wx, wy, wz = (spline_weights(along[..., axis]) for axis in range(3))
    x, y, z = (first[..., axis] + 1 for axis in range(3))

    def weighted(weights: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
        return sum((w * v for w, v in zip(weights, values, strict=True)), torch.zeros(()).to(along))

    return weighted(
        wz,
        [
            weighted(
                wy,
                [
                    weighted(
                        wx,
                        [
                            flat.gather(1, ((z + k) * sizes[1] + y + j) * sizes[2] + x + i)
                            for i in range(4)
                        ],
                    )
                    for j in range(4)
                ],
            )
            for k in range(4)
        ],
    )
