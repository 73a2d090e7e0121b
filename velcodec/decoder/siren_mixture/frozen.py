"""A frozen `siren-mixture` as NumPy arrays: all that decoding on a CPU needs, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.decoder import registry
from velcodec.decoder.sizes import LATENT_SIZE, MIXTURE, MixtureConfig
from velcodec.formats.arrays import Float32
from velcodec.formats.decoder_file import DecoderFile
from velcodec.formats.errors import DecoderFileError
from velcodec.formats.latent_coding.tables import LatentTables

MAX_SIZE, MAX_LAYERS = 1 << 12, 64
"""Upper limits of the sizes in a configuration and of its layers; a file's tensors must match."""

MAX_WEIGHTS, MAX_OF_MODEL, MAX_GATING = 1 << 22, 1 << 18, 1 << 25
"""A `siren-mixture` has at most so many weights, gives so many to each model, which every point is
multiplied by, and takes so many multiplications to gate them: some 20 times what shipped ones do.
"""

LEAST_SIZES = {
    "width": 1,
    "hidden_layers": 0,
    "gates": 1,
    "components": 1,
    "faults": 0,
    "warp_features": 0,
    "strata": 0,
}
"""The sizes of a `siren-mixture` and the lower limit of each."""


@dataclass(frozen=True, eq=False)
class FrozenMixture:
    """Weights float32 by the names of the decoder file; `steps` (S,) of the latent."""

    settings: MixtureConfig
    weights: Mapping[str, Float32]
    steps: Float32
    tables: LatentTables | None = None
    identity: bytes | None = None
    name: str = "unnamed"


def is_mixture(config: Mapping[str, Any]) -> bool:
    """Whether a decoder file's configuration describes a `siren-mixture`."""
    return config.get("architecture") == MIXTURE


def checked_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers in a decoder file's configuration, within limits. Raises DecoderFileError."""
    settings = {k: v for k, v in config.items() if k not in ("architecture", "latent")}
    for name, value in settings.items():
        most = MAX_LAYERS if name == "hidden_layers" else MAX_SIZE
        if isinstance(value, str):
            continue
        if not isinstance(value, int | float) or not 0 <= value <= most:
            raise DecoderFileError(
                f"decoder configuration: {name}: found {value!r}, expected 0 to {most}"
            )
    return settings


def mixture_config(config: Mapping[str, Any]) -> MixtureConfig:
    """The hyper-parameters in a decoder file's configuration. Raises DecoderFileError."""
    try:
        mixture = MixtureConfig(**checked_settings(config))
    except TypeError as error:
        raise DecoderFileError(f"decoder configuration: {error}") from error
    for name, least in LEAST_SIZES.items():
        value = getattr(mixture, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DecoderFileError(
                f"decoder configuration: {name}: found {value!r}, "
                f"expected a whole number, {least} or more"
            )
    check_work(mixture)
    return mixture


def check_work(config: MixtureConfig) -> None:
    """Raise DecoderFileError for sizes that would take much memory, or long, for each model."""
    modulations = sum(config.part_sizes.values()) * LATENT_SIZE
    gating = config.hidden_layers * config.width**2 * config.gates
    for what, found, most in (
        ("weights", modulations + config.weights_of_model, MAX_WEIGHTS),
        ("weights of a model", config.weights_of_model, MAX_OF_MODEL),
        ("multiplications of its gates", gating, MAX_GATING),
    ):
        if found > most:
            raise DecoderFileError(
                f"decoder configuration: {what}: found {found:,}, expected at most {most:,}"
            )


def network_weights(
    file: DecoderFile, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, Float32]:
    """The tensors of a decoder file, except those of the latent. Raises DecoderFileError unless
    they have these shapes and are finite.
    """
    weights = {k: v for k, v in file.tensors.items() if not k.startswith("latent.")}
    shapes = {name: each.shape for name, each in weights.items()}
    odd = sorted(k for k in {*expected, *shapes} if expected.get(k) != shapes.get(k))
    if odd:
        raise DecoderFileError(
            f"decoder tensor {odd[0]}: found shape {shapes.get(odd[0])}, "
            f"expected {expected.get(odd[0])}"
        )
    return {name: _finite(name, each) for name, each in weights.items()}


def _finite(name: str, array: NDArray[Any]) -> Float32:
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise DecoderFileError(f"decoder tensor {name}: expected finite numbers")
    return values


def check_latent(file: DecoderFile) -> tuple[LatentTables, int]:
    """Frequency tables and default step. Raises DecoderFileError unless a file's description of
    latents is complete and fits its tables and weights.
    """
    latent = {k[7:]: v for k, v in file.tensors.items() if k.startswith("latent.")}
    try:
        required = {name: latent.pop(name) for name in ("steps", "prior_precision")}
        default_step = file.config["latent"]["default_step"]
    except (KeyError, TypeError) as error:
        raise DecoderFileError(f"decoder file: latent entry {error} is missing") from error
    tables = LatentTables.from_tensors(latent)
    steps, size = tables.step_count, tables.latent_size
    for name, length in (("steps", steps), ("prior_precision", size)):
        array = required[name]
        if array.shape != (length,) or array.dtype != np.float32:
            raise DecoderFileError(
                f"decoder tensor latent.{name}: found {array.dtype} of shape {array.shape}, "
                f"expected float32 of shape ({length},)"
            )
        _finite(f"latent.{name}", array)
    if size != LATENT_SIZE:
        raise DecoderFileError(
            f"decoder tensor latent.classes: found latents of {size}, expected {LATENT_SIZE}"
        )
    if isinstance(default_step, bool) or default_step not in range(steps):
        raise DecoderFileError(
            f"decoder configuration: default_step: found {default_step!r}, expected one of {steps}"
        )
    return tables, int(default_step)


def frozen_mixture(file: DecoderFile) -> FrozenMixture:
    """The `siren-mixture` of a decoder file. Raises DecoderFileError."""
    config = mixture_config(file.config)
    weights = network_weights(file, config.tensor_shapes)
    tables, _ = check_latent(file)
    return FrozenMixture(
        config,
        weights,
        file.tensors["latent.steps"],
        tables,
        file.identity(),
        str(file.info.get("name", "unnamed")),
    )


@lru_cache(maxsize=8)
def load_frozen(path: Path) -> FrozenMixture | None:
    """The `siren-mixture` of the decoder file at `path`, or None for another architecture."""
    file = registry.read_file(path)
    return frozen_mixture(file) if is_mixture(file.config) else None
