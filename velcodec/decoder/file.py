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

from velcodec.formats.decoder_file import DecoderFile, read_decoder_file, write_decoder_file
from velcodec.formats.errors import DecoderFileError
from velcodec.formats.tile_stream import LatentTables

from .base import LATENT_SIZE, NATIVE_SAMPLES, Decoder
from .siren_concat import ConcatConfig, SirenConcat
from .siren_mixture import MixtureConfig, SirenMixture

HALF_PRECISION = ("modulation",)
"""Tensors kept as float16: they are most of the file, and everything is learned after rounding."""

MAX_SIZE, MAX_LAYERS = 1 << 12, 64
"""Numbers of a configuration, and layers, are at most so many; a file's tensors must match."""


def build_decoder(config: dict[str, Any]) -> Decoder:
    """A decoder with fresh weights for a stored configuration."""
    settings = {k: v for k, v in config.items() if k not in ("architecture", "latent")}
    architecture = config.get("architecture")
    try:
        for name, value in settings.items():
            most = MAX_LAYERS if name == "hidden_layers" else MAX_SIZE
            if not isinstance(value, str) and not 0 <= value <= most:
                raise ValueError(f"{name}: found {value!r}, expected 0 to {most}")
        if architecture == SirenMixture.architecture:
            return SirenMixture(MixtureConfig(**settings))
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
    own = {k: v for k, v in file.tensors.items() if not k.startswith("latent.")}
    expected = {k: tuple(v.shape) for k, v in shapes.items()}
    found = {k: v.shape for k, v in own.items()}
    if found != expected:
        odd = sorted(k for k in expected | found if expected.get(k) != found.get(k))
        raise DecoderFileError(
            f"decoder tensor {odd[0]}: found shape {found.get(odd[0])}, "
            f"expected {expected.get(odd[0])}"
        )
    decoder = build_decoder(file.config)
    decoder.load_state_dict({k: _tensor(v).float() for k, v in own.items()})
    tables = {k[7:]: v for k, v in file.tensors.items() if k.startswith("latent.")}
    try:
        decoder.steps = _tensor(tables.pop("steps"))
        decoder.prior_precision = _tensor(tables.pop("prior_precision"))
        default_step = file.config["latent"]["default_step"]
    except (KeyError, TypeError) as error:
        raise DecoderFileError(f"decoder file: latent entry {error} is missing") from error
    found_tables = LatentTables.from_tensors(tables)
    steps, size = found_tables.step_count, found_tables.latent_size
    _check_latent(file, size, steps, default_step)
    decoder.tables, decoder.default_step = found_tables, int(default_step)
    decoder.identity = file.identity()
    decoder.name = str(file.info.get("name", "unnamed"))
    return decoder.freeze_()


def _check_latent(file: DecoderFile, size: int, steps: int, default_step: Any) -> None:
    """DecoderFileError unless what a file says of latents fits its tables and its weights."""
    for name, length in (("latent.steps", steps), ("latent.prior_precision", size)):
        found = file.tensors[name]
        if found.shape != (length,) or found.dtype != np.float32:
            raise DecoderFileError(
                f"decoder tensor {name}: found {found.dtype} of shape {found.shape}, "
                f"expected float32 of shape ({length},)"
            )
    if size != LATENT_SIZE:
        raise DecoderFileError(
            f"decoder tensor latent.classes: found latents of {size}, expected {LATENT_SIZE}"
        )
    if isinstance(default_step, bool) or default_step not in range(steps):
        raise DecoderFileError(
            f"decoder configuration: default_step: found {default_step!r}, expected one of {steps}"
        )


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
