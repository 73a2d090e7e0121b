"""Run the fused kernel in Triton's interpreter, on the CPU: `interpreted.py OUT.npz`.

The interpreter has to be chosen before Triton is imported, so that it runs in a process of its own.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from velcodec.decoder import MixtureConfig, SirenMixture
from velcodec.decoder.siren_mixture import cuda
from velcodec.geometry import grid_points

CONFIGS = {
    "all parts": MixtureConfig(16, 2, 8, 4, 2, 8, strata=3, omega_0=6.0),
    "one layer, one fault": MixtureConfig(16, 1, 16, 16, 1, 8, omega_0=6.0),
    "no warp, no faults": MixtureConfig(16, 1, 8, 4, 0, 0, omega_0=6.0),
    "sizes to fill up": MixtureConfig(20, 2, 9, 5, 3, 6, strata=5, omega_0=6.0),
}
"""Small decoders, so that an interpreter is quick enough."""

WAYS: dict[str, dict[str, Any]] = {
    "in m/s": {"scaled": True},
    "half precision": {"scaled": True, "dtype": torch.float16},
    "own points": {"own": True},
    "several blocks": {"programs": 1, "count": 1, "block": 16},
}
"""How the first of them is rendered besides."""

ALONE = {"count": 1}

LOW, HIGH = (1500.0, 2100.3), (4500.0, 2100.4)


def decoder_of(name: str) -> SirenMixture:
    """The same small decoder for the same name, in float32."""
    torch.manual_seed(sorted(CONFIGS).index(name))
    decoder = SirenMixture(CONFIGS[name])
    decoder.freeze_()
    return decoder


def latents(count: int = 2) -> Tensor:
    """The first of two."""
    return 0.5 * torch.randn(2, 256, generator=torch.Generator().manual_seed(9))[:count]


def points_of(own: bool = False) -> Tensor:
    """Points of a grid whose number is no multiple of a block, or others for each model."""
    points = torch.from_numpy(grid_points(5, 9)).float()
    return torch.stack([points, -points.flip(1)]) if own else points


def rendered(name: str, way: dict[str, Any]) -> Tensor:
    """What the kernel gives."""
    dtype = way.get("dtype", torch.float32)
    ends = cuda.within(torch.tensor(LOW), torch.tensor(HIGH), dtype)
    cuda.PROGRAMS = way.get("programs", 1024)
    return cuda.launch(
        decoder_of(name), latents(way.get("count", 2)), points_of(way.get("own", False)), dtype,
        ends if way.get("scaled") else None, points_of_a_block=way.get("block", 64),
    )  # fmt: skip


if __name__ == "__main__":
    found = {name: rendered(name, ALONE) for name in CONFIGS}
    found |= {way: rendered("all parts", how) for way, how in WAYS.items()}
    np.savez(sys.argv[1], **{name: values.numpy() for name, values in found.items()})
