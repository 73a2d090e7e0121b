"""A model's effective weights as the compiled loops take them."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from velcodec.decoder.sizes import MixtureConfig

Float32 = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)


class TrunkWeights(NamedTuple):
    """Effective weights of B models, in the order of the kernel's parameters. W and K are filled up
    (`velcodec.decoder.siren_mixture.cpu_padding`). Arguments of sines are in turns.
    """

    plane: Float32  # (B, F, 3): normal x, normal z, offset
    throw: Float32  # (B, F, 2): displacement in x, z
    warp: Float32  # (B, 2, N)
    first: Float32  # (B, W, 2)
    first_bias: Float32  # (B, W)
    hidden: Float32  # (B, L, W, W)
    hidden_bias: Float32  # (B, L, W)
    logit: Float32  # (B, K, W)
    logit_bias: Float32  # (B, K)
    level: Float32  # (B, K)
    ramp: Float32  # (B, W)
    jump: Float32  # (B, S)
    depth: Float32  # (B, S)
    rate: Float32  # (B, S)


def split_parts(modulations: NDArray[Scalar], config: MixtureConfig) -> dict[str, NDArray[Scalar]]:
    """What drives each part, (B, rows), of modulations (B, M), M being filled up or not."""
    sizes = config.part_sizes
    ends = np.cumsum(list(sizes.values()))
    return dict(zip(sizes, np.split(modulations[:, : ends[-1]], ends[:-1], axis=1), strict=True))
