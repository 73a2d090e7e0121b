"""A finished `siren-mixture` as NumPy arrays: all that decoding on a CPU needs, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.decoder_file import DecoderFile
from velcodec.formats.errors import DecoderFileError
from velcodec.formats.tables import LatentTables

from . import registry
from .layout import MIXTURE, MixtureConfig

if TYPE_CHECKING:
    from .floating import FloatMixture
    from .integer import IntegerMixture
    from .siren_mixture import SirenMixture

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrozenMixture:
    """Weights float32 by the names of the decoder file; `steps` (S,) of the latent.

    `floating` and `integer` evaluate it, in floats and exactly.
    """

    settings: MixtureConfig
    weights: Mapping[str, Float32]
    steps: Float32
    tables: LatentTables | None = None
    identity: bytes | None = None
    name: str = "unnamed"

    @cached_property
    def floating(self) -> FloatMixture:
        """The network in floating point."""
        from .floating import FloatMixture

        return FloatMixture(self)

    @cached_property
    def integer(self) -> IntegerMixture:
        """The network in exact arithmetic."""
        from .integer import IntegerMixture

        return IntegerMixture(self)

    def stacked(self, name: str) -> Float32:
        """The tensors `name`.0, `name`.1, ... of the hidden layers as one."""
        return np.stack([self.weights[f"{name}.{i}"] for i in range(self.settings.hidden_layers)])


def is_mixture(config: Mapping[str, Any]) -> bool:
    """Whether a decoder file's configuration is that of a `siren-mixture`."""
    return config.get("architecture") == MIXTURE


def mixture_config(config: Mapping[str, Any]) -> MixtureConfig:
    """The hyper-parameters in a decoder file's configuration. Raises DecoderFileError."""
    settings = {k: v for k, v in config.items() if k not in ("architecture", "latent")}
    try:
        return MixtureConfig(**settings)
    except (TypeError, ValueError) as error:
        raise DecoderFileError(f"decoder configuration: {error}") from error


def check_shapes(found: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    """DecoderFileError unless the tensors, or their shapes, are those that are expected."""
    shapes = {name: tuple(getattr(each, "shape", each)) for name, each in found.items()}
    odd = sorted(k for k in expected | shapes if expected.get(k) != shapes.get(k))
    if odd:
        raise DecoderFileError(
            f"decoder tensor {odd[0]}: found shape {shapes.get(odd[0])}, "
            f"expected {expected.get(odd[0])}"
        )


def frozen_mixture(file: DecoderFile) -> FrozenMixture:
    """The `siren-mixture` of a decoder file. Raises DecoderFileError."""
    config = mixture_config(file.config)
    own = {k: v for k, v in file.tensors.items() if not k.startswith("latent.")}
    check_shapes(own, config.tensor_shapes)
    latent = {k[7:]: v for k, v in file.tensors.items() if k.startswith("latent.")}
    if "steps" not in latent:
        raise DecoderFileError("decoder file: latent entry 'steps' is missing")
    return FrozenMixture(
        config,
        {k: v.astype(np.float32) for k, v in own.items()},
        latent["steps"],
        LatentTables.from_tensors(latent),
        file.identity(),
        str(file.info.get("name", "unnamed")),
    )


def freeze(decoder: SirenMixture) -> FrozenMixture:
    """A torch decoder as it is now."""
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
def load_frozen(path: Path) -> FrozenMixture:
    """The `siren-mixture` of the decoder file at `path`."""
    return frozen_mixture(registry.read_file(path))
