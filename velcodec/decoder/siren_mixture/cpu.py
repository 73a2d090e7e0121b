"""`siren-mixture` in floating point on a CPU: latents in, velocities out, nothing kept between.

The latent's linear maps run once per model and yield the trunk's effective weights; the trunk runs
in compiled loops over blocks of points (`velcodec.decoder.siren_mixture.cpu_kernel`). Torch's rendering
(`SirenMixture`) is there for gradients and other devices; the two differ by
rounding, some hundredths of m/s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from velcodec.decoder.siren_mixture.cpu_padding import LEAST_POINTS, filled, filled_up, in_blocks
from velcodec.decoder.siren_mixture.frozen import Float32, FrozenMixture
from velcodec.decoder.siren_mixture.trunk import TrunkWeights, split_parts
from velcodec.geometry import Float64
from velcodec.parallel import in_parallel, share_out

MODELS_AT_ONCE = 32
"""Models whose effective weights, 40 kB each, are there together in a thread."""

_TURNS = 1.0 / (2.0 * math.pi)
_POWERS = 1.0 / math.log(2.0)
SCALES = {
    "warp_first": _TURNS,
    "warp_bias": _TURNS,
    "first": _TURNS,
    "first_bias": _TURNS,
    "hidden": _TURNS,
    "hidden_bias": _TURNS,
    "gate_out": _TURNS,
    "logit": _POWERS,
    "logit_bias": _POWERS,
    "log_rate": _POWERS,
}
"""What tensors are multiplied by, so that sines take turns and exponentials are powers of two."""

NOWHERE = -1e30
"""Logit of a component that fills up."""


class FloatMixture:
    """A frozen `siren-mixture` ready to render in float32."""

    def __init__(self, frozen: FrozenMixture) -> None:
        self.settings = c = frozen.settings
        self.steps = frozen.steps
        scale = np.concatenate(
            [np.full(size, SCALES.get(part, 1.0)) for part, size in c.part_sizes.items()]
        )
        modulation = frozen.weights["modulation"] * scale[:, None]
        self.map = in_blocks(modulation.T.astype(np.float32))
        self.base = {
            name: (value * SCALES.get(name.partition(".")[0], 1.0)).astype(np.float32)
            for name, value in frozen.weights.items()
            if name != "modulation"
        }
        self.gate_in = [in_blocks(self.base[f"gate_in.{i}"]) for i in range(c.hidden_layers)]

    def latents(self, coefficients: NDArray[np.integer], step: NDArray[np.integer]) -> Float32:
        """Latents (B, D) that coefficients (B, D) stand for, at step indices (B,)."""
        return coefficients.astype(np.float32) * self.steps[step][:, None]

    def weights(self, latents: Float32) -> TrunkWeights:
        """Effective weights of each model, from latents (B, D)."""
        c, base, batch = self.settings, self.base, len(latents)
        wanted = filled(latents[None], filled_up(batch), latents.shape[1])
        m = split_parts(_products(wanted, self.map)[0, :batch], c)
        w, k = c.width, c.components
        wide, deep = filled_up(w), filled_up(k)
        hidden = np.zeros((batch, c.hidden_layers, wide, wide), np.float32)
        hidden_bias = np.zeros((batch, c.hidden_layers, wide), np.float32)
        for i in range(c.hidden_layers):
            gate = m["gate"][:, i * c.gates : (i + 1) * c.gates]
            driven = filled(base[f"gate_out.{i}"] * gate[:, None], wide, filled_up(c.gates))
            shift = _products(driven, self.gate_in[i])
            hidden[:, i, :w, :w] = base[f"hidden.{i}"] + shift[:, :w, :w]
            moved = m["hidden_bias"][:, i * w : (i + 1) * w]
            hidden_bias[:, i, :w] = base[f"hidden_bias.{i}"] + moved
        jump, depth, rate = m["jump"], m["depth"], m["log_rate"]
        if c.strata:
            jump, depth = base["jump"] + jump, base["depth"] + depth
            rate = np.exp2(np.minimum(base["log_rate"] + rate, 126)) * np.float32(2 * _POWERS)
        plane = base["fault_plane"] + m["fault_plane"].reshape(batch, c.faults, 3)
        found = TrunkWeights(
            plane * np.float32(2 * _POWERS),
            m["fault_throw"].reshape(batch, c.faults, 2),
            m["warp"].reshape(batch, 2, c.warp_features),
            filled(base["first"] + m["first"].reshape(batch, w, 2), wide, 2),
            filled(base["first_bias"] + m["first_bias"], wide),
            hidden,
            hidden_bias,
            filled(base["logit"] + m["logit"].reshape(batch, k, w), deep, wide),
            filled(base["logit_bias"] + m["logit_bias"], deep, value=NOWHERE),
            filled(base["level"] + m["level"], deep),
            filled(base["ramp"] + m["ramp"], wide),
            jump,
            depth,
            rate,
        )
        return TrunkWeights(*(np.ascontiguousarray(each, np.float32) for each in found))

    def velocities(self, latents: Float32, low: Float64, high: Float64, points: Float32) -> Float64:
        """Velocities (B, P) in m/s, within `low` and `high` (B,), of latents (B, D) at points
        (x, z) of the domain, (2, P) for all models or (B, 2, P).
        """
        from velcodec.decoder.siren_mixture.cpu_kernel import evaluate

        values = np.empty((len(latents), points.shape[-1]))
        where = np.ascontiguousarray(points.reshape(-1, *points.shape[-2:]), np.float32)
        warp = self.base["warp_first"], self.base["warp_bias"]
        ends = np.ascontiguousarray(low, np.float64), np.ascontiguousarray(high, np.float64)

        def work(rows: slice, columns: slice) -> None:
            with np.errstate(all="ignore"):  # latents may be beyond all measure
                weights = self.weights(latents[rows])
            part = rows.start, columns.start, columns.stop
            evaluate(where, *warp, *weights, *ends, *part, values)

        in_parallel(work, share_out(*values.shape, MODELS_AT_ONCE, LEAST_POINTS))
        return values


def _products(weights: Float32, inputs: Float32) -> Float32:
    """As `velcodec.decoder.siren_mixture.cpu_product.products`: not the system's, whose sums hang on the batch."""
    from velcodec.decoder.siren_mixture.cpu_product import products

    out = np.empty((*weights.shape[:2], len(inputs) * inputs.shape[2]), np.float32)
    products(np.ascontiguousarray(weights, np.float32), inputs, out)
    return out
