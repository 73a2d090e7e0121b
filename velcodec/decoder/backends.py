"""Backends that evaluate a decoder: one interface, one backend for each target.

Torch's own rendering serves gradients and any device (`SirenMixture.render`); compiled loops serve
a CPU without torch (`siren_mixture.cpu`), errors and gradients of fits there
(`siren_mixture.cpu_gradient`), Jacobians and training there (`siren_mixture.fit_cpu`) and fits
anywhere without autograd (`siren_mixture.fit_derivatives`); one Triton kernel serves CUDA
(`siren_mixture.cuda`). A new target is a module beside these and a line in `SirenMixture.values`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class CpuBackend(Protocol):
    """A frozen decoder that renders in float32 on a CPU, without torch."""

    def latents(
        self, coefficients: NDArray[np.integer], step: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Latents (B, D) of coefficients (B, D) at step indices (B,)."""

    def velocities(
        self,
        latents: NDArray[np.float32],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        points: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Velocities (B, P) in m/s, within `low` and `high` (B,), of latents (B, D) at points
        (x, z) of the domain, (2, P) for all models or (B, 2, P).
        """
