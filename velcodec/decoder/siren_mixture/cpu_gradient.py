"""Errors of `siren-mixture` and their gradients by the latent on a CPU, without stored layers.

For a frozen decoder in float32; `fit_cpu` serves training, where the weights change.
"""

from __future__ import annotations

import math

import numpy as np

from velcodec.decoder.siren_mixture.cpu import FloatMixture
from velcodec.decoder.siren_mixture.trunk import TrunkWeights
from velcodec.formats.arrays import Float32, Float64

MODELS_AT_ONCE = 8
"""Models whose weights and derivatives, 40 kB each, are held together."""

_RADIANS, _NATURAL = np.float32(2.0 * math.pi), np.float32(math.log(2.0))
"""What the compiled loops' weights of sines and logits are multiplied by to be the decoder's."""


class GradientMixture:
    """The compiled loops of `mixture`, and the map (M, D) from latent to modulations."""

    def __init__(self, mixture: FloatMixture, modulation: Float32) -> None:
        self.mixture, self.modulation = mixture, modulation
        layers = range(mixture.settings.hidden_layers)
        self._gate_out = [mixture.base[f"gate_out.{i}"] * _RADIANS for i in layers]
        self._gate_in = [mixture.base[f"gate_in.{i}"] for i in layers]

    def errors(self, latents: Float32, points: Float32, target: Float32) -> Float64:
        """Mean squared errors (B,) of latents (B, D) against `target` (B, P) at `points` (x, z),
        (2, P) for all models or (B, 2, P).
        """
        return self._sweep(latents, points, target, wanted=False)[0]

    def errors_and_gradients(
        self, latents: Float32, points: Float32, target: Float32
    ) -> tuple[Float64, Float32]:
        """As `errors`, with half their derivatives by the latents (B, D)."""
        import torch

        error, slopes = self._sweep(latents, points, target, wanted=True)
        # NumPy's threads would wait for each other on a busy machine, for a hundred times as long.
        product = torch.from_numpy(slopes) @ torch.from_numpy(self.modulation)
        by_latent: Float32 = product.numpy()
        return error, by_latent

    def _sweep(
        self, latents: Float32, points: Float32, target: Float32, wanted: bool
    ) -> tuple[Float64, Float32]:
        """Errors (B,) and, if `wanted`, half their derivatives by the modulations (B, M)."""
        from velcodec.decoder.siren_mixture.gradient_kernel import error_and_slopes

        batch, base = len(latents), self.mixture.base
        where = np.ascontiguousarray(points.reshape(-1, *points.shape[-2:]), np.float32)
        goal = np.ascontiguousarray(target, np.float32)
        error = np.zeros(batch)
        slopes = np.empty((batch if wanted else 0, len(self.modulation)), np.float32)
        for first in range(0, batch, MODELS_AT_ONCE):
            some = slice(first, min(first + MODELS_AT_ONCE, batch))
            weights = self.mixture.weights(latents[some])
            back = np.ascontiguousarray(weights.hidden.swapaxes(2, 3)) * _RADIANS
            logit_back = np.ascontiguousarray(weights.logit.swapaxes(1, 2)) * _NATURAL
            to = TrunkWeights(*(np.zeros_like(each) for each in weights))
            error_and_slopes(
                where[some] if len(where) > 1 else where,
                goal[some],
                wanted,
                base["warp_first"],
                base["warp_bias"],
                *weights,
                back,
                logit_back,
                error[some],
                *to,
            )
            if wanted:
                self._gather(to, slopes[some])
        return error, slopes

    def _gather(self, to: TrunkWeights, slopes: Float32) -> None:
        """Fill the derivatives by all modulations, in their order, from those by the weights."""
        c, batch = self.mixture.settings, len(slopes)
        w, k = c.width, c.components
        gates = [
            ((out.T @ to.hidden[:, i, :w, :w]) * into).sum(-1)
            for i, (out, into) in enumerate(zip(self._gate_out, self._gate_in, strict=True))
        ]
        parts = {
            "fault_plane": to.plane,
            "fault_throw": to.throw,
            "warp": to.warp,
            "first": to.first[:, :w],
            "first_bias": to.first_bias[:, :w],
            "hidden_bias": to.hidden_bias[:, :, :w],
            "gate": np.stack(gates, axis=1) if gates else np.zeros((batch, 0), np.float32),
            "logit": to.logit[:, :k, :w],
            "logit_bias": to.logit_bias[:, :k],
            "level": to.level[:, :k],
            "ramp": to.ramp[:, :w],
            "jump": to.jump,
            "depth": to.depth,
            "log_rate": to.rate,
        }
        rows = [parts[name].reshape(batch, -1) for name in c.part_sizes]
        np.concatenate(rows, axis=1, out=slopes)
