"""A model's effective weights as the compiled loops take them, in floats or in integers."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .layout import MixtureConfig

Real = TypeVar("Real", bound=NDArray[Any])
Turns = TypeVar("Turns", bound=NDArray[Any])
Scalar = TypeVar("Scalar", bound=np.generic)


class TrunkWeights(NamedTuple, Generic[Real, Turns]):
    """Effective weights of B models, in the order of the kernels' parameters. W and K are filled up
    (`velcodec.decoder.padding`). Arguments of sines, in turns, may have a dtype of their own.
    """

    plane: Real  # (B, F, 3): normal x, normal z, offset
    throw: Real  # (B, F, 2): displacement in x, z
    warp: Real  # (B, 2, N)
    first: Turns  # (B, W, 2)
    first_bias: Turns  # (B, W)
    hidden: Turns  # (B, L, W, W)
    hidden_bias: Turns  # (B, L, W)
    logit: Real  # (B, K, W)
    logit_bias: Real  # (B, K)
    level: Real  # (B, K)
    ramp: Real  # (B, W)
    jump: Real  # (B, S)
    depth: Real  # (B, S)
    rate: Real  # (B, S)


def split_parts(modulations: NDArray[Scalar], config: MixtureConfig) -> dict[str, NDArray[Scalar]]:
    """What drives each part, (B, rows), of modulations (B, M), M being filled up or not."""
    sizes = config.part_sizes
    ends = np.cumsum(list(sizes.values()))
    return dict(zip(sizes, np.split(modulations[:, : ends[-1]], ends[:-1], axis=1), strict=True))
