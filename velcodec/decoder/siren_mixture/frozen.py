"""A finished `siren-mixture` as NumPy arrays: all that decoding on a CPU needs, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.decoder import registry
from velcodec.decoder.sizes import LATENT_SIZE, MIXTURE, MixtureConfig
from velcodec.formats.decoder_file import DecoderFile
from velcodec.formats.errors import DecoderFileError
from velcodec.formats.latent_coding.tables import LatentTables

if TYPE_CHECKING:
    from velcodec.decoder.base import Decoder
    from velcodec.decoder.siren_mixture.cpu import FloatMixture

Float32 = NDArray[np.float32]

MAX_SIZE, MAX_LAYERS = 1 << 12, 64
"""Numbers of a configuration, and layers, are at most so many; a file's tensors must match."""

LEAST_SIZES = {
    "width": 1,
    "hidden_layers": 0,
    "gates": 1,
    "components": 1,
    "faults": 0,
    "warp_features": 0,
    "strata": 0,
}
"""The sizes of a `siren-mixture` and how small each may be."""


@dataclass(frozen=True, eq=False)
class FrozenMixture:
    """Weights float32 by the names of the decoder file; `steps` (S,) of the latent."""

    settings: MixtureConfig
    weights: Mapping[str, Float32]
    steps: Float32
    tables: LatentTables | None = None
    identity: bytes | None = None
    name: str = "unnamed"

    @cached_property
    def floating(self) -> FloatMixture:
        """What evaluates it."""
        from velcodec.decoder.siren_mixture.cpu import FloatMixture

        return FloatMixture(self)


def is_mixture(config: Mapping[str, Any]) -> bool:
    """Whether a decoder file's configuration is that of a `siren-mixture`."""
    return config.get("architecture") == MIXTURE


def checked_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a decoder file's configuration, of a sane size each. Raises
    DecoderFileError.
    """
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
        found = MixtureConfig(**checked_settings(config))
    except TypeError as error:
        raise DecoderFileError(f"decoder configuration: {error}") from error
    for name, least in LEAST_SIZES.items():
        value = getattr(found, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DecoderFileError(
                f"decoder configuration: {name}: found {value!r}, "
                f"expected a whole number, {least} or more"
            )
    return found


def own_weights(file: DecoderFile, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Float32]:
    """The tensors of a decoder file, those of the latent left out. DecoderFileError unless they
    have these shapes and hold finite numbers.
    """
    own = {k: v for k, v in file.tensors.items() if not k.startswith("latent.")}
    shapes = {name: each.shape for name, each in own.items()}
    odd = sorted(k for k in {*expected, *shapes} if expected.get(k) != shapes.get(k))
    if odd:
        raise DecoderFileError(
            f"decoder tensor {odd[0]}: found shape {shapes.get(odd[0])}, "
            f"expected {expected.get(odd[0])}"
        )
    return {name: _finite(name, each) for name, each in own.items()}


def _finite(name: str, array: NDArray[Any]) -> Float32:
    with np.errstate(over="ignore"):
        found = array.astype(np.float32)
    if not np.isfinite(found).all():
        raise DecoderFileError(f"decoder tensor {name}: expected finite numbers")
    return found


def check_latent(file: DecoderFile) -> tuple[LatentTables, int]:
    """Frequency tables and default step. DecoderFileError unless what a file says of latents is
    all there and fits its tables and weights.
    """
    latent = {k[7:]: v for k, v in file.tensors.items() if k.startswith("latent.")}
    try:
        own = {name: latent.pop(name) for name in ("steps", "prior_precision")}
        default_step = file.config["latent"]["default_step"]
    except (KeyError, TypeError) as error:
        raise DecoderFileError(f"decoder file: latent entry {error} is missing") from error
    tables = LatentTables.from_tensors(latent)
    steps, size = tables.step_count, tables.latent_size
    for name, length in (("steps", steps), ("prior_precision", size)):
        found = own[name]
        if found.shape != (length,) or found.dtype != np.float32:
            raise DecoderFileError(
                f"decoder tensor latent.{name}: found {found.dtype} of shape {found.shape}, "
                f"expected float32 of shape ({length},)"
            )
        _finite(f"latent.{name}", found)
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
    weights = own_weights(file, config.tensor_shapes)
    tables, _ = check_latent(file)
    return FrozenMixture(
        config,
        weights,
        file.tensors["latent.steps"],
        tables,
        file.identity(),
        str(file.info.get("name", "unnamed")),
    )


def freeze(decoder: Decoder) -> FrozenMixture:
    """A `siren-mixture` of torch as it is now. TypeError for another architecture."""
    from velcodec.decoder.siren_mixture.network import SirenMixture

    if not isinstance(decoder, SirenMixture):
        raise TypeError(f"freezing: found {type(decoder).__name__}, expected SirenMixture")
    weights = {
        name: value.detach().cpu().float().numpy().copy()
        for name, value in decoder.state_dict().items()
    }
    return FrozenMixture(
        decoder.settings,
        weights,
        decoder.steps.cpu().float().numpy().copy(),
        decoder.tables,
        decoder.identity,
        decoder.name,
    )


@lru_cache(maxsize=8)
def load_frozen(path: Path) -> FrozenMixture | None:
    """The `siren-mixture` of the decoder file at `path`; None for another architecture."""
    file = registry.read_file(path)
    return frozen_mixture(file) if is_mixture(file.config) else None
