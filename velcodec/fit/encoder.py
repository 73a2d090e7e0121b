"""Amortised encoder: a small convolutional network that guesses a tile's latent in one pass.

Its guess only starts the fit, so it may change without changing what any archive decodes to; it is
kept in a sibling file outside the decoder's identity.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from velcodec.decoder.sizes import LATENT_SIZE, NATIVE_SAMPLES
from velcodec.formats.errors import DecoderFileError


def _down(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1),
        nn.GroupNorm(4, channels_out),
        nn.GELU(),
    )


class Encoder(nn.Module):
    """Normalised tiles (B, nz, nx) to latents (B, 256); any grid is resampled to 70 x 70 first."""

    def __init__(self, channels: int = 24, latent_size: int = LATENT_SIZE) -> None:
        super().__init__()
        c = self.channels = channels
        self.trunk = nn.Sequential(
            nn.Conv2d(3, c, 5, stride=2, padding=2),
            nn.GELU(),
            _down(c, 2 * c),
            _down(2 * c, 4 * c),
            _down(4 * c, 8 * c),
            nn.Flatten(),
            nn.Linear(8 * c * 25, 512),
            nn.GELU(),
            nn.Linear(512, latent_size),
        )

    @property
    def config(self) -> dict[str, int]:
        return {"channels": self.channels}

    def forward(self, tiles: Tensor) -> Tensor:
        n = NATIVE_SAMPLES
        if tiles.shape[1:] != (n, n):
            tiles = F.interpolate(tiles[:, None], size=(n, n), mode="bilinear")[:, 0]
        centre = (2 * torch.arange(n, device=tiles.device, dtype=tiles.dtype) + 1) / n - 1
        z, x = torch.meshgrid(centre, centre, indexing="ij")
        batch = tiles.shape[0]
        return self.trunk(torch.stack([tiles, x.expand(batch, n, n), z.expand(batch, n, n)], dim=1))


def save_encoder(encoder: Encoder, path: Path) -> None:
    """Write an encoder file in half precision: a guess needs no more."""
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in encoder.state_dict().items()}
    save_file(tensors, path, {"channels": str(encoder.channels)})


def read_encoder(path: Path) -> Encoder:
    """The encoder of a file. Raises `DecoderFileError` where it is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            encoder = Encoder(int(file.metadata()["channels"]))
            encoder.load_state_dict({k: file.get_tensor(k).float() for k in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DecoderFileError(f"{path}: encoder file: {error}") from error
    encoder.eval()
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    return encoder
