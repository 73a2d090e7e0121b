"""Sizes that decoders and their files share: latent, domain, and what a `siren-mixture` is made of.

No torch, so that reading an archive on a CPU needs none.
"""

from __future__ import annotations

from dataclasses import dataclass

LATENT_SIZE = 256
NATIVE_SAMPLES = 70

MIXTURE = "siren-mixture"
"""Name of the architecture of `MixtureConfig`."""


@dataclass(frozen=True)
class MixtureConfig:
    """Hyper-parameters of `SirenMixture`; `omega_0` in rad per unit of the decoder domain."""

    width: int = 64
    hidden_layers: int = 2
    gates: int = 64
    components: int = 16
    faults: int = 2
    warp_features: int = 32
    strata: int = 0
    omega_0: float = 30.0

    @property
    def part_sizes(self) -> dict[str, int]:
        """Rows of the map from the latent that drive each part, in order."""
        w, k = self.width, self.components
        return {
            "fault_plane": 3 * self.faults,
            "fault_throw": 2 * self.faults,
            "warp": 2 * self.warp_features,
            "first": 2 * w,
            "first_bias": w,
            "hidden_bias": self.hidden_layers * w,
            "gate": self.hidden_layers * self.gates,
            "logit": k * w,
            "logit_bias": k,
            "level": k,
            "ramp": w,
            "jump": self.strata,
            "depth": self.strata,
            "log_rate": self.strata,
        }

    @property
    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors of a decoder file, those of the latent left out."""
        w, k, r, s = self.width, self.components, self.gates, self.strata
        shapes: dict[str, tuple[int, ...]] = {
            "first": (w, 2),
            "first_bias": (w,),
            "warp_first": (self.warp_features, 2),
            "warp_bias": (self.warp_features,),
            "fault_plane": (self.faults, 3),
            "logit": (k, w),
            "logit_bias": (k,),
            "level": (k,),
            "ramp": (w,),
            "modulation": (sum(self.part_sizes.values()), LATENT_SIZE),
        }
        for i in range(self.hidden_layers):
            shapes |= {f"hidden.{i}": (w, w), f"hidden_bias.{i}": (w,)}
            shapes |= {f"gate_in.{i}": (r, w), f"gate_out.{i}": (w, r)}
        if s:
            shapes |= {"jump": (s,), "depth": (s,), "log_rate": (s,)}
        return shapes
