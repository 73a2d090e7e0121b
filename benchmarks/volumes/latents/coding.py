"""Fit, quantise and measure the latents of generated volumes, and their stored samples."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor

import velcodec
from velcodec import synth
from velcodec.decoder.base import PRIOR_PER_BIT, Decoder
from velcodec.fit.adam import adam
from velcodec.fit.lm import LMOptions, descend
from velcodec.metrics import psnr, psnr_of_mse
from velcodec.quantise import BitCosts, Passes, dequantise, quantise
from velcodec.train import finish as finish_2d
from velcodec.train.rate import LatentRate, reference_step

from .decoder import GRID, VolumeEncoder, VolumeMixture
from .training import BRICK, POOL_POINTS, RATE_WEIGHT, draw_brick

FRESH_SEED = 2
"""Of the bricks that `finish` fits."""

SIDE = 64
"""Samples along a side of a brick."""

BRICK_BYTES = 12
"""Of each brick beside its coefficients: range 3, step and class 1, length and checksum 8, which
records of samples have too."""

FIT_POINTS, ERROR_POINTS, FINE_POINTS = 4096, 16384, 2048
"""Samples of a brick that the fit sees; those that errors are measured at; and those of a grid
twice as fine."""

COARSENESSES = (0.12, 0.25, 0.5, 1.0, 2.0)
FIRST_FIT = LMOptions(stages=((640, 6), (1225, 2)), full_steps=2)
NEXT_FIT = LMOptions(stages=((640, 3),), full_steps=2)
ADAM_STEPS = 100
PASSES = Passes(views=4, full=2)
SIDES = (128, 64, 32)
ASKED_DB = (20.0, 25.0, 30.0, 35.0)


Row = dict[str, float]
"""Bytes a brick, PSNR (dB) at the samples and at twice the grid, decoded samples a second, ..."""


def fit(
    decoder: VolumeMixture, latent: Tensor, aim: tuple[Tensor, Tensor], contrast: Tensor,
    coarseness: float, first: bool = True,
) -> Tensor:  # fmt: skip
    """Latents (B, 256) of bricks with target (B, P) at points (P, 3), fitted as those of tiles
    are, from those given.
    """
    price = PRIOR_PER_BIT * RATE_WEIGHT * coarseness**2 / contrast.clamp(0.05, 2.0).square()
    precision = price[:, None] * decoder.prior_precision
    if not first:
        return descend(decoder, latent, *aim, precision, NEXT_FIT)
    latent = adam(decoder, latent, *aim, precision, ADAM_STEPS)
    return descend(decoder, latent, *aim, precision, FIRST_FIT)


@torch.no_grad()
def finished(saved: dict[str, Any], count: int) -> tuple[VolumeMixture, VolumeEncoder]:
    """A checkpoint's decoder with basis, prior and tables from `count` fresh bricks."""
    decoder, encoder, rate = VolumeMixture(), VolumeEncoder(), LatentRate()
    for name, module in {"decoder": decoder, "encoder": encoder, "rate": rate}.items():
        module.load_state_dict(saved[name])
    decoder.freeze_()
    finish_2d.absorb_training_steps_(decoder, encoder, rate)
    points = torch.rand(POOL_POINTS, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawn = [draw_brick(FRESH_SEED, number, points) for number in range(count)]
    grids, _, target, contrast = (torch.stack(each) for each in zip(*drawn, strict=True))
    latent = torch.cat([
        fit(decoder, encoder(grids[some]), (target[some], points), contrast[some], 0.4)
        for some in torch.arange(count).split(8)
    ])  # fmt: skip
    fits = finish_2d.Fits(latent, target, contrast)
    # The points stand for those of the native grid.
    with mock.patch.object(finish_2d, "native_points", return_value=points):
        fits = finish_2d.change_basis_(decoder, encoder, fits)
        finish_2d.learn_tables_(decoder, fits, RATE_WEIGHT, (0.25, 0.5, 1.0, 2.0))
    return decoder, encoder


@dataclass(frozen=True)
class Cut:
    """The bricks of a generated volume: their corners in cells (B, 3), (x, y, z), the low ends and
    spans (B, 1) of their samples in m/s, and what the encoder reads.
    """

    volume: Any
    corners: Tensor
    low: Tensor
    span: Tensor
    grids: Tensor

    @classmethod
    def of(cls, family: str, seed: int, number: int) -> Cut:
        """All eight bricks of a volume, 64^3 of 128^3 samples each."""
        volume = synth.draw_volumes(family, seed, number, 1)
        samples = volume.render(2 * SIDE, 2 * SIDE, 2 * SIDE)[0]
        cut = samples.view(2, SIDE, 2, SIDE, 2, SIDE).permute(0, 2, 4, 1, 3, 5).reshape(8, SIDE**3)
        low, span = cut.amin(1, keepdim=True), cut.amax(1, keepdim=True) - cut.amin(1, keepdim=True)
        corners = torch.tensor([[i, j, k] for k in (0, 1) for j in (0, 1) for i in (0, 1)]) * BRICK
        each = ((torch.arange(GRID) + 0.5) * (SIDE / GRID)).long()
        grids = cut.view(8, SIDE, SIDE, SIDE)[:, each][:, :, each][:, :, :, each]
        scale = 2 / span.clamp(min=1e-3)[..., None, None]
        return cls(volume.each[0], corners, low, span, (grids - low[..., None, None]) * scale - 1)

    def truth(self, points: Tensor) -> Tensor:
        """Velocity (B, P) in m/s at points (P, 3) of every brick."""
        at = self.corners[:, None] + (points + 1) * (BRICK / 2)
        return torch.stack([self.volume.velocity(*each.T.contiguous()) for each in at])

    def decoded(self, decoder: Decoder, latent: Tensor, points: Tensor) -> Tensor:
        """What latents give there."""
        parts = [decoder.values(some, latent).clamp(-1, 1) for some in points.split(4096)]
        return self.low + (torch.cat(parts, dim=1) + 1) * (self.span / 2)


def cell_centres(side: int, count: int) -> Tensor:
    """`count` of a brick's cell centres (count, 3), drawn, for `side` samples along each axis."""
    cells = torch.randint(side, (count, 3), generator=torch.Generator().manual_seed(side))
    return (2 * cells + 1) / side - 1


@torch.no_grad()
def latents_of(decoder: VolumeMixture, encoder: VolumeEncoder, cut: Cut) -> list[Row]:
    """A volume's latents at every coarseness."""
    assert decoder.tables is not None
    points = cell_centres(SIDE, FIT_POINTS)
    target = (cut.truth(points) - cut.low) * (2 / cut.span.clamp(min=1e-3)) - 1
    contrast, costs = cut.span[:, 0] / 3000.0, BitCosts(decoder.tables)
    varied = torch.nonzero(contrast > 0)[:, 0]
    target, contrast, whole = target[varied], contrast[varied], torch.zeros(8, Decoder.latent_size)
    latent, out = encoder(cut.grids[varied]), list[Row]()
    for coarseness in COARSENESSES:
        started = time.process_time()
        latent = fit(decoder, latent, (target, points), contrast, coarseness, not out)
        step = coarseness * reference_step(RATE_WEIGHT) / contrast.clamp(0.05, 2.0)
        index = finish_2d.nearest_step(step)
        integers = quantise(decoder, latent, target, points, index, PASSES)
        bits = float(costs.lengths(integers.numpy(), index.numpy()).sum())
        whole[varied] = dequantise(decoder, integers, index)
        row = {"bytes": BRICK_BYTES + bits / 64, "encode": time.process_time() - started}
        for name, side, count in (("psnr", SIDE, ERROR_POINTS), ("twice", 2 * SIDE, FINE_POINTS)):
            at = cell_centres(side, count)
            started = time.process_time()
            decoded = cut.decoded(decoder, whole, at)
            row |= {"samples_s": decoded.numel() / (time.process_time() - started)}
            error = decoded - cut.truth(at)
            row[name] = psnr_of_mse(float(error.double().square().mean()))
        out.append(row | seams(decoder, whole, cut))
    return out


def seams(decoder: Decoder, latent: Tensor, cut: Cut) -> dict[str, float]:
    """RMS error in m/s of the difference of two neighbours along an axis, where a face lies between
    them and half a brick further on.
    """
    across = torch.rand(1024, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    errors: dict[str, list[Tensor]] = {"face": [], "inside": []}
    for axis in range(3):
        near, far = (1 - 1 / SIDE), (1 / SIDE)
        sides = []
        for depth in (near, -near, -far, far):
            points = torch.cat([across, torch.full((1024, 1), depth)], dim=1).roll(axis + 1, 1)
            sides.append(cut.decoded(decoder, latent, points) - cut.truth(points))
        last, first, before, after = (s.view(2, 2, 2, -1).movedim(2 - axis, 0) for s in sides)
        errors["face"].append(first[1] - last[0])
        errors["inside"].append((after - before)[0])
    return {name: float(torch.cat(e).square().mean().sqrt()) for name, e in errors.items()}


def samples_of(cut: Cut, side: int) -> list[Row]:
    """A volume's stored samples at every PSNR asked. With a `side` below the volume's, those of a
    grid of so many samples along each axis, which is rendered at the volume's.
    """
    whole = 2 * SIDE
    axes = (torch.arange(whole) + 0.5) * (BRICK / SIDE)
    x, y, z = axes[None, None], axes[None, :, None], axes[:, None, None]
    volume = cut.volume.velocity(x, y, z).expand(whole, whole, whole).contiguous()
    kept, out = volume, list[Row]()
    if side < whole:
        # The (lower) median of the eight samples in the middle of each cell: no values are new.
        first = torch.arange(side) * (whole // side) + whole // side // 2 - 1
        middle = torch.stack([first, first + 1], dim=1).flatten()
        middles = volume[middle][:, middle][:, :, middle].view(side, 2, side, 2, side, 2)
        kept = middles.permute(0, 2, 4, 1, 3, 5).reshape(side, side, side, 8).median(-1).values
    for asked in ASKED_DB:
        data = velcodec.compress(kept.numpy(), volume=True, units="m/s", psnr=asked)
        with velcodec.open(data) as archive:
            started = time.process_time()
            decoded = archive.decode(0, res=(whole,) * 3)
            rate = decoded.size / (time.process_time() - started)
            level = psnr(volume.numpy(), decoded)
            out.append({"bytes": archive.record_bytes[0] / 8, "samples_s": rate, "psnr": level})
    return out
