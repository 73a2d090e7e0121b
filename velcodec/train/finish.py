"""From trained weights to a frozen decoder: latent basis, prior, quantiser steps, tables.

All of it is learned from latents fitted to models that the training never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from velcodec.decoder.base import PRIOR_PER_BIT, Decoder
from velcodec.decoder.file import HALF_PRECISION
from velcodec.decoder.sizes import NATIVE_SAMPLES
from velcodec.fit import Encoder, fit_latents
from velcodec.fit.lm import hessian_of
from velcodec.fit.views import some_points
from velcodec.formats.latent_coding.tables import LatentTables, integer_frequencies
from velcodec.geometry import grid_points
from velcodec.quantise import quantise
from velcodec.train.pool import Chunk
from velcodec.train.rate import LatentRate, laplace_bits, reference_step

COARSEST_STEP = 0.25
STEPS_PER_OCTAVE = 4
STEP_COUNT = 41
DEFAULT_COARSENESS = 0.5
SYMBOL_LIMIT = 24
ROWS_PER_OCTAVE = 4
FIRST_ROW_SCALE = 2.0**-4
ROW_COUNT = 48
CLASSES = 8


@dataclass(frozen=True)
class Fits:
    """Fitted latents (n, D) of fresh models with their targets and contrasts (range / 3000 m/s)."""

    latent: Tensor
    target: Tensor
    contrast: Tensor


def native_points() -> Tensor:
    """Points (4900, 2) of the native grid."""
    return torch.from_numpy(grid_points(NATIVE_SAMPLES, NATIVE_SAMPLES)).float()


def step_ladder() -> Tensor:
    """Geometric ladder of steps, coarsest first."""
    return COARSEST_STEP * 2.0 ** (-torch.arange(STEP_COUNT) / STEPS_PER_OCTAVE)


def nearest_step(step: Tensor) -> Tensor:
    """Index on the ladder that is nearest to each step."""
    index = torch.round(STEPS_PER_OCTAVE * torch.log2(COARSEST_STEP / step))
    return index.long().clamp(0, STEP_COUNT - 1)


def absorb_training_steps_(decoder: Decoder, encoder: Encoder, rate: LatentRate) -> None:
    """Measure latents in units of the trained steps; the prior starts as the trained Laplace's."""
    step = rate.log_step.detach().exp()
    decoder.reparametrise_(torch.diag(step))
    _absorb_into_encoder(encoder, torch.diag(1 / step))
    scale = rate.log_scale.detach().exp()
    decoder.prior_precision = 1 / (2 * scale.square())


