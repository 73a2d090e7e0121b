"""Fit the latents of tiles: amortised start, then test-time optimisation."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.decoder.encoder import Encoder
from velcodec.fit.adam import adam
from velcodec.fit.lm import LMOptions, block_sizes, descend
from velcodec.formats.errors import InputDtypeError, InputShapeError, OptionError
from velcodec.parallel import by_parts

Method = Literal["lm", "adam"]


@torch.no_grad()
def amortised_latents(
    decoder: Decoder, encoder: Encoder | None, target: Tensor, grid: tuple[int, int] | None
) -> Tensor:
    """The encoder's guess (B, D); without encoder or grid zeros, the prior's mean."""
    if encoder is None or grid is None:
        return target.new_zeros(len(target), decoder.latent_size)
    parts = [encoder(tiles) for tiles in target.view(-1, *grid).split(64)]
    return torch.cat(parts)


def _check_tensors(
    decoder: Decoder,
    target: Tensor,
    points: Tensor,
    grid: tuple[int, int] | None,
    precision: Tensor | None,
) -> None:
    """Raise InputDtypeError or InputShapeError unless the tensors are as `fit_latents` says."""
    like = next(decoder.parameters())
    for name, tensor in {"target": target, "points": points, "precision": precision}.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise InputDtypeError(
                f"{name}: found {type(tensor).__name__}, expected a torch tensor of {like.dtype}"
            )
        if (tensor.dtype, tensor.device) != (like.dtype, like.device):
            raise InputDtypeError(
                f"{name}: found {tensor.dtype} on {tensor.device}, "
                f"expected {like.dtype} on {like.device} like the decoder"
            )
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputShapeError(
            f"points: found shape {tuple(points.shape)}, expected (P, 2) with columns x, z"
        )
    if target.ndim != 2 or target.shape[1] != len(points):
        raise InputShapeError(
            f"target: found shape {tuple(target.shape)}, expected (B, {len(points)}): "
            f"a value for each of {len(points)} points"
        )
    if grid is not None and grid[0] * grid[1] != len(points):
        raise InputShapeError(
            f"grid: found {grid[0]} x {grid[1]} samples, expected as many as {len(points)} points"
        )
    if precision is not None and precision.shape != target.shape[:1]:
        raise InputShapeError(
            f"precision: found shape {tuple(precision.shape)}, expected ({len(target)},)"
        )


def fit_latents(
    decoder: Decoder,
    target: Tensor,
    points: Tensor,
    *,
    method: Method = "lm",
    encoder: Encoder | None = None,
    grid: tuple[int, int] | None = None,
    precision: Tensor | None = None,
    options: LMOptions | None = None,
    enough: Tensor | None = None,
) -> Tensor:
    """Latents (B, latent_size) whose rendering is closest to `target`.

    `target` (B, P): normalised velocity at `points` (P, 2), (x, z) in [-1, 1]^2. `grid` (nz, nx)
    says that the points are a grid, row by row, which `encoder` needs. `precision` (B,) weights the
    Gaussian prior against the mean squared error (default: the decoder's); tiles whose error is
    below `enough` (B,) are not fitted further. Tensors have the decoder's dtype and device. Raises
    OptionError for an unknown `method`; InputShapeError and InputDtypeError for other tensors.
    Source: docs/decoder.md, "Fitting".
    """
    if method not in get_args(Method):
        raise OptionError(f"fit method: found {method!r}, expected one of {get_args(Method)}")
    _check_tensors(decoder, target, points, grid, precision)
    if precision is None:
        default = torch.full((len(target),), decoder.default_step, device=target.device)
        precision = decoder.prior_weight(default)
    weight = precision[:, None] * decoder.prior_precision

    def fitted(tiles: slice) -> Tensor:
        start = amortised_latents(decoder, encoder, target[tiles], grid)
        aim = target[tiles], points, weight[tiles]
        if method == "adam":
            return adam(decoder, start, *aim)
        lm = options or LMOptions()
        near = None if enough is None else enough[tiles]
        return descend(decoder, adam(decoder, start, *aim, lm.adam_steps), *aim, lm, enough=near)

    return by_parts(fitted, len(target), block_sizes(points)[0], target.device)


__all__ = ["Encoder", "LMOptions", "Method", "amortised_latents", "fit_latents"]
