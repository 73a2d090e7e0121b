"""Decoders to and from files: weights, configuration, latent prior and tables in one frozen whole.

The bytes are `velcodec.formats.decoder_file`'s business; this module knows which tensors a decoder
has. Training makes a new file, nothing changes an old one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from velcodec.decoder.base import Decoder
from velcodec.decoder.siren_concat import ConcatConfig, SirenConcat
from velcodec.decoder.siren_mixture.frozen import (
    check_latent,
    checked_settings,
    is_mixture,
    mixture_config,
    own_weights,
)
from velcodec.decoder.siren_mixture.network import SirenMixture
from velcodec.decoder.sizes import NATIVE_SAMPLES
from velcodec.formats.decoder_file import DecoderFile, read_decoder_file, write_decoder_file
from velcodec.formats.errors import DecoderFileError

HALF_PRECISION = ("modulation",)
"""Tensors kept as float16: they are most of the file, and everything is learned after rounding."""


def build_decoder(config: dict[str, Any]) -> Decoder:
    """A decoder with fresh weights for a stored configuration."""
    settings = checked_settings(config)
    architecture = config.get("architecture")
    try:
        if is_mixture(config):
            return SirenMixture(mixture_config(config))
        if architecture == SirenConcat.architecture:
            return SirenConcat(ConcatConfig(**settings))
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DecoderFileError(f"decoder configuration: {said}") from error
    known = (SirenMixture.architecture, SirenConcat.architecture)
    raise DecoderFileError(f"decoder architecture: found {architecture!r}, expected one of {known}")


def pack(decoder: Decoder, info: dict[str, Any]) -> DecoderFile:
    """The file of a finished decoder. `info` (name, provenance, ...) is outside its identity."""
    if decoder.tables is None:
        raise DecoderFileError("decoder without frequency tables: finish its training first")
    tensors: dict[str, np.ndarray] = {}
    for key, value in decoder.state_dict().items():
        wide = key not in HALF_PRECISION
        tensors[key] = value.detach().cpu().to(torch.float32 if wide else torch.float16).numpy()
    tensors["latent.steps"] = decoder.steps.cpu().float().numpy()
    tensors["latent.prior_precision"] = decoder.prior_precision.cpu().float().numpy()
    tensors |= {f"latent.{k}": v for k, v in decoder.tables.to_tensors().items()}
    latent = {
        "default_step": decoder.default_step,
        "native_samples": NATIVE_SAMPLES,
        "normalisation": "value range of the tile to [-1, 1]",
    }
    return DecoderFile({**decoder.config, "latent": latent}, tensors, info)


def unpack(file: DecoderFile) -> Decoder:
    """The frozen decoder of a file. Raises `DecoderFileError` where a tensor is missing or odd."""
    with torch.device("meta"):  # its shapes alone: the file's own tensors bound what is allocated
        shapes = build_decoder(file.config).state_dict()
    own = own_weights(file, {k: tuple(v.shape) for k, v in shapes.items()})
    decoder = build_decoder(file.config)
    decoder.load_state_dict({k: _tensor(v) for k, v in own.items()})
    decoder.tables, decoder.default_step = check_latent(file)
    decoder.steps = _tensor(file.tensors["latent.steps"])
    decoder.prior_precision = _tensor(file.tensors["latent.prior_precision"])
    decoder.identity = file.identity()
    decoder.name = str(file.info.get("name", "unnamed"))
    return decoder.freeze_()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))


def save_decoder(decoder: Decoder, path: Path, info: dict[str, Any]) -> bytes:
    """Write a decoder file; returns its identity (SHA-256 of its canonical content)."""
    file = pack(decoder, info)
    write_decoder_file(path, file)
    return file.identity()


def read_decoder(path: Path | bytes) -> Decoder:
    """Read one decoder file, given by path or as bytes."""
    return unpack(read_decoder_file(path))