@torch.no_grad()
def _absorb_into_encoder(encoder: Encoder, change: Tensor) -> None:
    """Make the encoder's guess come out as change @ guess."""
    last = encoder.trunk[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight.copy_((change.double() @ last.weight.double()).float())
    last.bias.copy_((change.double() @ last.bias.double()).float())


def fit_chunk(
    decoder: Decoder, encoder: Encoder, chunk: Chunk, rate_weight: float,
    report: Callable[[int], None] = lambda done: None,
) -> Fits:  # fmt: skip
    """Fit the chunk's models, the prior standing for bits at `rate_weight` each."""
    points = native_points()
    latents = []
    for grids, contrast in zip(chunk.grids.split(64), chunk.contrast.split(64), strict=True):
        weight = PRIOR_PER_BIT * rate_weight / contrast.clamp(0.05, 2.0).square()
        latents.append(
            fit_latents(
                decoder, grids.flatten(1), points, encoder=encoder,
                grid=(NATIVE_SAMPLES, NATIVE_SAMPLES),
                precision=weight,
            )
        )  # fmt: skip
        report(sum(map(len, latents)))
    return Fits(torch.cat(latents), chunk.grids.flatten(1), chunk.contrast)


def change_basis_(decoder: Decoder, encoder: Encoder | None, fits: Fits) -> Fits:
    """Make one step mean one output error along every axis, axes in order of importance.

    The average Gauss-Newton Hessian H becomes the identity and the fitted latents' second moment
    diagonal: the axes are the eigenvectors of H^1/2 E[y y^T] H^1/2. Models count by the square of
    their contrast, as their errors in m/s do.
    """
    points = native_points()
    some = points[some_points(len(points), 1225, 0, points.device)]
    hessian = torch.zeros(decoder.latent_size, decoder.latent_size, dtype=torch.float64)
    weights = fits.contrast.square() / fits.contrast.square().mean()
    for latent, weight in zip(fits.latent.split(64), weights.split(64), strict=True):
        hessian += (hessian_of(decoder, some, latent) * weight[:, None, None]).sum(0).double()
    hessian /= len(fits.latent)
    floor = 1e-6 * hessian.diagonal().mean()
    moment = (fits.latent * fits.contrast[:, None]).double()
    value, vector = torch.linalg.eigh(hessian)
    value = value.clamp(min=0.0) + floor
    root = vector * value.sqrt() @ vector.T
    inverse = vector / value.sqrt() @ vector.T
    _, axes = torch.linalg.eigh(root @ (moment.T @ moment) @ root)
    basis = inverse @ axes.flip(1)
    decoder.reparametrise_(basis)
    back = torch.linalg.inv(basis)
    if encoder is not None:
        _absorb_into_encoder(encoder, back)
    return Fits((fits.latent.double() @ back.T).float(), fits.target, fits.contrast)


def round_weights_(decoder: Decoder) -> None:
    """Give the weights the precision that the file keeps, so that all that follows sees them."""
    with torch.no_grad():
        for key, value in decoder.state_dict().items():
            if key in HALF_PRECISION:
                value.copy_(value.half().float())


def cluster_scales(latent: Tensor, step: Tensor, rounds: int = 25) -> tuple[Tensor, Tensor]:
    """Laplace scales (C, D) of record classes and each class's share (C,), by hard clustering.

    `latent` (n, D) with the step (n,) at which each is coded: a record goes to the class that codes
    it in the fewest bits at that step.
    """
    size = latent.abs()
    richness = (size / step[:, None] > 0.5).sum(1)
    owner = torch.empty(len(latent), dtype=torch.long)
    owner[richness.argsort()] = torch.arange(len(latent)) * CLASSES // len(latent)
    coefficients = latent / step[:, None]
    share = torch.ones(CLASSES) / CLASSES
    overall = size.mean(0)
    for _ in range(rounds):
        scales, share = [], torch.zeros(CLASSES)
        for c in range(CLASSES):
            mine = size[owner == c]
            strength = 8.0
            scales.append((mine.sum(0) + strength * overall) / (len(mine) + strength))
            share[c] = (len(mine) + 1) / (len(latent) + CLASSES)
        table = torch.stack(scales)
        bits = torch.stack([laplace_bits(coefficients, s / step[:, None]).sum(1) for s in table])
        owner = (bits - torch.log2(share)[:, None]).argmin(0)
    return table, share


def _integer_row(probability: np.ndarray) -> np.ndarray:
    """A frequency row for probabilities, as the table keeps it."""
    return integer_frequencies(np.rint(probability / probability.sum() * 1e9)).astype(np.uint16)


def laplace_rows(counts: np.ndarray | None = None) -> np.ndarray:
    """Frequency rows (T, 2K + 2) for Laplace scales on a geometric ladder.

    `counts` (T, 2K + 2) of symbols seen under each row pull it to what rounding really does.
    """
    rows = []
    for t in range(ROW_COUNT):
        scale = torch.tensor(FIRST_ROW_SCALE * 2.0 ** (t / ROWS_PER_OCTAVE))
        level = torch.arange(-SYMBOL_LIMIT, SYMBOL_LIMIT + 1).float()
        pmf = 2.0 ** -laplace_bits(level, scale)
        tail = torch.exp(-(SYMBOL_LIMIT + 0.5) / scale).clamp(min=1e-6)
        row = torch.cat([pmf, tail[None]]).double().numpy()
        row /= row.sum()
        if counts is not None:
            symmetric = counts[t] + np.concatenate([counts[t][-2::-1], counts[t][-1:]])
            row = (symmetric + 400 * row) / (symmetric.sum() + 400)
        rows.append(_integer_row(row))
    return np.stack(rows)


def class_rows(scales: Tensor, steps: Tensor) -> np.ndarray:
    """Row numbers uint8 (C, S, D) for Laplace scales (C, D) at every step (S,)."""
    ratio = scales[:, None] / steps[None, :, None]
    row = torch.round(ROWS_PER_OCTAVE * torch.log2(ratio / FIRST_ROW_SCALE))
    return row.clamp(0, ROW_COUNT - 1).to(torch.uint8).numpy()


def learn_tables_(
    decoder: Decoder, fits: Fits, rate_weight: float, coarseness: tuple[float, ...],
    report: Callable[[int], None] = lambda done: None,
) -> None:  # fmt: skip
    """Prior and tables: clustered Laplace scales, then rows from what rounding really gives."""
    points = native_points()
    decoder.steps = step_ladder()
    step = reference_step(rate_weight)
    decoder.default_step = int(nearest_step(torch.tensor(step * DEFAULT_COARSENESS)))
    reference = step / fits.contrast.clamp(0.05, 2.0)
    scales, share = cluster_scales(fits.latent, reference)
    decoder.prior_precision = 1 / (2 * fits.latent.abs().mean(0).square()).clamp(min=1e-8)
    frequencies = _integer_row(share.numpy().astype(float))
    classes = class_rows(scales, decoder.steps)
    decoder.tables = LatentTables(laplace_rows(), classes, frequencies)
    counts = np.zeros((ROW_COUNT, 2 * SYMBOL_LIMIT + 2))
    done = 0
    for number, some in enumerate(torch.arange(len(fits.latent)).split(64)):
        gain = coarseness[number % len(coarseness)]
        index = nearest_step(gain * reference[some])
        found = quantise(decoder, fits.latent[some], fits.target[some], points, index)
        owner = torch.stack(
            [laplace_bits(found.float(), s / decoder.steps[index][:, None]).sum(1) for s in scales]
        ).argmin(0)
        rows = classes[owner.numpy(), index.numpy()]
        symbol = found.numpy().copy()
        symbol = np.where(np.abs(symbol) > SYMBOL_LIMIT, SYMBOL_LIMIT + 1, symbol) + SYMBOL_LIMIT
        np.add.at(counts, (rows.ravel(), symbol.ravel()), 1)
        done += len(some)
        report(done)
    decoder.tables = LatentTables(laplace_rows(counts), classes, frequencies)
