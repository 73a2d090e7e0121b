"""Latents fitted to the tiles of models in memory, as the encoder fits them."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from velcodec.decode.tiling import Tiling
from velcodec.decoder import Decoder, load_encoder
from velcodec.decoder.points import grid_points
from velcodec.fit import fit_latents
from velcodec.parallel import repeatable


@repeatable()
def fitted(decoder: Decoder, models: Tensor, tiling: Tiling) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (models, tiles, D) and ends (models, tiles) in m/s of models (models, nz, nx) in m/s.

    Each tile's range is that of its samples. Fits compute in float32 on the decoder's device.
    """
    network = decoder
    if next(decoder.parameters()).dtype != torch.float32:
        network = copy.deepcopy(decoder).float()
    array = models.cpu().numpy()
    tiles = torch.from_numpy(np.concatenate([tiling.cut(model) for model in array]))
    low, high = tiles.amin((1, 2)), tiles.amax((1, 2))
    varied = high > low
    latents = torch.zeros(len(tiles), network.latent_size)
    if bool(varied.any()):
        start, end = low[varied, None], high[varied, None]
        target = 2 * (tiles[varied].flatten(1) - start) / (end - start) - 1
        grid = tiling.tile_shape
        points = grid_points(*grid, device=network.device)
        target = target.float().to(network.device)
        encoder = load_encoder(network)
        found = fit_latents(network, target, points, encoder=encoder, grid=grid)
        latents[varied] = found.cpu()
    shape = len(array), tiling.tiles
    return latents.view(*shape, -1), low.view(shape), high.view(shape)
